"""A window of live traffic: what was predicted, for whom, and what came of it."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, and_, select

from database.engine import reading
from monitoring.bulk_blocks import BulkBlock, iterate_bulk_blocks
from monitoring.logged_predictions import LoggedPrediction, bulk_predictions
from monitoring.tables import BULK_BLOCK, OUTCOME, PREDICTION, PROTECTED_ATTRIBUTE

_ROWS_AT_ONCE = 10_000


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
    are in no analysis; they are left out, and so are repeats of a caller's id (`monitoring.repeats`). Where there
    are more than `limit` rows, the newest are returned.
    """
    conditions = [
        PREDICTION.c.model == model,
        PREDICTION.c.served_at < until,
        PREDICTION.c.variant.is_not(None),
        PREDICTION.c.is_repeat.is_(False),
    ]
    bulk = (
        select(BULK_BLOCK)
        .where(BULK_BLOCK.c.model == model, BULK_BLOCK.c.served_at >= since, BULK_BLOCK.c.served_at < until)
        .where(BULK_BLOCK.c.variant != "")
        .order_by(BULK_BLOCK.c.served_at.desc(), BULK_BLOCK.c.request_id.desc())
    )
    if variant is not None:
        conditions.append(PREDICTION.c.variant == variant)
        bulk = bulk.where(BULK_BLOCK.c.variant == variant)
    if model_version is not None:
        conditions.append(PREDICTION.c.model_version == model_version)
        bulk = bulk.where(BULK_BLOCK.c.model_version == model_version)
    columns = PREDICTION.c
    newest = (
        select(
            columns.prediction_id,
            columns.model_version,
            columns.variant,
            columns.prediction,
            columns.score,
            columns.latency_us,
        )
        .where(*conditions, columns.served_at >= since)
        .order_by(columns.served_at.desc(), columns.prediction_id.desc())
        .limit(limit + 1)
    )
    with reading(engine) as connection, _uncollected():
        blocks = _newest_blocks(connection, bulk, limit)
        if blocks:
            newest = newest.add_columns(columns.served_at)
        found = connection.execute(newest).all()
        rows: list[LoggedPrediction] = []
        if found:
            if len(found) > limit:
                oldest = select(columns.served_at).where(columns.prediction_id == found[-1].prediction_id)
                since = connection.execute(oldest).scalar_one()
            conditions.append(columns.served_at >= since)
            outcomes, protected = _outcomes(connection, conditions), _protected(connection, conditions)
            for id_, version, role, prediction, score, latency_us, *_ in reversed(found):
                groups = protected.get(id_) or {}
                rows.append(
                    LoggedPrediction(id_, version, role, prediction, score, latency_us, outcomes.get(id_), groups)
                )
        if blocks:
            timed = [(row[-1], one.prediction_id, one) for row, one in zip(reversed(found), rows, strict=True)]
            timed += bulk_predictions(connection, blocks)
            rows = [one for _, _, one in sorted(timed, key=lambda row: row[:2])]
    return Window(tuple(rows[-limit:]), truncated=len(rows) > limit)


def _newest_blocks(connection: Connection, newest_first: Select[Any], limit: int) -> list[BulkBlock]:
    """Return bulk blocks of a window, as many as hold more than `limit` rows."""
    blocks: list[BulkBlock] = []
    rows = 0
    for block in iterate_bulk_blocks(connection, newest_first):
        blocks.append(block)
        rows += len(block.positions)
        if rows > limit:
            break
    return blocks


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
