"""Bias tests that wait for their turn, in the control database: a restart loses none."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Engine, func, insert, select, update

from assessment.errors import TaskQueueFullError
from assessment.result import BiasTestResult
from assessment.store import Asked, outcome_of, started
from assessment.stored import BiasTestState, Findings
from assessment.tables import BIAS_TEST
from database.engine import reading

_WAITING: Final = (BiasTestState.QUEUED, BiasTestState.RUNNING)
_ATTEMPTS: Final = 2
"""A test that was begun so often and never ended may be what ended the process."""
_SECONDS_PER_TASK: Final = 5.0


@dataclass(frozen=True, slots=True)
class Task:
    """A test whose turn has come."""

    id: str
    asked: Asked
    body: dict[str, Any]
    created_at: datetime


def submit(
    engine: Engine,
    test_id: str,
    body: Mapping[str, Any],
    model: str | None,
    asked: Asked,
    *,
    limit: int,
    now: datetime,
) -> None:
    """Let a test wait for its turn.

    Raises:
        TaskQueueFullError: `limit` of them wait or run.
    """
    # Squeezed, since rows are much alike: what waits here is what a client sent, up to 32 MB of it.
    request = zlib.compress(json.dumps(dict(body)).encode(), level=1)
    waiting = select(func.count()).select_from(BIAS_TEST).where(BIAS_TEST.c.state.in_(_WAITING))
    with engine.begin() as connection:
        if connection.execute(waiting).scalar_one() >= limit:
            raise TaskQueueFullError(limit, _SECONDS_PER_TASK)
        connection.execute(insert(BIAS_TEST), started(test_id, asked, model, request, now))


def take(engine: Engine, now: datetime) -> Task | None:
    """Return the test that has waited longest, from now on running; None where none waits."""
    table = BIAS_TEST.c
    oldest = (
        select(BIAS_TEST).where(table.state == BiasTestState.QUEUED).order_by(table.created_at, table.id).limit(1)
    )
    with reading(engine) as connection:  # looked at often: no write lock unless there is something to take
        if connection.execute(oldest.with_only_columns(table.id)).first() is None:
            return None
    with engine.begin() as connection:
        row = connection.execute(oldest).first()
        if row is None:
            return None
        taken = connection.execute(
            update(BIAS_TEST)
            .where(table.id == row.id, table.state == BiasTestState.QUEUED)
            .values(state=BiasTestState.RUNNING, attempts=table.attempts + 1, touched_at=now)
        )
        if not taken.rowcount:
            return None
    asked = Asked(row.user_id, dataset_id=row.dataset_id, details=row.details)
    return Task(row.id, asked, json.loads(zlib.decompress(row.request)), row.created_at)


def touch(engine: Engine, test_id: str, progress: float, now: datetime) -> None:
    """Say how far a running test is, from 0 to 1, and that it still runs."""
    _change(engine, test_id, {"progress": progress, "touched_at": now})


def finish(
    engine: Engine, result: BiasTestResult, record: Mapping[str, Any], findings: Findings, now: datetime
) -> None:
    """End a running test with what it found."""
    _change(engine, result.test_id, {**outcome_of(result, record, findings), "request": None, "finished_at": now})


def fail(engine: Engine, test_id: str, reason: str, now: datetime) -> None:
    """End a test without a result."""
    _change(
        engine,
        test_id,
        {"state": BiasTestState.FAILED, "reason": reason, "request": None, "finished_at": now, "touched_at": now},
    )


def recover(engine: Engine, *, untouched_since: datetime, now: datetime) -> None:
    """Let tests wait again that seem to run and were not heard of for so long: their process ended.

    One that was begun twice before is given up: it may be what ended it.
    """
    table = BIAS_TEST.c
    lost = (table.state == BiasTestState.RUNNING) & (table.touched_at <= untouched_since)
    given_up = "it was begun twice, and the process ended both times before it was done"
    with engine.begin() as connection:
        connection.execute(
            update(BIAS_TEST)
            .where(lost, table.attempts >= _ATTEMPTS)
            .values(state=BiasTestState.FAILED, reason=given_up, request=None, finished_at=now)
        )
        connection.execute(update(BIAS_TEST).where(lost).values(state=BiasTestState.QUEUED, progress=0.0))


def _change(engine: Engine, test_id: str, values: Mapping[str, Any]) -> None:
    running = (BIAS_TEST.c.id == test_id) & (BIAS_TEST.c.state == BiasTestState.RUNNING)
    with engine.begin() as connection:
        connection.execute(update(BIAS_TEST).where(running).values(**values))
