"""The history of a rollout: who did what, when and why; never a change without its event, nor the reverse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, func, insert, select, update

import database.migrate
from database.engine import sqlite_engine
from database.migrate import upgrade
from rollout import rollouts
from rollout.errors import RolloutConflictError
from rollout.history import Action, Event, change, history
from rollout.plan import Plan
from rollout.serving_store import follow_aliases, serving_epochs
from rollout.tables import ROLLOUT, ROLLOUT_EVENT
from rollout.weight_changes import set_weights
from tests.fakes.registry import FakeRegistry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return NOW + timedelta(minutes=minutes)


@pytest.fixture
def started(engine: Engine, registry: FakeRegistry) -> str:
    """A rollout that ada began at noon, with a weight of 0.1."""
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))
    plan = Plan.parse({"model": "credit", "steps": [{"weight": 0.1}]})
    return rollouts.start(engine, plan, registry, actor="ada", now=NOW).id


def told(engine: Engine, rollout_id: str) -> list[tuple[Action, str, str, float, str | None]]:
    return [(one.action, one.actor, one.state, one.weight, one.reason) for one in history(engine, rollout_id)]


def test_everything_done_to_a_rollout_is_there_with_who_did_it_and_when(engine: Engine, started: str) -> None:
    set_weights(engine, started, [0.25], actor="bob", now=at(1))
    rollouts.pause(engine, started, reason="complaints", actor="eve", now=at(2))
    rollouts.resume(engine, started, actor="bob", now=at(3))
    rollouts.begin_promotion(engine, started, actor="ada", now=at(4))
    rollouts.begin_promotion(engine, started, actor="ada", now=at(5))  # taken up again: nothing changed
    rollouts.withdraw_promotion(engine, started, reason="the registry was away", actor="ada", now=at(6))
    rollouts.abort(engine, started, reason="enough", actor="0123456789ab", now=at(7))
    assert told(engine, started) == [
        (Action.STARTED, "ada", "canary", 0.1, None),
        (Action.WEIGHT_CHANGED, "bob", "canary", 0.25, None),
        (Action.PAUSED, "eve", "paused", 0.25, "complaints"),
        (Action.RESUMED, "bob", "canary", 0.25, None),
        (Action.PROMOTION_BEGUN, "ada", "promoting", 0.25, None),
        (Action.PROMOTION_WITHDRAWN, "ada", "paused", 0.25, "the registry was away"),
        (Action.ABORTED, "0123456789ab", "rolled_back", 0.0, "enough"),
    ]
    events = history(engine, started)
    assert [event.number for event in events] == list(range(1, 8))
    assert [event.at for event in events] == [at(minutes) for minutes in (0, 1, 2, 3, 4, 6, 7)]
    assert events[-1].to_dict() == {
        "number": 7,
        "from_state": "paused",
        "step": 0,
        "evaluation_id": None,
        "previous_hash": events[-2].hash,
        "hash": events[-1].hash,
        "action": "aborted",
        "state": "rolled_back",
        "weight": 0.0,
        "actor": "0123456789ab",
        "at": "2026-05-01T12:07:00+00:00",
        "reason": "enough",
    }


def test_a_promotion_ends_the_history(engine: Engine, started: str) -> None:
    rollouts.begin_promotion(engine, started, actor="bob", now=at(1))
    rollouts.finish_promotion(engine, started, actor="bob", now=at(1))
    assert told(engine, started)[1:] == [
        (Action.PROMOTION_BEGUN, "bob", "promoting", 0.1, None),
        (Action.PROMOTED, "bob", "promoted", 0.1, None),
    ]


def test_who_paused_it_because_the_alias_was_moved_is_said_too(
    engine: Engine, registry: FakeRegistry, started: str
) -> None:
    registry.set_alias("credit", "champion", "3")
    for minutes in (1, 2):
        follow_aliases(engine, registry.aliased(), at(minutes), seen=serving_epochs(engine))
    (*_, paused) = history(engine, started)
    assert (paused.number, paused.action, paused.actor, paused.at) == (2, Action.PAUSED, "companion", at(1))
    assert "was moved by hand" in str(paused.reason)


def test_what_is_refused_leaves_no_event(engine: Engine, started: str) -> None:
    rollouts.pause(engine, started, reason=None, actor="ada", now=NOW)
    for _ in range(2):
        with pytest.raises(RolloutConflictError):
            set_weights(engine, started, [0.2], actor="ada", now=NOW)
    assert len(history(engine, started)) == 2


def test_a_change_by_somebody_else_after_the_row_was_read_is_a_conflict_and_no_event(
    engine: Engine, started: str
) -> None:
    with engine.begin() as connection:
        row = connection.execute(select(ROLLOUT)).one()
        connection.execute(update(ROLLOUT).values(version=row.version + 1))
        with pytest.raises(RolloutConflictError, match="changed by somebody else"):
            change(connection, row, Action.PAUSED, actor="ada", now=NOW, state="paused")
        assert connection.execute(select(func.count()).select_from(ROLLOUT_EVENT)).scalar_one() == 1


def test_rollouts_of_before_there_was_a_history_get_their_start_and_go_on(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "old.db")
    config = Config()
    config.set_main_option(
        "script_location", str(Path(database.migrate.__file__).parent / "migrations" / "control")
    )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
    before = {
        "state": "canary",
        "version": 4,
        "champion_version": "1",
        "challenger_version": "2",
        "weight_bp": 3_000,
        "salt": "s",
        "plan": {"model": "credit", "challenger": None, "steps": [{"weight": 0.29}]},
        "created_by": "ada",
        "created_at": NOW,
    }
    with engine.begin() as connection:
        connection.execute(insert(ROLLOUT), before | {"id": "r-1", "model": "credit"})
        connection.execute(insert(ROLLOUT), before | {"id": "r-2", "model": "loans", "finished_at": at(30)})
    upgrade(engine, "control", tmp_path / "lock")
    start = Event(1, Action.STARTED, "canary", 0.29, "ada", NOW, None)
    assert history(engine, "r-1") == history(engine, "r-2") == [start]
    rollouts.pause(engine, "r-1", reason=None, actor="bob", now=at(1))
    assert [event.number for event in history(engine, "r-1")] == [1, 5]
