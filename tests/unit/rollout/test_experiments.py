"""Experiments and manual splits end when their time is over: the result stays, the champion serves everybody."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from rollout.decisions import Progress, decide
from rollout.evaluations import evaluations
from rollout.guardrail import Verdict
from rollout.history import history
from rollout.plan import Plan
from rollout.report import report
from rollout.simulation import simulate
from rollout.states import ACTIVE, ENDING, State
from rollout.tables import ROLLOUT
from rollout.traffic import assumed_traffic
from rollout.verify import verify_log
from tests.unit.rollout.evaluations import NOW, found, guarded
from tests.unit.rollout.steering import CANARY, PLAN, Steering

GOAL = {"metric": "selection_rate", "margin": 0.0, "required": False}
STEPS = [{"weight": 0.5, "max_duration": "2h"}]


def move(state: State, age: timedelta, plan: Plan) -> State | None:
    """Where something goes of which nothing is known for sure, None where it stays."""
    progress = Progress(state, 0, NOW - age, NOW - age)
    decided = decide(plan, progress, found(plan, 0, otherwise=Verdict.INCONCLUSIVE), NOW)
    return None if decided is None else decided.to


@pytest.mark.parametrize("is_guarded", [True, False])
def test_an_experiment_is_over_when_its_time_is_but_not_while_somebody_holds_it(*, is_guarded: bool) -> None:
    plan = guarded(steps=STEPS, goals=[GOAL], **({} if is_guarded else {"guardrails": []}))
    assert move(State.CANARY, timedelta(hours=2) - timedelta(seconds=1), plan) is None
    assert move(State.CANARY, timedelta(hours=2), plan) is State.ROLLED_BACK
    assert move(State.PAUSED, timedelta(days=9), plan) is None


def test_an_experiment_about_outcomes_that_does_not_say_when_it_ends_waits_for_them() -> None:
    outcomes = {"metric": "mean_outcome", "margin": 0.0, "required": False}
    changes = {"steps": [{"weight": 0.5}], "guardrails": [], "label_maturity": "3d"}
    assert guarded(**changes, goals=[GOAL]).ends_after == timedelta(days=7)
    assert guarded(**changes, goals=[outcomes]).ends_after == timedelta(days=10)
    assert guarded(**changes | {"steps": STEPS}, goals=[outcomes]).ends_after == timedelta(hours=2)


def test_a_manual_split_ends_where_its_plan_says_when_and_else_never() -> None:
    plan = guarded(steps=STEPS, guardrails=[])
    assert move(State.CANARY, timedelta(hours=1), plan) is None
    assert move(State.CANARY, timedelta(hours=2), plan) is State.ROLLED_BACK
    for state in ACTIVE - ENDING - {State.PENDING, State.CANARY}:
        assert move(state, timedelta(days=9), plan) is None
    assert move(State.CANARY, timedelta(days=99), guarded(steps=[{"weight": 0.5}], guardrails=[])) is None


def test_an_experiment_that_is_over_keeps_its_result_and_no_cooldown(steering: Steering) -> None:
    steering.start(steps=STEPS, guardrails=[], goals=[PLAN["guardrails"][0]])
    controller = steering.controller()
    steering.see(errors=0.5)
    assert steering.tick(controller) == "canary"
    assert steering.tick(controller, timedelta(hours=2)) == "rolled_back"
    assert (steering.served().weight_bp, steering.served().rollout_id) == (0, None)
    assert steering.actions() == ["started", "ended"]
    assert "max_duration is over" in str(steering.found().reason)
    looked = evaluations(steering.control, steering.rollout_id)
    assert history(steering.control, steering.rollout_id)[-1].evaluation_id == looked[-1].id
    assert "Its time was over" in report(steering.control, steering.registry, steering.rollout_id, steering.now)
    (verified,) = verify_log(steering.control, steering.registry)
    assert verified.problem is None
    assert steering.start(**CANARY).state == "pending"


def test_a_manual_split_with_an_end_ends_without_anybody(steering: Steering) -> None:
    steering.start(steps=[{"weight": 0.2, "max_duration": "1h"}], guardrails=[])
    controller = steering.controller()
    assert steering.tick(controller, timedelta(minutes=59)) == "canary"
    assert steering.tick(controller, timedelta(minutes=1)) == "rolled_back"
    assert steering.served().weight_bp == 0


@pytest.mark.parametrize("goals", [[], [GOAL]])
def test_a_manual_split_from_before_they_could_end_goes_on(steering: Steering, goals: list[dict[str, Any]]) -> None:
    steering.start(steps=[{"weight": 0.2, "max_duration": "7d"}], guardrails=[], goals=goals)
    with steering.control.begin() as connection:
        stored = connection.execute(select(ROLLOUT.c.plan)).scalar_one()
        connection.execute(update(ROLLOUT).values(plan={key: stored[key] for key in stored if key != "start_at"}))
    assert steering.tick(steering.controller(), timedelta(days=9)) == "canary"
    assert steering.served().weight_bp == 2_000


def test_an_experiment_that_is_over_is_no_rollback_in_a_simulation() -> None:
    plan = guarded(steps=STEPS, goals=[GOAL])
    found = simulate(plan, assumed_traffic(plan), runs=3)
    assert found.by("inconclusive") == {"time": 3}
