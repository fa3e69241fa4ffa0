"""Records into the tables of the log, with those put aside that the database will never take."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from database.row_insert import RowInsert
from monitoring.exposures import ExposureSink
from monitoring.refusals import RefusalSink
from monitoring.repeats import mark_repeats
from monitoring.rows import Line, Rows
from monitoring.sinks import Sink
from monitoring.tables import BULK_BLOCK, PREDICTION, PROTECTED_ATTRIBUTE


class LogInsert:
    """Inserts records and shows them to sinks, in a transaction of the caller's."""

    def __init__(self, engine: Engine, sinks: Sequence[Sink]) -> None:
        self._sinks: tuple[Sink, ...] = (ExposureSink(engine), RefusalSink(), *sinks)
        self._insert_predictions = RowInsert(engine, PREDICTION)
        self._insert_blocks = RowInsert(engine, BULK_BLOCK)
        self._insert_protected = RowInsert(engine, PROTECTED_ATTRIBUTE)

    def __call__(self, connection: Connection, lines: list[Line]) -> tuple[int, list[Line]]:
        """Insert records; return the rows inserted, and the lines refused for what they hold, found by halving."""
        records = [line.rows for line in lines if line.rows is not None]
        try:
            with connection.begin_nested():
                self._insert_all(connection, records)
        except Exception as error:
            if not _is_refusal(error):
                raise
            if len(lines) == 1:
                return 0, [Line(lines[0].content, None, type(error).__name__)]
            half = len(lines) // 2
            rows, refused = self(connection, lines[:half])
            more_rows, more_refused = self(connection, lines[half:])
            return rows + more_rows, refused + more_refused
        return sum(len(record.predictions) for record in records), []

    def _insert_all(self, connection: Connection, records: list[Rows]) -> None:
        mark_repeats(connection, records)
        narrow = [record for record in records if not record.is_bulk]
        self._insert_blocks(connection, [record.block for record in records if record.block is not None])
        self._insert_predictions(connection, [row for record in narrow for row in record.predictions])
        self._insert_protected(connection, [row for record in narrow for row in record.protected])
        for sink in self._sinks:
            sink.shipped(connection, records)


def _is_refusal(error: Exception) -> bool:
    """Return whether the database will refuse these rows each time, whatever its state."""
    if isinstance(error, DBAPIError):
        over_a_limit = str(getattr(error.orig, "sqlstate", "")).startswith("54")  # PostgreSQL calls it operational
        return isinstance(error, (DataError, IntegrityError)) or over_a_limit
    return isinstance(error, (StatementError, ValueError, TypeError, OverflowError))  # met while binding values
