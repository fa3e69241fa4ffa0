"""Whether a version was replayed on logged traffic, and what that found, for who asks it before it serves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Engine, Row, Select, select

from database.engine import reading
from registry.versions import ModelVersion
from rollout.errors import ReplayGateError
from rollout.guardrail import Verdict
from rollout.plan import Plan
from rollout.replay_gate import ReplayGate
from rollout.tables import REPLAY

DONE = "done"
"""The state of a replay that has a result."""

_DEFAULT_MATURITY: Final = timedelta(days=7)
_REFUSED: Final = frozenset({Verdict.VIOLATED, Verdict.INSUFFICIENT_DATA})
"""A log that knows nothing shows no harm either: that is no reason to serve."""


def check_replay(
    engine: Engine,
    gate: ReplayGate,
    challenger: ModelVersion,
    against: ModelVersion,
    now: datetime,
    *,
    plan: Plan | None = None,
) -> None:
    """Refuse a version that no replay stands for.

    The newest replay counts that covers the gate's window and was judged by the guardrails and the label maturity
    of `plan`, or by the defaults where that has no guardrails or there is no plan. One that found harm counts
    whatever it was judged by.

    Raises:
        ReplayGateError: There is none, or it is too old, or found harm or too little, or, where it must, did not
            pass.
    """
    replay = _newest(engine, gate, challenger, against, None if plan is None or plan.is_manual else plan)
    judged_by = "" if plan is None or plan.is_manual else " --plan PLAN.yaml"
    asked = f"--model {challenger} --against {against} --window {_days(gate.window)}{judged_by}"
    command = f"`fairmind replay {asked}` replays it"
    if replay is None:
        raise ReplayGateError(f"{challenger} was not replayed beside {against} on {_days(gate.window)}; {command}")
    if now - replay.until > gate.max_age:
        raise ReplayGateError(
            f"replay '{replay.id}' of {challenger} is older than {_days(gate.max_age)}; {command}"
        )
    if replay.verdict in _REFUSED or (gate.must_pass and replay.verdict != Verdict.PASSED):
        found = replay.verdict.replace("_", " ")
        raise ReplayGateError(
            f"replay '{replay.id}' of {challenger} beside {against} is {found}; "
            f"`fairmind replays show {replay.id}` says of what"
        )


def _newest(
    engine: Engine, gate: ReplayGate, challenger: ModelVersion, against: ModelVersion, plan: Plan | None
) -> Row[Any] | None:
    columns = REPLAY.c
    wanted: Select[Any] = (
        select(columns.id, columns.verdict, columns.since, columns.until, columns.result)
        .where(columns.model == challenger.name, columns.state == DONE)
        .where(columns.challenger_version == challenger.version, columns.against_version == against.version)
        .where(columns.challenger_digest.is_not_distinct_from(challenger.digest))
        .where(columns.against_digest.is_not_distinct_from(against.digest))
        # A number without a digest may have been another version's before.
        .where(columns.created_at >= max(challenger.created_at, against.created_at))
        .order_by(columns.created_at.desc(), columns.id.desc())
    )
    with reading(engine) as connection:
        rows = connection.execute(wanted).all()
    wide = (row for row in rows if row.until - row.since >= gate.window)
    return next((row for row in wide if row.verdict == Verdict.VIOLATED or _is_judged_by(row.result, plan)), None)


def _is_judged_by(result: dict[str, Any], plan: Plan | None) -> bool:
    """Return whether a replay was judged by what a plan asks for; by the defaults where it asks for nothing."""
    maturity = _DEFAULT_MATURITY if plan is None else plan.label_maturity
    if result["outcomes"]["maturity_seconds"] != maturity.total_seconds():
        return False
    if plan is None:
        return not result["planned"]
    return bool(result["guardrails"] == [one.model_dump(mode="json") for one in plan.guardrails])


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
