"""The archive: features of shipped segments become Parquet files, each row once, whatever dies in between.

A segment that is shipped has lost its `.jsonl` name, and keeps its row in `SEGMENT` until the transaction that
registers its files and shows their rows to sinks. Files are named after their segment: written again after a crash,
they replace what was there.
"""

from __future__ import annotations

import logging
from collections.abc import Container, Sequence
from pathlib import Path

from sqlalchemy import Engine, delete, select

from database.engine import reading
from monitoring.feature_store import FeatureStore, feature_path, file_row, served_range
from monitoring.feature_table import feature_tables_of
from monitoring.predictions import QUARANTINE, SEGMENT_SUFFIX, SHIPPED_SUFFIX
from monitoring.sinks import ArchiveSink
from monitoring.tables import FEATURE_FILE, SEGMENT

_log = logging.getLogger(__name__)


class Archive:
    """Archives the shipped segments of a spool, beside the shipper.

    Args:
        spool: Folder of the segments.
        engine: The log's database.
        store: Where the files go.
        sinks: Told of each row in the transaction that registers its file.
    """

    def __init__(self, spool: Path, engine: Engine, store: FeatureStore, sinks: Sequence[ArchiveSink] = ()) -> None:
        self._spool, self._engine, self._store, self._sinks = spool, engine, store, tuple(sinks)

    def work(self) -> int:
        """Archive the segments that are there, oldest first; return their rows with features.

        Raises:
            SQLAlchemyError, OSError: The database or the store is away or failed; the next call tries again.
        """
        return sum(map(self._archive, sorted(self._spool.glob(f"*{SHIPPED_SUFFIX}"))))

    def _archive(self, path: Path) -> int:
        name = path.with_suffix(SEGMENT_SUFFIX).name
        row = select(SEGMENT.c.offset).where(SEGMENT.c.name == name)
        with reading(self._engine) as connection:
            shipped = connection.execute(row).scalar_one_or_none()
        rows = 0
        if shipped is not None:
            put_aside = self._put_aside(name)
            try:
                with path.open("rb") as segment:
                    lines = segment.read(shipped).split(b"\n")[:-1]
            except FileNotFoundError:  # another archive was done with it
                return 0
            tables, refused = feature_tables_of(line for line in lines if line not in put_aside)
            if refused:
                _log.error("segment %s: the features of %d records cannot be read and are lost", name, refused)
            files = []
            for (model, version), table in tables.items():
                file = feature_path(model, version, served_range(table)[0], path.stem)
                files.append(file_row(file, model, version, table, self._store.write(file, table)))
            with self._engine.begin() as connection:
                if connection.execute(row.with_for_update()).scalar_one_or_none() is not None:
                    if files:
                        connection.execute(FEATURE_FILE.insert(), files)
                    for sink in self._sinks:
                        for (model, version), table in tables.items():
                            sink.archived(connection, model, version, table)
                    connection.execute(delete(SEGMENT).where(SEGMENT.c.name == name))
                    rows = sum(table.num_rows for table in tables.values())
        path.unlink(missing_ok=True)
        return rows

    def _put_aside(self, name: str) -> Container[bytes]:
        """Return the lines of a segment that the database did not take."""
        try:
            return frozenset((self._spool / QUARANTINE / name).read_bytes().split(b"\n"))
        except FileNotFoundError:
            return ()
