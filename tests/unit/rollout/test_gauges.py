"""What a scrape tells of rollouts: the newest of each served model, and everything that was ever done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from monitoring.exposition import StateMetrics
from rollout.gauges import set_rollout_gauges
from rollout.history import Action
from rollout.plan import Plan
from rollout.rollouts import Rollout, abort, begin_promotion, finish_promotion, pause, start
from rollout.serving_store import follow_aliases, serving_epochs
from rollout.weight_changes import set_weights
from tests.fakes.registry import FakeRegistry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA: Any = {"actor": "ada"}
PLAN = Plan.parse({"model": "credit", "steps": [{"weight": 0.2}]})


@pytest.fixture(autouse=True)
def served(engine: Engine, registry: FakeRegistry) -> None:
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))


def started(engine: Engine, registry: FakeRegistry, *, at: datetime = NOW) -> Rollout:
    return start(engine, PLAN, registry, now=at, **ADA)


def told(engine: Engine, *, now: datetime = NOW) -> dict[tuple[str, ...], float]:
    state = StateMetrics()
    set_rollout_gauges(engine, state, now)
    return {
        (gauge.name.removeprefix("fairmind_rollout_"), *labels): value
        for gauge in state.registry.gauges
        for labels, value in gauge.values.items()
    }


def decisions(engine: Engine) -> dict[str, float]:
    return {key[-1]: value for key, value in told(engine).items() if key[0] == "decisions_total" and value}


def test_a_model_that_had_no_rollout_has_none_of_it(engine: Engine) -> None:
    assert told(engine) == {}


def test_an_active_rollout_has_a_state_and_an_age_since_its_last_change(
    engine: Engine, registry: FakeRegistry
) -> None:
    rollout = started(engine, registry)
    set_weights(engine, rollout.id, [0.3], now=NOW + timedelta(minutes=5), **ADA)
    found = told(engine, now=NOW + timedelta(minutes=7))
    assert found["state", "credit", "canary"] == 1
    assert found["unchanged_seconds", "credit"] == 120
    pause(engine, rollout.id, reason=None, now=NOW + timedelta(minutes=8), **ADA)
    found = told(engine, now=NOW)  # a clock that stepped back
    assert [key for key in found if key[0] == "state"] == [("state", "credit", "paused")]
    assert found["unchanged_seconds", "credit"] == 0


def test_what_can_be_done_and_was_not_is_told_as_zero_so_that_the_first_time_is_a_rise(
    engine: Engine, registry: FakeRegistry
) -> None:
    rollout = started(engine, registry)
    found = told(engine)
    assert {key[-1] for key in found if key[0] == "decisions_total"} == set(map(str, Action))
    assert decisions(engine) == {"started": 1}
    abort(engine, rollout.id, reason=None, now=NOW, **ADA)
    assert decisions(engine) == {"started": 1, "aborted": 1}


def test_the_newest_rollout_tells_the_state_and_all_of_them_the_decisions(
    engine: Engine, registry: FakeRegistry
) -> None:
    abort(engine, started(engine, registry).id, reason=None, now=NOW, **ADA)
    found = told(engine)
    assert found["state", "credit", "rolled_back"] == 1
    assert "unchanged_seconds" not in {key[0] for key in found}
    again = started(engine, registry, at=NOW + timedelta(hours=1))
    begin_promotion(engine, again.id, now=NOW, **ADA)
    assert told(engine)["state", "credit", "promoting"] == 1
    finish_promotion(engine, again.id, now=NOW, **ADA)
    assert told(engine)["state", "credit", "promoted"] == 1
    assert decisions(engine) == {"started": 2, "aborted": 1, "promotion_begun": 1, "promoted": 1}


def test_a_model_that_is_served_no_more_has_no_state_and_its_counts_do_not_fall(
    engine: Engine, registry: FakeRegistry
) -> None:
    abort(engine, started(engine, registry).id, reason=None, now=NOW, **ADA)
    registry.delete_alias("credit", "champion")
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))
    assert {key[0] for key in told(engine)} == {"decisions_total"}
    assert decisions(engine) == {"started": 1, "aborted": 1}
