"""One prediction as the log has it, whichever form its record has there, or while it waits to be shipped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, select

from database.engine import reading
from monitoring.bulk_blocks import BulkBlock, read_bulk_blocks
from monitoring.errors import PredictionNotFoundError
from monitoring.exposure_records import ANSWERED
from monitoring.logged_predictions import outcomes_by_caller, outcomes_by_id
from monitoring.rows import decode
from monitoring.spooled import spooled_lines
from monitoring.tables import PREDICTION

_COLUMNS: Final = tuple(PREDICTION.c.keys())


@dataclass(frozen=True, slots=True)
class LoggedPrediction:
    """What was answered, when, by which version and in which role.

    `prediction` and `score` are what the record has: a JSON value, and a number where there was one. `has_unit`
    says whether the row was of a unit; which one is not told. `is_shipped` is False while no database has the row.
    """

    prediction_id: str
    request_id: str
    served_at: datetime
    model: str
    model_version: str
    variant: str | None
    epoch: int
    rollout_id: str | None
    protocol: str
    has_unit: bool
    cohort: str | None
    caller_id: str | None
    prediction: Any
    score: float | None
    latency_us: int
    status: str
    is_shipped: bool


def find_prediction(engine: Engine, spool: Path, prediction_id: str) -> LoggedPrediction:
    """Return the prediction of this id, from the database or else from the spool of this machine.

    Raises:
        PredictionNotFoundError: Neither has it.
    """
    with reading(engine) as connection:
        statement = select(PREDICTION).where(PREDICTION.c.prediction_id == prediction_id)
        row = connection.execute(statement).mappings().first()
        found = _of_row(dict(row), is_shipped=True) if row is not None else _in_bulk(connection, prediction_id)
    found = found or _in_spool(spool, prediction_id)
    if found is None:
        raise PredictionNotFoundError(prediction_id)
    return found


def find_outcome(engine: Engine, logged: LoggedPrediction) -> Any:
    """Return what was told last of a prediction, under either of its names; None where nothing was."""
    with reading(engine) as connection:
        told = [*outcomes_by_id(connection, [logged.prediction_id]).values()]
        if logged.caller_id is not None:
            told += outcomes_by_caller(connection, logged.model, [logged.caller_id]).values()
    return max(told, key=lambda one: one[0])[1] if told else None


def _in_bulk(connection: Connection, prediction_id: str) -> LoggedPrediction | None:
    request_id = prediction_id.rpartition("-")[0]
    for block in read_bulk_blocks(connection, [request_id]).get(request_id, []):
        ids = block.prediction_ids()
        if prediction_id in ids:
            return _of_block(block, prediction_id, ids.index(prediction_id))
    return None


def _in_spool(spool: Path, prediction_id: str) -> LoggedPrediction | None:
    for line in spooled_lines(spool, prediction_id.rpartition("-")[0]):
        rows = decode(line).rows
        for row in rows.predictions if rows is not None else ():
            if row[0] == prediction_id:
                return _of_row(dict(zip(_COLUMNS, row, strict=True)), is_shipped=False)
    return None


def _of_row(row: dict[str, Any], *, is_shipped: bool) -> LoggedPrediction:
    unit_hash = row.pop("unit_hash")
    row.pop("is_repeat")
    return LoggedPrediction(**row, has_unit=unit_hash is not None, is_shipped=is_shipped)


def _of_block(block: BulkBlock, prediction_id: str, place: int) -> LoggedPrediction:
    return LoggedPrediction(
        prediction_id=prediction_id,
        request_id=block.request_id,
        served_at=block.served_at,
        model=block.model,
        model_version=block.model_version,
        variant=block.variant,
        epoch=block.epoch,
        rollout_id=block.rollout_id,
        protocol=block.protocol,
        has_unit=block.unit_hashes is not None and block.unit_hashes[place] is not None,
        cohort=None if block.cohorts is None else block.cohorts[place],
        caller_id=None,
        prediction=block.predictions[place],
        score=None if block.scores is None else block.scores[place],
        latency_us=block.latency_us,
        status=ANSWERED,
        is_shipped=True,
    )
