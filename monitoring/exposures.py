"""Exposures in the database: one row per row of a request in a rollout's cohort, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from database.engine import insert_or_fill
from database.row_insert import RowInsert
from monitoring.rows import Rows
from monitoring.tables import EXPOSURE

_ID, _STATUS = EXPOSURE.c.keys().index("prediction_id"), EXPOSURE.c.keys().index("status")


class ExposureSink:
    """Keeps the table `exposure`, in the transaction that stores the records.

    Whichever comes first, the exposure or its end: the status is the one of the end. Times are those of the first.
    """

    def __init__(self, engine: Engine) -> None:
        statement = insert_or_fill(engine, EXPOSURE, ("status", "latency_us"))
        self._insert = RowInsert(engine, EXPOSURE, statement)

    def shipped(self, connection: Connection, records: Sequence[Rows]) -> None:
        """Take note of records; most of what ends came with its exposure, and is one row to write."""
        latest: dict[str, tuple[Any, ...]] = {}
        for record in records:
            for row in record.exposures:
                if row[_STATUS] is not None or row[_ID] not in latest:
                    latest[row[_ID]] = row
        self._insert(connection, list(latest.values()))
