"""A window of live traffic: what was predicted, for whom, and what came of it."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, select

from database.engine import reading
from monitoring.tables import OUTCOME, PREDICTION, PROTECTED_ATTRIBUTE

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class LoggedPrediction:
    """One served row; `outcome` is None until one arrives."""

    prediction_id: str
    model_version: str
    variant: str | None
    prediction: Any
    score: float | None
    latency_us: int
    outcome: Any = None
    protected: dict[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """Predictions, oldest first; `truncated` says that older ones were left out because there are too many."""

    rows: Sequence[LoggedPrediction]
    truncated: bool


def window(
    engine: Engine,
    model: str,
    *,
    since: datetime,
    until: datetime,
    variant: str | None = None,
    model_version: str | None = None,
    limit: int = 1_000_000,
) -> Window:
    """Return the predictions of one model served in [since, until) with their latest outcomes.

    What a variant answered is all there, rows without a unit too: a bias test measures everybody who got an answer.
    (A comparison of variants may use rows with a cohort only.) Rows asked for by version number have no variant and
    are in no analysis; they are left out. Of several rows to which the caller gave the same id the first counts.
    Where there are more than `limit` rows, repeated ones among them, the newest are returned.
    """
    conditions = [
        PREDICTION.c.model == model,
        PREDICTION.c.served_at < until,
        PREDICTION.c.variant.is_not(None),
    ]
    if variant is not None:
        conditions.append(PREDICTION.c.variant == variant)
    if model_version is not None:
        conditions.append(PREDICTION.c.model_version == model_version)
    columns = PREDICTION.c
    newest = (
        select(
            columns.prediction_id,
            columns.model_version,
            columns.variant,
            columns.prediction,
            columns.score,
            columns.latency_us,
            columns.caller_id,
        )
        .where(*conditions, columns.served_at >= since)
        .order_by(columns.served_at.desc(), columns.prediction_id.desc())
        .limit(limit + 1)
    )
    with reading(engine) as connection, _uncollected():
        found = connection.execute(newest).all()
        chosen = found[:limit]
        if not chosen:
            return Window((), truncated=bool(found))
        if len(found) > limit:
            oldest = select(columns.served_at).where(columns.prediction_id == chosen[-1].prediction_id)
            since = connection.execute(oldest).scalar_one()
        conditions.append(columns.served_at >= since)
        outcomes = _outcomes(connection, conditions)
        protected = _protected(connection, conditions)
        seen: set[str] = set()
        rows = []
        for id_, version, role, prediction, score, latency_us, caller_id in reversed(chosen):
            if caller_id is not None:
                if caller_id in seen:
                    continue
                seen.add(caller_id)
            groups = protected.get(id_) or {}
            rows.append(
                LoggedPrediction(id_, version, role, prediction, score, latency_us, outcomes.get(id_), groups)
            )
    return Window(rows, truncated=len(found) > limit)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the garbage collector: it would look at each of the rows many times, and none of them is garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _outcomes(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> dict[str, Any]:
    """Return the latest outcome of each prediction; a query per name it may go by, each with its index."""
    by_id = OUTCOME.c.prediction_id == PREDICTION.c.prediction_id
    by_caller = and_(OUTCOME.c.model == PREDICTION.c.model, OUTCOME.c.caller_id == PREDICTION.c.caller_id)
    latest: dict[str, int] = {}
    outcomes: dict[str, Any] = {}
    for named in (by_id, by_caller):
        statement = (
            select(PREDICTION.c.prediction_id, OUTCOME.c.id, OUTCOME.c.outcome)
            .join(OUTCOME, named)
            .where(*conditions)
        )
        for rows in connection.execute(statement).partitions(_ROWS_AT_ONCE):
            for prediction_id, outcome_id, outcome in rows:
                if latest.get(prediction_id, -1) < outcome_id:
                    latest[prediction_id] = outcome_id
                    outcomes[prediction_id] = outcome
    return outcomes


def _protected(
    connection: Connection, conditions: Sequence[ColumnElement[bool]]
) -> dict[str, dict[str, str | None]]:
    statement = (
        select(PROTECTED_ATTRIBUTE.c.prediction_id, PROTECTED_ATTRIBUTE.c.attribute, PROTECTED_ATTRIBUTE.c.value)
        .join(PREDICTION, PREDICTION.c.prediction_id == PROTECTED_ATTRIBUTE.c.prediction_id)
        .where(*conditions)
    )
    found: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
    for rows in connection.execute(statement).partitions(_ROWS_AT_ONCE):
        for prediction_id, attribute, value in rows:
            found[prediction_id][attribute] = value
    return dict(found)
