"""Whether a version was replayed on logged traffic, and what that found, for who asks it before it serves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Row, Select, select

from database.engine import reading
from registry.versions import ModelVersion
from rollout.errors import ReplayGateError
from rollout.guardrail import Verdict
from rollout.replay_gate import ReplayGate
from rollout.tables import REPLAY

DONE = "done"
"""The state of a replay that has a result."""


def check_replay(
    engine: Engine, gate: ReplayGate, challenger: ModelVersion, against: ModelVersion, now: datetime
) -> None:
    """Refuse a version that no replay stands for.

    The newest replay counts that covers the gate's window: a later one that finds harm outdoes an earlier one.

    Raises:
        ReplayGateError: There is none, or it is too old, or found harm, or, where it must, did not pass.
    """
    replay = _newest(engine, gate, challenger, against)
    command = f"`fairmind replay --model {challenger} --against {against} --window {_days(gate.window)}` replays it"
    if replay is None:
        raise ReplayGateError(f"{challenger} was not replayed beside {against} on {_days(gate.window)}; {command}")
    if now - replay.finished_at > gate.max_age:
        raise ReplayGateError(
            f"replay '{replay.id}' of {challenger} is older than {_days(gate.max_age)}; {command}"
        )
    if replay.verdict == Verdict.VIOLATED or (gate.must_pass and replay.verdict != Verdict.PASSED):
        found = replay.verdict.replace("_", " ")
        raise ReplayGateError(
            f"replay '{replay.id}' of {challenger} beside {against} is {found}; "
            f"`fairmind replays show {replay.id}` says of what"
        )


def _newest(engine: Engine, gate: ReplayGate, challenger: ModelVersion, against: ModelVersion) -> Row[Any] | None:
    columns = REPLAY.c
    wanted: Select[Any] = (
        select(columns.id, columns.verdict, columns.finished_at, columns.since, columns.until)
        .where(columns.model == challenger.name, columns.state == DONE)
        .where(columns.challenger_version == challenger.version, columns.against_version == against.version)
        .where(columns.challenger_digest.is_not_distinct_from(challenger.digest))
        .where(columns.against_digest.is_not_distinct_from(against.digest))
        .order_by(columns.created_at.desc(), columns.id.desc())
    )
    with reading(engine) as connection:
        rows = connection.execute(wanted).all()
    wide = (row for row in rows if row.until - row.since >= gate.window)
    return next(wide, None)


def _days(length: timedelta) -> str:
    """Return a length of time as a plan says it.

    >>> _days(timedelta(days=30)), _days(timedelta(hours=36)), _days(timedelta(seconds=90))
    ('30d', '36h', '90s')
    """
    seconds = round(length.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
