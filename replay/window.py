"""A window of the archive: which rows of a model have features, and what of the log belongs to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, select

from database.engine import reading
from monitoring.bulk_blocks import BulkBlock, read_bulk_blocks
from monitoring.feature_store import FeatureStore
from monitoring.feature_table import SERVED_AT, unified_schema
from monitoring.tables import FEATURE_FILE

BATCH_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class File:
    """A Parquet file of the archive, and the version whose answers are in it."""

    path: str
    version: str


@dataclass(frozen=True, slots=True)
class Window:
    """The rows that a model answered in [since, until)."""

    engine: Engine
    store: FeatureStore
    model: str
    since: datetime
    until: datetime

    def files(self) -> list[File]:
        """Return the files that may have rows of the window, the oldest first."""
        columns = FEATURE_FILE.c
        statement = (
            select(columns.path, columns.model_version)
            .where(columns.model == self.model, columns.last_served_at >= self.since)
            .where(columns.first_served_at < self.until, columns.remove_at.is_(None))
            .order_by(columns.first_served_at, columns.path)
        )
        with reading(self.engine) as connection:
            return [File(*row) for row in connection.execute(statement)]

    def tables(
        self, files: Sequence[File], columns: Sequence[str] | None = None
    ) -> Iterator[tuple[File, pa.Table]]:
        """Yield the files' rows, some thousands at a time; the same ones in the same order however often asked.

        Raises:
            OSError: The feature store cannot be reached, or a file is gone.
        """
        since, until = (pa.scalar(time, pa.timestamp("us", tz="UTC")) for time in (self.since, self.until))
        for file in files:
            for table in self.store.batches(file.path, BATCH_ROWS, columns):
                served_at = table.column(SERVED_AT)
                inside = pc.and_(pc.greater_equal(served_at, since), pc.less(served_at, until))
                yield file, table if pc.all(inside).as_py() else table.filter(inside)

    def schema(self, files: Iterable[File]) -> pa.Schema:
        """Return the columns that any of the files has."""
        return unified_schema([self.store.schema(file.path) for file in files])


def blocks_of(connection: Connection, ids: Iterable[str]) -> Iterator[BulkBlock]:
    """Yield the blocks of the bulk requests that predictions are of."""
    requests = {id_.rpartition("-")[0] for id_ in ids}
    for blocks in read_bulk_blocks(connection, requests).values() if requests else ():
        yield from blocks
