"""Retention: what is too old, or too much, leaves the log's tables; in transactions so small that nobody waits.

The ids of requests are UUIDv7 and begin with their time: what is older than a time is a range of each primary key.
Counts that windows keep are no rows of the log, and stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, func, select, update

from database.engine import give_back
from monitoring.identifiers import uuid7
from monitoring.settings import MonitoringSettings
from monitoring.tables import BULK_BLOCK, EXPOSURE, FEATURE_BLOCK, OUTCOME, PREDICTION, PROTECTED_ATTRIBUTE
from monitoring.window_upkeep import freeze

_ROWS_AT_ONCE: Final = 2_000
_BLOCKS_AT_ONCE: Final = 10
_PAGES_AT_ONCE: Final = 2_000
_NO_TIME: Final = "0" * 19


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long what is kept, None: for ever; and most bytes of the embedded database, None: no bound."""

    predictions: timedelta | None = None
    protected: timedelta | None = None
    outcomes: timedelta | None = None
    features: timedelta | None = None
    features_bytes: int | None = None
    log_bytes: int | None = None

    @classmethod
    def of(cls, settings: MonitoringSettings) -> Self:
        """Return the policy that settings describe; what says nothing of its own is kept as long as predictions."""

        def kept(days: float | None) -> timedelta | None:
            days = settings.retention_days if days is None else days
            return None if days is None else timedelta(days=days)

        return cls(
            predictions=kept(None),
            protected=kept(settings.protected_retention_days),
            outcomes=kept(settings.outcome_retention_days),
            features=kept(settings.features_retention_days),
            features_bytes=settings.features_bytes,
            log_bytes=settings.log_bytes,
        )


class Retention:
    """Deletes from the tables of the log, a little at a time."""

    def __init__(self, engine: Engine, policy: RetentionPolicy) -> None:
        self._engine, self._policy = engine, policy
        self._is_embedded = engine.dialect.name == "sqlite"

    def step(self, now: datetime) -> int:
        """Delete some thousand of the oldest rows that are too old or too many; return how many, 0: none is left.

        Raises:
            SQLAlchemyError: The database is away or failed; the next call goes on.
        """
        policy = self._policy
        deleted = 0
        with self._engine.begin() as connection:
            removed = [age for age in (policy.predictions, policy.protected, policy.outcomes) if age is not None]
            if removed:
                freeze(connection, now - min(removed))  # what is left of such rows is not what was counted
            if policy.predictions is not None:
                before = _first_id(now - policy.predictions)
                deleted += _delete(connection, PREDICTION, PREDICTION.c.prediction_id, before, _ROWS_AT_ONCE)
                deleted += _delete(connection, BULK_BLOCK, BULK_BLOCK.c.request_id, before, _BLOCKS_AT_ONCE)
                deleted += _delete(connection, EXPOSURE, EXPOSURE.c.prediction_id, before, _ROWS_AT_ONCE)
            if policy.protected is not None:
                before = _first_id(now - policy.protected)
                attributes = PROTECTED_ATTRIBUTE.c
                deleted += _delete(connection, PROTECTED_ATTRIBUTE, attributes.prediction_id, before, _ROWS_AT_ONCE)
                deleted += _forget_protected(connection, before)
            if policy.features is not None:
                before = _first_id(now - policy.features)
                deleted += _delete(connection, FEATURE_BLOCK, FEATURE_BLOCK.c.request_id, before, _ROWS_AT_ONCE)
            if policy.outcomes is not None:
                deleted += _delete_outcomes(connection, now - policy.outcomes)
            if policy.log_bytes is not None and self._is_embedded and _used_bytes(connection) > policy.log_bytes:
                deleted += _delete_oldest(connection)
        if deleted and self._is_embedded:
            give_back(self._engine, _PAGES_AT_ONCE)
        return deleted


def _used_bytes(connection: Connection) -> int:
    pages, free, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _first_id(time: datetime) -> str:
    """Return what the ids of requests of that time begin with; those before are smaller."""
    return uuid7(max(0, int(time.timestamp() * 1000)), _NO_TIME)[:13]


def _time_of(request_id: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(request_id[:8] + request_id[9:13], 16) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _delete(connection: Connection, table: Table, key: ColumnElement[str], before: str, limit: int) -> int:
    """Delete the rows of a table with the smallest keys before one; return how many."""
    some = select(key).where(key < before).order_by(key).limit(limit).subquery()
    last = connection.execute(select(func.max(some.c[0]))).scalar_one()
    return 0 if last is None else connection.execute(delete(table).where(key <= last)).rowcount


def _forget_protected(connection: Connection, before: str) -> int:
    columns = BULK_BLOCK.c
    old = update(BULK_BLOCK).where(columns.request_id < before, columns.protected.is_not(None))
    return connection.execute(old.values(protected=None)).rowcount


def _delete_outcomes(connection: Connection, before: datetime) -> int:
    some = select(OUTCOME.c.id).order_by(OUTCOME.c.id).limit(_ROWS_AT_ONCE)
    old = delete(OUTCOME).where(OUTCOME.c.id.in_(some), OUTCOME.c.received_at < before)
    return connection.execute(old).rowcount


def _delete_oldest(connection: Connection) -> int:
    """Delete the oldest predictions with all that belongs to them; return how many rows that was."""
    bounds = []
    for key, limit in ((PREDICTION.c.prediction_id, _ROWS_AT_ONCE), (BULK_BLOCK.c.request_id, _BLOCKS_AT_ONCE)):
        some = select(key).order_by(key).limit(limit).subquery()
        last = connection.execute(select(func.max(some.c[0]))).scalar_one()
        if last is not None:
            bounds.append(last)
    if not bounds:
        return 0
    bound = min(bounds)
    keys = (
        PREDICTION.c.prediction_id,
        BULK_BLOCK.c.request_id,
        PROTECTED_ATTRIBUTE.c.prediction_id,
        EXPOSURE.c.prediction_id,
        FEATURE_BLOCK.c.request_id,
    )
    deleted = sum(connection.execute(delete(key.table).where(key <= bound)).rowcount for key in keys)
    time = _time_of(bound)
    if time is not None:
        freeze(connection, time)
    return deleted if time is None else deleted + _delete_outcomes(connection, time)
