"""Evaluations as they are kept: what was found, and all that it was found from, so that anybody can do it again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, delete, func, insert, select

from database.engine import reading
from rollout.evaluating import Evaluation, evaluate
from rollout.evidence import Cell, CellKey, Evidence, UnitCount, UnitKey
from rollout.history import canonical
from rollout.plan import Plan
from rollout.tables import EVALUATION, ROLLOUT_EVENT

CODE_VERSION: Final = "1"
"""Raised when a release judges the same evidence otherwise: an evaluation can be repeated by the same one only."""

_ALL_KEPT: Final = timedelta(hours=1)
_KEPT_EVERY: Final = 10


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """One look. `inputs` is the evidence with what else came in (`inputs_of`); `id` is made of the content."""

    id: str
    rollout_id: str
    number: int
    at: datetime
    state: str
    step: int
    evaluation: Evaluation
    inputs: dict[str, Any]
    code_version: str

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {
            "id": self.id,
            "rollout_id": self.rollout_id,
            "number": self.number,
            "at": self.at.isoformat(),
            "state": self.state,
            "step": self.step,
            "evaluation": self.evaluation.to_dict(),
            "inputs": self.inputs,
            "code_version": self.code_version,
        }


def evaluations(engine: Engine, rollout_id: str, *, limit: int | None = None) -> list[StoredEvaluation]:
    """Return the stored evaluations of a rollout, oldest first; with a limit the newest so many.

    Of those older than an hour every tenth is kept, and every one that a decision rests on.
    """
    found = select(EVALUATION).where(EVALUATION.c.rollout_id == rollout_id).order_by(EVALUATION.c.number.desc())
    with reading(engine) as connection:
        return [_stored(row) for row in connection.execute(found.limit(limit))][::-1]


def newest(connection: Connection, rollout_id: str) -> StoredEvaluation | None:
    """Return a rollout's last stored evaluation."""
    found = select(EVALUATION).where(EVALUATION.c.rollout_id == rollout_id).order_by(EVALUATION.c.number.desc())
    row = connection.execute(found.limit(1)).first()
    return None if row is None else _stored(row)


def store(
    connection: Connection,
    rollout_id: str,
    found: Evaluation,
    inputs: Mapping[str, Any],
    *,
    state: str,
    step: int,
    now: datetime,
) -> str:
    """Store an evaluation, thin out old ones, and return its id."""
    last = select(func.max(EVALUATION.c.number)).where(EVALUATION.c.rollout_id == rollout_id)
    number = (connection.execute(last).scalar() or 0) + 1
    row = {
        "rollout_id": rollout_id,
        "number": number,
        "at": now,
        "state": state,
        "step_index": step,
        "evaluation": found.to_dict(),
        "inputs": dict(inputs),
        "code_version": CODE_VERSION,
    }
    evaluation_id = content_id(row)
    connection.execute(insert(EVALUATION), row | {"id": evaluation_id})
    if number % _KEPT_EVERY == 0:
        _thin_out(connection, rollout_id, now)
    return evaluation_id


def content_id(row: Mapping[str, Any]) -> str:
    """Return the id that a row of `EVALUATION` has by its content."""
    content = {column.name: row[column.name] for column in EVALUATION.c if column.name != "id"}
    return f"e-{hashlib.sha256(canonical(content).encode()).hexdigest()[:32]}"


def inputs_of(
    evidence: Evidence, entered_at: datetime, holds: Iterable[str], *, failed: bool = False
) -> dict[str, Any]:
    """Return what an evaluation is made from as JSON-able values; `holds` are those that no evidence tells."""
    return {
        "cells": {
            name: [[*key, *cell] for key, cell in sorted(cells.items())]
            for name, cells in sorted(evidence.cells.items())
        },
        "units": [[*key, *count] for key, count in sorted(evidence.units.items())],
        "crossed": evidence.crossed,
        "watermark": evidence.watermark and evidence.watermark.isoformat(),
        "entered_at": entered_at.isoformat(),
        "holds": list(holds),
        "failed": failed,
    }


def evidence_of(inputs: Mapping[str, Any]) -> Evidence:
    """Return the evidence that `inputs_of` told."""
    key_size, unit_size = len(CellKey._fields), len(UnitKey._fields)
    watermark = inputs["watermark"]
    return Evidence(
        cells={
            name: {CellKey(*row[:key_size]): Cell(*row[key_size:]) for row in rows}
            for name, rows in inputs["cells"].items()
        },
        units={UnitKey(*row[:unit_size]): UnitCount(*row[unit_size:]) for row in inputs["units"]},
        crossed=inputs["crossed"],
        watermark=None if watermark is None else datetime.fromisoformat(watermark),
    )


def repeat(plan: Plan, stored: StoredEvaluation) -> Evaluation:
    """Return what this release finds from an evaluation's inputs: by the same code version the same, bit by bit.

    Of one that failed, and has no evidence, that is what was stored.
    """
    if stored.inputs["failed"]:
        return stored.evaluation
    entered_at = datetime.fromisoformat(stored.inputs["entered_at"])
    found = evaluate(plan, stored.step, evidence_of(stored.inputs), stored.at, entered_at=entered_at)
    return with_holds(found, stored.inputs["holds"])


def with_holds(found: Evaluation, holds: Iterable[str]) -> Evaluation:
    """Return the evaluation with further reasons to hold."""
    return replace(found, holds=(*found.holds, *holds))


def _stored(row: Row[Any]) -> StoredEvaluation:
    return StoredEvaluation(
        id=row.id,
        rollout_id=row.rollout_id,
        number=row.number,
        at=row.at,
        state=row.state,
        step=row.step_index,
        evaluation=Evaluation.from_dict(row.evaluation),
        inputs=row.inputs,
        code_version=row.code_version,
    )


def _thin_out(connection: Connection, rollout_id: str, now: datetime) -> None:
    decided = select(ROLLOUT_EVENT.c.evaluation_id).where(
        ROLLOUT_EVENT.c.rollout_id == rollout_id, ROLLOUT_EVENT.c.evaluation_id.is_not(None)
    )
    connection.execute(
        delete(EVALUATION).where(
            EVALUATION.c.rollout_id == rollout_id,
            EVALUATION.c.at < now - _ALL_KEPT,
            EVALUATION.c.number % _KEPT_EVERY != 0,
            EVALUATION.c.id.not_in(decided),
        )
    )
