"""The log of decisions: whatever is altered in it, added to it or taken from it is found, and named."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Row, delete, insert, select, update

from database.engine import sqlite_engine
from rollout import rollouts
from rollout.errors import RolloutNotFoundError
from rollout.history import event_hash, event_rows, first_hash
from rollout.tables import EVALUATION, ROLLOUT, ROLLOUT_EVENT
from rollout.transitions import head_tag
from rollout.verify import Verified, verify_log
from tests.fakes.databases import migrated_engine
from tests.fakes.registry import FakeRegistry
from tests.unit.rollout.steering import NOON, PLAN, Steering, credit_registry


@pytest.fixture(scope="module")
def promoted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FakeRegistry, str]:
    """The databases of a rollout that was promoted, its head on record; made once."""
    folder = tmp_path_factory.mktemp("promoted")
    control, log = (migrated_engine(folder / f"{tree}.db", tree) for tree in ("control", "log"))
    steering = Steering(control, log, credit_registry(folder))
    steering.start(steps=[PLAN["steps"][1]])
    controller = steering.controller()
    steering.tick(controller)
    steering.see()
    steering.tick(controller)
    assert steering.tick(controller) == "promoted"
    controller.deliver(steering.now)
    for engine in (control, log):
        engine.dispose()
    return folder, steering.registry, steering.rollout_id


@pytest.fixture
def over(tmp_path: Path, promoted: tuple[Path, FakeRegistry, str]) -> Steering:
    folder, registry, rollout_id = promoted
    for tree in ("control", "log"):
        shutil.copy(folder / f"{tree}.db", tmp_path)
    control, log = (sqlite_engine(tmp_path / f"{tree}.db") for tree in ("control", "log"))
    return Steering(control, log, copy.deepcopy(registry), NOON + timedelta(hours=2), rollout_id=rollout_id)


def found(steering: Steering) -> Verified:
    (one,) = verify_log(steering.control, steering.registry, steering.rollout_id)
    return one


def test_what_nobody_touched_is_as_it_was_written(over: Steering) -> None:
    assert found(over).to_dict() == {
        "id": over.rollout_id,
        "events": 4,
        "evaluations": 2,
        "bad_row": None,
        "problem": None,
        "note": None,
    }


def in_events(number: int, **values: object) -> Callable[[Steering], None]:
    def tamper(steering: Steering) -> None:
        with steering.control.begin() as connection:
            connection.execute(update(ROLLOUT_EVENT).where(ROLLOUT_EVENT.c.number == number).values(**values))

    return tamper


def removed(number: int) -> Callable[[Steering], None]:
    def tamper(steering: Steering) -> None:
        with steering.control.begin() as connection:
            connection.execute(delete(ROLLOUT_EVENT).where(ROLLOUT_EVENT.c.number == number))

    return tamper


def in_rollout(**values: object) -> Callable[[Steering], None]:
    def tamper(steering: Steering) -> None:
        with steering.control.begin() as connection:
            connection.execute(update(ROLLOUT).values(**values))

    return tamper


def added(steering: Steering) -> None:
    with steering.control.begin() as connection:
        row = dict(connection.execute(select(ROLLOUT_EVENT).where(ROLLOUT_EVENT.c.number == 4)).one()._mapping)
        forged = row | {"number": 5, "previous_hash": row["hash"]}
        connection.execute(insert(ROLLOUT_EVENT), forged | {"hash": event_hash(row["hash"], forged)})


@pytest.mark.parametrize(
    ("tamper", "number"),
    [
        (in_events(1, actor="eve"), 1),
        (in_events(2, reason="it was fine"), 2),
        (in_events(3, state="rolled_back"), 3),
        (in_events(3, weight_bp=1), 3),
        (in_events(4, at=Steering.now + timedelta(days=1)), 4),
        (in_events(2, evaluation_id="e-0"), 2),
        (in_events(3, hash="0" * 64), 3),
        (in_events(1, hash=None), 1),
        (in_events(3, hash=None), 3),
        (removed(1), 1),
        (removed(2), 2),
        (in_rollout(plan=PLAN | {"alpha_rollback": 0.4}), 1),
        (in_rollout(challenger_version="3"), 1),
        (in_rollout(state="rolled_back"), None),
        (added, None),
        (removed(4), None),
    ],
)
def test_a_row_that_was_tampered_with_is_found(
    over: Steering, tamper: Callable[[Steering], None], number: int | None
) -> None:
    tamper(over)
    assert found(over).problem is not None
    assert found(over).bad_row == number


def test_a_chain_that_was_written_anew_is_told_by_the_tag_in_the_registry(over: Steering) -> None:
    with over.control.begin() as connection:
        previous = first_hash(connection.execute(select(ROLLOUT)).one())
        for row in connection.execute(select(ROLLOUT_EVENT).order_by(ROLLOUT_EVENT.c.number)).all():
            event = dict(row._mapping) | {"actor": "nobody"}
            made = event_hash(previous, event)
            connection.execute(
                update(ROLLOUT_EVENT)
                .where(ROLLOUT_EVENT.c.number == row.number)
                .values(actor="nobody", previous_hash=previous, hash=made)
            )
            previous = made
    assert "on version 2 in the registry" in str(found(over).problem)
    over.registry.set_tag("credit", "2", head_tag(over.rollout_id), previous)
    assert found(over).problem is None  # who can write both can forge both, which is said in docs


@pytest.mark.parametrize("column", ["evaluation", "inputs"])
def test_an_evaluation_that_was_altered_is_found(over: Steering, column: str) -> None:
    with over.control.begin() as connection:
        value = connection.execute(select(EVALUATION.c[column]).where(EVALUATION.c.number == 1)).scalar_one()
        altered = value | {"crossed": 0.5}
        connection.execute(update(EVALUATION).where(EVALUATION.c.number == 1).values({column: altered}))
    assert "evaluation 1 is not as it was written" in str(found(over).problem)


def test_an_evaluation_that_a_decision_rests_on_must_be_there(over: Steering) -> None:
    with over.control.begin() as connection:
        connection.execute(delete(EVALUATION))
    assert "rests on is not there" in str(found(over).problem)


def test_a_verdict_that_its_inputs_do_not_give_is_found(over: Steering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollout.verify.repeat", lambda _plan, stored: replace(stored.evaluation, crossed=0.5))
    assert "comes out otherwise" in str(found(over).problem)


def test_an_active_rollout_and_a_manual_one_are_verified_too(over: Steering) -> None:
    over.registry.set_alias("credit", "challenger", "3")
    over.start(guardrails=[], steps=[{"weight": 0.1}])
    assert found(over).problem is None
    rollouts.abort(over.control, over.rollout_id, reason=None, actor="ada", now=over.now)
    assert "about to be written" in str(found(over).note)
    over.controller().deliver(over.now)
    assert (found(over).problem, found(over).note) == (None, None)
    assert len(verify_log(over.control, over.registry)) == 2


def test_a_rollout_that_goes_on_while_it_is_verified_is_no_tampering(
    over: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    over.registry.set_alias("credit", "challenger", "3")
    over.start(guardrails=[], steps=[{"weight": 0.1}])

    def late(connection: Connection, rollout_id: str) -> list[Row[Any]]:
        rollouts.pause(over.control, rollout_id, reason=None, actor="ada", now=over.now)
        return event_rows(connection, rollout_id)

    monkeypatch.setattr("rollout.verify.event_rows", late)
    assert found(over).problem is None
    assert over.state() == "paused"


def test_an_unknown_rollout_is_named(over: Steering) -> None:
    with pytest.raises(RolloutNotFoundError, match="r-nope"):
        verify_log(over.control, over.registry, "r-nope")
