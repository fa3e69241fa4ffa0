"""`/bias_test` and `/api/v1/bias-tests`: tests run, listed, fetched, and shown to people."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict

from assessment import store
from assessment.errors import NoReportError
from assessment.model_card import model_card
from assessment.report_html import html
from assessment.result import BiasTestResult
from assessment.stored import BiasTestState, StoredTest
from bentos.bias_test_service import BiasTestService
from bentos.companion import Companion
from bentos.paging import Limit, Offset
from bentos.rollout_routes import Actor
from fairness.gate import Verdict
from monitoring.times import Time
from tracking.record import BiasTestType

_PATH = "/api/v1/bias-tests"

Responses = dict[int | str, dict[str, Any]]
_ASKED: Responses = {
    200: {"description": "What was found.", "model": BiasTestResult},
    202: {"description": "It runs as a task; `id` is what to ask for.", "content": {"application/json": {}}},
}
_PAGE: Responses = {200: {"description": "One page that needs no other file.", "content": {"text/html": {}}}}
_MARKDOWN: Responses = {200: {"description": "The section of a model card.", "content": {"text/markdown": {}}}}


class Wanted(BaseModel):
    """Which tests a list is to show."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    verdict: Verdict | None = None
    test_type: BiasTestType | None = None
    since: Time | None = None
    limit: Limit = 50
    offset: Offset = 0


def bias_test_routes(companion: Companion, service: BiasTestService) -> APIRouter:
    """Return the routes over the service that runs tests and the database that keeps them."""
    router = APIRouter(tags=["bias tests"])
    control = companion.control

    @router.post("/bias_test", responses=_ASKED)
    def bias_test(request: Annotated[dict[str, Any], Body()], user: Actor) -> Response:
        """Run a bias test on rows in the body, on a data set or on a window of live traffic."""
        return _answer(service.ask(request, user_id=user))

    @router.post(_PATH, responses=_ASKED)
    def ask(request: Annotated[dict[str, Any], Body()], user: Actor) -> Response:
        """Run a bias test, as `/bias_test` does; `"task": true` makes a small one a task too."""
        return _answer(service.ask(request, user_id=user))

    @router.get(_PATH)
    def list_tests(wanted: Annotated[Wanted, Query()]) -> dict[str, Any]:
        """Return bias tests, newest first, without what they found in detail; `total` counts all that fit."""
        found, total = store.listed(control, **wanted.model_dump())
        tests = [test.summary() for test in found]
        return {"bias_tests": tests, "total": total, "limit": wanted.limit, "offset": wanted.offset}

    @router.get(f"{_PATH}/schema.json")
    def schema() -> dict[str, Any]:
        """Return the JSON schema of a result."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"{_PATH}/schema.json",
            **BiasTestResult.model_json_schema(mode="serialization"),
        }

    @router.get(f"{_PATH}/{{test_id}}")
    def show_test(test_id: str) -> dict[str, Any]:
        """Return one bias test: how far it is, and once it is done, its result."""
        return store.find(control, test_id).to_dict()

    @router.get(f"{_PATH}/{{test_id}}/report.html", response_class=HTMLResponse, responses=_PAGE)
    def report(test_id: str) -> HTMLResponse:
        """Return a test as a page for people: one file that needs no other."""
        return HTMLResponse(html(_result(store.find(control, test_id))))

    @router.get(f"{_PATH}/{{test_id}}/model-card.md", response_class=PlainTextResponse, responses=_MARKDOWN)
    def card(test_id: str) -> PlainTextResponse:
        """Return a test as the section of a model card."""
        return PlainTextResponse(model_card(_result(store.find(control, test_id))), media_type="text/markdown")

    return router


def _answer(answered: BiasTestResult | StoredTest) -> Response:
    if isinstance(answered, StoredTest):
        return JSONResponse(answered.summary(), 202, headers={"location": f"{_PATH}/{answered.id}"})
    return Response(answered.model_dump_json(), media_type="application/json")


def _result(test: StoredTest) -> BiasTestResult:
    if test.result is not None:
        return BiasTestResult.model_validate(test.result)
    if test.state is BiasTestState.DONE:
        raise NoReportError(test.id, "it was measured elsewhere")
    raise NoReportError(test.id, f"it is {test.state}" + (f" ({test.reason})" if test.reason else ""))
