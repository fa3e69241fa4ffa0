"""`/api/v1/rollouts`: the traffic split, started, changed and ended."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from bentos import promotions
from bentos.companion import Companion
from bentos.forwarding import PRINCIPAL_HEADER
from rollout import rollouts
from rollout.approvals import approve as approve_rollout
from rollout.evaluations import evaluations
from rollout.history import history
from rollout.plan import Plan
from rollout.plan_check import check_power
from rollout.report import report as make_report
from rollout.rollout_views import told
from rollout.weight_changes import set_weights

_NOBODY_SPECIAL = "api"
_PAGE: dict[int | str, dict[str, Any]] = {
    200: {"description": "One page that needs no other file.", "content": {"text/html": {}}}
}


def actor(request: Request) -> str:
    """Return who decides: the id of the key that the front door checked, `api` where none was asked for."""
    return request.headers.get(PRINCIPAL_HEADER.decode()) or _NOBODY_SPECIAL


Actor = Annotated[str, Depends(actor)]


class WeightChange(BaseModel):
    """The challenger's new share of the units, a fraction from 0 to 0.5; of several challengers one for each."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    weight: float | Annotated[list[float], Field(min_length=1, max_length=9)]


class Reason(BaseModel):
    """Why something is done; kept with it."""

    model_config = ConfigDict(extra="forbid")

    reason: str | None = Field(default=None, max_length=1000)


class PromotionRequest(BaseModel):
    """Why a rollout is promoted though a gate refuses, or its guardrails have not passed; left out, they decide."""

    model_config = ConfigDict(extra="forbid")

    override: str | None = Field(default=None, min_length=1, max_length=1000)


def rollout_routes(companion: Companion) -> APIRouter:
    """Return the routes over the companion's control database."""
    router = APIRouter(prefix="/api/v1/rollouts", tags=["rollouts"])
    control = companion.control

    @router.get("")
    def list_rollouts() -> dict[str, Any]:
        """Return all rollouts, newest first."""
        return {"rollouts": [rollout.to_dict() for rollout in rollouts.rollouts(control)]}

    @router.post("", status_code=201)
    def start_rollout(
        plan: Annotated[dict[str, Any], Body()],
        actor: Actor,
        override: Annotated[str | None, Query(min_length=1, max_length=1000)] = None,
    ) -> dict[str, Any]:
        """Start a rollout by a plan; `override` is the reason to start it though a gate refuses the challenger.

        Of one with guardrails it is told how many of the last day's rows carried a unit.
        """
        parsed, now = Plan.parse(plan), datetime.now(UTC)
        if override is None:
            check_power(companion.log, parsed, now)
        traffic = None if parsed.is_manual else promotions.recent_units(companion.log, parsed.model, now)
        started = promotions.start_rollout(
            control,
            companion.registry,
            parsed,
            companion.wanted,
            override=override,
            actor=actor,
            now=now,
            traffic=traffic,
        ).to_dict()
        return started if traffic is None else started | {"traffic": asdict(traffic)}

    @router.get("/{rollout_id}")
    def show_rollout(rollout_id: str) -> dict[str, Any]:
        """Return one rollout, with its plan, what was done to it and by whom, and what was found of it last."""
        return told(control, rollout_id)

    @router.get("/{rollout_id}/report", response_class=HTMLResponse, responses=_PAGE)
    def report(rollout_id: str) -> HTMLResponse:
        """Return what was decided and why as a page for people: one file that needs no other."""
        return HTMLResponse(make_report(control, companion.registry, rollout_id, datetime.now(UTC)))

    @router.get("/{rollout_id}/decisions")
    def list_decisions(rollout_id: str) -> dict[str, Any]:
        """Return what was done to a rollout, oldest first, each with the hash that chains it to the one before."""
        rollouts.find(control, rollout_id)
        return {"decisions": [event.to_dict() for event in history(control, rollout_id)]}

    @router.get("/{rollout_id}/evaluations")
    def list_evaluations(rollout_id: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> dict[str, Any]:
        """Return the newest evaluations of a rollout, oldest first, with all they were made from."""
        rollouts.find(control, rollout_id)
        return {"evaluations": [one.to_dict() for one in evaluations(control, rollout_id, limit=limit)]}

    @router.post("/{rollout_id}/approve")
    def approve(rollout_id: str, actor: Actor, why: Reason | None = None) -> dict[str, Any]:
        """Approve the step that a rollout awaits; where its guardrails have not shown enough, with a reason."""
        reason, now = why.reason if why else None, datetime.now(UTC)
        return approve_rollout(control, rollout_id, reason=reason, actor=actor, now=now).to_dict()

    @router.post("/{rollout_id}/weight")
    def set_weight(rollout_id: str, change: WeightChange, actor: Actor) -> dict[str, Any]:
        """Change the challenger's share of the units; of several challengers all shares, in the plan's order."""
        weights = change.weight if isinstance(change.weight, list) else [change.weight]
        return set_weights(control, rollout_id, weights, actor=actor, now=datetime.now(UTC)).to_dict()

    @router.post("/{rollout_id}/pause")
    def pause(rollout_id: str, actor: Actor, why: Reason | None = None) -> dict[str, Any]:
        """Hold a rollout."""
        reason, now = why.reason if why else None, datetime.now(UTC)
        return rollouts.pause(control, rollout_id, reason=reason, actor=actor, now=now).to_dict()

    @router.post("/{rollout_id}/resume")
    def resume(rollout_id: str, actor: Actor, why: Reason | None = None) -> dict[str, Any]:
        """Let a paused rollout go on, in spite of what it was held for."""
        reason, now = why.reason if why else None, datetime.now(UTC)
        return rollouts.resume(control, rollout_id, reason=reason, actor=actor, now=now).to_dict()

    @router.post("/{rollout_id}/abort")
    def abort(rollout_id: str, actor: Actor, why: Reason | None = None) -> dict[str, Any]:
        """End a rollout; the champion serves every unit again."""
        reason, now = why.reason if why else None, datetime.now(UTC)
        return rollouts.abort(control, rollout_id, reason=reason, actor=actor, now=now).to_dict()

    @router.post("/{rollout_id}/promote")
    def promote(rollout_id: str, actor: Actor, request: PromotionRequest | None = None) -> dict[str, Any]:
        """Make the challenger the champion, if its gates allow."""
        return promotions.promote_rollout(
            control,
            companion.registry,
            rollout_id,
            override=request.override if request else None,
            actor=actor,
            now=datetime.now(UTC),
        ).to_dict()

    return router
