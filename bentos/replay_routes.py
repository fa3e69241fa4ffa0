"""`/api/v1/replays`: versions compared on logged traffic, asked for, listed, fetched, and shown to people."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict

from bentos.companion import Companion
from bentos.paging import Limit, Offset
from bentos.replay_service import ReplayService
from bentos.rollout_routes import Actor
from replay import store
from replay.report_html import html

_PATH = "/api/v1/replays"
_ASKED: dict[int | str, dict[str, Any]] = {
    202: {"description": "It runs as a task; `id` is what to ask for.", "content": {"application/json": {}}}
}
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "One page that needs no other file.", "content": {"text/html": {}}}
}


class Wanted(BaseModel):
    """Which replays a list is to show."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    limit: Limit = 50
    offset: Offset = 0


def replay_routes(companion: Companion, service: ReplayService) -> APIRouter:
    """Return the routes over the service that runs replays and the database that keeps them."""
    router = APIRouter(prefix=_PATH, tags=["replays"])
    control = companion.control

    @router.post("", status_code=202, responses=_ASKED)
    def ask(request: Annotated[dict[str, Any], Body()], user: Actor) -> Response:
        """Replay a version on logged traffic: `model`, `version` or `alias`, `against`, `window`, `plan`."""
        asked = service.ask(request, actor=user)
        return JSONResponse(asked.to_dict(), 202, headers={"location": f"{_PATH}/{asked.id}"})

    @router.get("")
    def list_replays(wanted: Annotated[Wanted, Query()]) -> dict[str, Any]:
        """Return replays, newest first, without what they found in detail."""
        return {"replays": [one.to_dict() for one in store.listed(control, **wanted.model_dump())]}

    @router.get("/{replay_id}")
    def show_replay(replay_id: str) -> dict[str, Any]:
        """Return one replay: how far it is, and once it is done, what it found."""
        stored, result = store.find(control, replay_id)
        return stored.to_dict() | {"result": None if result is None else result.model_dump(mode="json")}

    @router.get("/{replay_id}/report", response_class=HTMLResponse, responses=_PAGE)
    def report(replay_id: str) -> HTMLResponse:
        """Return a replay as a page for people: one file that needs no other."""
        return HTMLResponse(html(store.result_of(control, replay_id)))

    return router
