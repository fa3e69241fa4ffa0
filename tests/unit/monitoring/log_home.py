"""A spool, its shipper and its archive on a migrated log, and what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, Engine, select, text

from database.engine import reading
from monitoring.archive import Archive
from monitoring.feature_store import FeatureStore, feature_tables
from monitoring.predictions import PredictionRecord, SegmentWriter
from monitoring.rows import Rows
from monitoring.shipper import Shipper
from monitoring.tables import PREDICTION

SINCE, UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class Seen:
    """A sink of both kinds: remembers the ids it was shown in transactions that were committed, in a table."""

    def __init__(self, engine: Engine) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS seen (how TEXT, id TEXT)")

    def shipped(self, connection: Connection, records: Sequence[Rows]) -> None:
        self._note(connection, "shipped", [row[0] for record in records for row in record.predictions])

    def archived(self, connection: Connection, model: str, model_version: str, table: pa.Table) -> None:
        self._note(connection, "archived", table.column("fairmind.prediction_id").to_pylist())

    def _note(self, connection: Connection, how: str, ids: list[str]) -> None:
        for name in ids:
            connection.execute(text("INSERT INTO seen VALUES (:how, :name)"), {"how": how, "name": name})


def seen(engine: Engine, how: str) -> Counter[str]:
    with reading(engine) as connection:
        rows = connection.execute(text("SELECT id FROM seen WHERE how = :how"), {"how": how})
        return Counter(rows.scalars())


class LogHome:
    """Everything of one log in a folder; `ship` and `archive` are done by others each time, as after a restart."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.engine, self.spool, self.features = engine, folder / "spool", folder / "features"
        self.store = FeatureStore(self.features)
        self.sink = Seen(engine)

    def write(self, *requests: Sequence[PredictionRecord], segment_bytes: int = 1_000_000) -> None:
        writer = SegmentWriter(self.spool, segment_bytes=segment_bytes, spool_bytes=100_000_000)
        for records in requests:
            writer.append(records)
        writer.close()

    def ship(self) -> int:
        return Shipper(self.spool, self.engine, [self.sink], archives=True).ship().rows

    def archive(self) -> int:
        return Archive(self.spool, self.engine, self.store, [self.sink]).work()

    def settle(self) -> None:
        self.ship()
        self.archive()

    def ids(self) -> Counter[str]:
        with reading(self.engine) as connection:
            return Counter(connection.execute(select(PREDICTION.c.prediction_id)).scalars())

    def tables(self, model: str = "credit", **chosen: Any) -> list[pa.Table]:
        times = {"since": SINCE, "until": UNTIL} | chosen
        return list(feature_tables(self.engine, self.store, model, **times))

    def archived_ids(self) -> Counter[str]:
        return Counter(
            name for table in self.tables() for name in table.column("fairmind.prediction_id").to_pylist()
        )
