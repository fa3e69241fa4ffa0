"""The rows that a window counts, read one by one from all tables: slow, plain, and the oracle of the counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select

from database.engine import reading
from monitoring.tables import OUTCOME, PREDICTION, PROTECTED_ATTRIBUTE, UNIT_ATTRIBUTE, WINDOW_CELL, WINDOW_COUNT


@dataclass(frozen=True, slots=True)
class LoggedPrediction:
    """One served row; `outcome` is None until one arrives."""

    prediction_id: str
    served_at: datetime
    model_version: str
    variant: str
    prediction: Any
    score: float | None
    outcome: Any = None
    protected: dict[str, str | None] = field(default_factory=dict)


def window_rows(
    engine: Engine,
    model: str,
    *,
    since: datetime,
    until: datetime,
    variant: str | None = None,
    model_version: str | None = None,
) -> list[LoggedPrediction]:
    """Return the predictions of one model served in [since, until), oldest first."""
    with reading(engine) as connection:
        predictions = connection.execute(select(PREDICTION).where(PREDICTION.c.variant.is_not(None))).all()
        outcomes = connection.execute(select(OUTCOME).order_by(OUTCOME.c.id)).all()
        own = connection.execute(select(PROTECTED_ATTRIBUTE)).all()
        of_units = connection.execute(select(UNIT_ATTRIBUTE)).all()
    rows = []
    for row in sorted(predictions, key=lambda row: (row.served_at, row.prediction_id)):
        if row.is_repeat:
            continue
        if row.model != model or not since <= row.served_at < until:
            continue
        if variant not in {None, row.variant} or model_version not in {None, row.model_version}:
            continue
        told = [
            each.outcome
            for each in outcomes
            if each.prediction_id == row.prediction_id
            or (row.caller_id is not None and (each.model, each.caller_id) == (row.model, row.caller_id))
        ]
        protected = {each.attribute: each.value for each in of_units if each.unit_hash == row.unit_hash}
        protected |= {each.attribute: each.value for each in own if each.prediction_id == row.prediction_id}
        rows.append(
            LoggedPrediction(
                row.prediction_id,
                row.served_at,
                row.model_version,
                row.variant,
                row.prediction,
                row.score,
                told[-1] if told else None,
                protected,
            )
        )
    return rows


Kind = tuple[str, str, tuple[tuple[str, str | None], ...], str, str]


def kinds(rows: list[LoggedPrediction]) -> Counter[Kind]:
    """Return how many rows are alike in version, variant, groups, prediction and outcome."""
    return Counter(
        (
            row.model_version,
            row.variant,
            tuple(sorted(row.protected.items())),
            repr(row.prediction),
            repr(row.outcome),
        )
        for row in rows
    )


def stored_cells(engine: Engine) -> dict[tuple[Any, ...], tuple[int, float, float]]:
    """Return all cells there are that count anything, with rounded sums."""
    with reading(engine) as connection:
        found = connection.execute(select(WINDOW_COUNT)).all()
        cells = {row.id: tuple(row)[1:] for row in connection.execute(select(WINDOW_CELL))}
    assert all(row.n >= 0 for row in found)
    return {
        (row.bucket_start, row.seconds, *cells[row.cell]): (
            row.n,
            round(row.value_sum, 6),
            round(row.value_sum_squares, 6),
        )
        for row in found
        if row.n
    }
