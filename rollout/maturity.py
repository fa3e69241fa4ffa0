"""Brings units into labelled statistics, each once: when its outcome has had the plan's time to come."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, Table, or_, select, update

from monitoring.bulk_blocks import read_bulk_blocks
from monitoring.logged_rows import (
    ROW_COLUMNS,
    Attributes,
    CountedRow,
    as_row,
    attributes_of,
    in_chunks,
    outcomes_of,
)
from monitoring.tables import EXPOSURE, PREDICTION
from remotes.reported import is_of_another
from rollout.evidence import PAIRED
from rollout.evidence_tables import ROLLOUT_PAIR, ROLLOUT_UNIT
from rollout.evidence_tally import Count, EvidenceTally, KnownGroups, Where, guardrails_at
from rollout.guardrail import Stage
from rollout.observations import OK, Observed, difference, observation
from rollout.plan import Plan
from rollout.shadow_pairs import both_observed

LATE_ANSWERS: Final = timedelta(minutes=10)
"""How much longer is waited for rows whose answer is not in the log; it may lie in the spool."""

_UNITS_AT_ONCE: Final = 2_000
_MOST: Final = 100_000


def mature(engine: Engine, rollout_id: str, plan: Plan, now: datetime, lasting: timedelta = timedelta.max) -> int:
    """Count units whose time has come in labelled statistics; return how many, at most some ten thousands.

    A unit counts as of the plan's `label_maturity` after its first prediction, with the outcome that was received
    last by then, and the protected attributes known now. Without an outcome it is due and not labelled. What is
    told later changes nothing. Of a prediction that retention has removed the outcome is not looked for.

    Units are taken some thousands at a time, each time in one transaction: whoever dies, nothing is counted twice.

    Args:
        engine: The prediction log.
        rollout_id: The rollout.
        plan: Its plan; without guardrails or goals of outcomes nothing is due.
        now: The time.
        lasting: After how long no further units are begun with; the next call goes on.

    Raises:
        SQLAlchemyError: The database is away or failed; the next call goes on.
    """
    if not guardrails_at(plan, Stage.LABELLED):
        return 0
    done, until = 0, time.monotonic() + lasting.total_seconds()
    for step in (_mature_units, _mature_pairs):
        while done < _MOST:
            with engine.begin() as connection:
                counted = step(connection, rollout_id, plan, now)
            done += counted
            if time.monotonic() >= until:
                return done
            if not counted:
                break
    return done


def _mature_units(connection: Connection, rollout_id: str, plan: Plan, now: datetime) -> int:
    columns = ROLLOUT_UNIT.c
    is_ended = or_(columns.completed.is_(True), columns.due_at <= now - LATE_ANSWERS)
    units = _due(connection, select(ROLLOUT_UNIT).where(is_ended), ROLLOUT_UNIT, rollout_id, now)
    if not units:
        return 0
    logged = _Logged(connection, plan, units)
    statuses = _statuses(connection, {unit.prediction_id for unit in units} - logged.answers.keys())
    tally, known = EvidenceTally(), KnownGroups(connection, plan, rollout_id)
    labelled = guardrails_at(plan, Stage.LABELLED)
    for unit in units:
        id_, where = unit.prediction_id, Where(rollout_id, unit.epoch, unit.arm)
        groups = known.of(logged.attributes.get(id_, {}))
        seen = logged.observed(id_, statuses.get(id_))
        tally.count(where, [Count.DUE] + [Count.LABELLED] * (seen is not None and seen.outcome is not None), groups)
        if seen is not None:
            tally.observe(where, labelled, groups, partial(observation, row=seen))
    tally.write(connection)
    return len(units)


def _mature_pairs(connection: Connection, rollout_id: str, plan: Plan, now: datetime) -> int:
    pairs = _due(connection, select(ROLLOUT_PAIR), ROLLOUT_PAIR, rollout_id, now)
    if not pairs:
        return 0
    logged = _Logged(connection, plan, pairs)
    tally, known = EvidenceTally(), KnownGroups(connection, plan, rollout_id)
    labelled = guardrails_at(plan, Stage.LABELLED)
    for pair in pairs:
        id_, where = pair.prediction_id, Where(rollout_id, pair.epoch, PAIRED)
        groups, outcome = known.of(logged.attributes.get(id_, {})), logged.outcomes.get(id_)
        tally.count(where, [Count.DUE] + [Count.LABELLED] * (outcome is not None), groups)
        challenger, champion = both_observed(dict(pair._mapping), outcome)
        tally.observe(where, labelled, groups, partial(difference, challenger=challenger, champion=champion))
    tally.write(connection)
    return len(pairs)


def _due(
    connection: Connection, statement: Any, table: Table, rollout_id: str, now: datetime
) -> Sequence[Row[Any]]:
    """Return some of the rows that are due, and write down that they are done; answers in them are forgotten."""
    columns = table.c
    mine = columns.rollout_id == rollout_id
    wanted = statement.where(mine, columns.due_at <= now).order_by(columns.due_at).limit(_UNITS_AT_ONCE)
    found: Sequence[Row[Any]] = connection.execute(wanted).all()
    if found:
        done = update(table).where(mine, columns.unit.in_([row.unit for row in found]))
        answers = {name: None for name in ("champion_prediction", "challenger_prediction") if name in columns}
        connection.execute(done.values(due_at=None, **answers))
    return found


@dataclass(frozen=True, slots=True)
class _Answer:
    """What was answered to one row."""

    prediction: Any
    score: float | None
    latency_us: int


class _Logged:
    """What the log knows of the predictions of units: answers, attributes, and outcomes received in time, by id."""

    def __init__(self, connection: Connection, plan: Plan, units: Sequence[Row[Any]]) -> None:
        self.answers: dict[str, _Answer] = {}
        self._units = {unit.prediction_id: unit.unit if plan.unit == "unit" else None for unit in units}
        rows = self._read(connection)
        rows |= self._read_bulk(connection, self._units.keys() - rows.keys())
        rows |= {id_: self._row(id_) for id_ in self._units.keys() - rows.keys()}  # attributes may be told of those
        self.attributes = attributes_of(connection, rows) if plan.attributes else {}
        self.outcomes = outcomes_of(connection, rows, {unit.prediction_id: unit.due_at for unit in units})

    def observed(self, prediction_id: str, status: tuple[str | None, int | None] | None) -> Observed | None:
        """Return what is known of one row; `status` and latency of one without an answer. None: nothing is."""
        answer = self.answers.get(prediction_id)
        if answer is not None:
            outcome = self.outcomes.get(prediction_id)
            return Observed(OK, answer.prediction, answer.score, answer.latency_us, outcome)
        if status is None or status[0] in {None, OK}:
            return None
        return Observed(status[0], latency_us=status[1])

    def _read(self, connection: Connection) -> dict[str, CountedRow]:
        rows = {}
        wanted = select(*ROW_COLUMNS, PREDICTION.c.latency_us)
        for *values, latency_us in in_chunks(connection, wanted, PREDICTION.c.prediction_id, self._units):
            row = rows[values[0]] = as_row(values)
            if not is_of_another(row.model_version):
                self.answers[row.prediction_id] = _Answer(row.prediction, values[-1], latency_us)
        return rows

    def _read_bulk(self, connection: Connection, ids: set[str]) -> dict[str, CountedRow]:
        rows = {}
        blocks = read_bulk_blocks(connection, {id_.rpartition("-")[0] for id_ in ids})
        for block in (block for found in blocks.values() for block in found):
            for place, id_ in enumerate(block.prediction_ids()):
                if id_ in ids:
                    own = None if block.protected is None else block.protected[place]
                    rows[id_] = self._row(id_, own or {})
                    if is_of_another(block.model_version):
                        continue
                    score = None if block.scores is None else block.scores[place]
                    self.answers[id_] = _Answer(block.predictions[place], score, block.latency_us)
        return rows

    def _row(self, id_: str, own: Attributes = MappingProxyType({})) -> CountedRow:
        return CountedRow(id_, 0.0, "", "", "", self._units[id_], None, None, False, own)


def _statuses(connection: Connection, ids: set[str]) -> dict[str, tuple[str | None, int | None]]:
    """Return how exposures ended, and after how many microseconds."""
    columns = EXPOSURE.c
    wanted = select(columns.prediction_id, columns.status, columns.latency_us)
    found = in_chunks(connection, wanted, columns.prediction_id, ids)
    return {id_: (status, latency_us) for id_, status, latency_us in found}
