"""Rollouts that begin later: pending until their time, and nothing is served by them before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from rollout import rollouts
from rollout.errors import InvalidPlanError
from rollout.plan import Plan
from tests.unit.rollout.steering import CANARY, NOON, Steering

LATER = NOON + timedelta(hours=6)
MANUAL: dict[str, Any] = {"steps": [{"weight": 0.2}], "guardrails": []}


@pytest.mark.parametrize("kind", [CANARY, MANUAL], ids=["guarded", "manual"])
def test_a_rollout_begins_at_its_time_and_not_before(steering: Steering, kind: dict[str, Any]) -> None:
    started = steering.start(**kind, start_at=LATER.isoformat())
    assert (started.state, started.weight) == ("pending", 0.0)
    controller = steering.controller()
    assert steering.tick(controller, timedelta(hours=6) - timedelta(seconds=1)) == "pending"
    assert steering.served().weight_bp == 0
    assert steering.tick(controller, timedelta(seconds=1)) == "canary"
    assert steering.served().weight_bp == kind["steps"][0]["weight"] * 10_000
    assert steering.found().step_entered_at == LATER


def test_at_its_time_it_still_waits_for_its_challenger_to_be_loaded(steering: Steering) -> None:
    steering.start(**MANUAL, start_at=LATER.isoformat())
    steering.ready = False
    controller = steering.controller()
    assert steering.tick(controller, timedelta(hours=7)) == "pending"
    steering.ready = True
    assert steering.tick(controller) == "canary"


def test_what_has_not_begun_is_cancelled_by_an_abort(steering: Steering) -> None:
    steering.start(**MANUAL, start_at=LATER.isoformat())
    ended = rollouts.abort(steering.control, steering.rollout_id, reason="no", actor="ada", now=steering.now)
    assert (ended.state, steering.served().rollout_id) == ("cancelled", None)


def test_a_time_has_its_zone_and_is_kept_as_it_was_written() -> None:
    manual = {"model": "credit", "steps": [{"weight": 0.2}]}
    plan = Plan.parse(manual | {"start_at": "2026-05-04T08:00:00+02:00"})
    again = Plan.parse(plan.model_dump(mode="json"))
    assert (again, again.digest) == (plan, plan.digest)
    for wrong in ("2026-05-04T08:00:00", "2026-05-04", 1_777_000_000, "soon"):
        with pytest.raises(InvalidPlanError, match="start_at"):
            Plan.parse(manual | {"start_at": wrong})
