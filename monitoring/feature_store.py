"""The feature store: Parquet files with what was predicted and from what, on a disk or in an object store.

The database knows the files (`FEATURE_FILE`); one that it does not know is not there.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs
from sqlalchemy import Connection, Engine, select

from database.engine import reading
from monitoring.errors import FeatureStoreError
from monitoring.feature_table import SERVED_AT, VARIANT
from monitoring.tables import FEATURE_FILE

_ROW_GROUP_ROWS: Final = 100_000
_LONGEST_NAME: Final = 150
_SCHEMES: Final = frozenset({"abfs", "abfss", "file", "gcs", "gs", "hdfs", "mock", "s3", "viewfs"})


class FeatureStore:
    """Reads and writes files by their path in the store, which is first asked for when it is needed.

    Args:
        root: A folder, or the URI of one: `file:///…`, `s3://bucket/prefix`, whatever `pyarrow.fs` knows. What an
            object store asks for, keys and addresses, is taken from the environment as its own clients do.

    Raises:
        FeatureStoreError: The URI is of no kind of store that is known.
    """

    def __init__(self, root: Path | str) -> None:
        scheme, found, _ = ("", "", "") if isinstance(root, Path) else root.partition("://")
        if found and scheme not in _SCHEMES:
            raise FeatureStoreError(f"known are {', '.join(sorted(_SCHEMES))}")
        self._root = root
        self._is_local = not found or scheme == "file"

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system, and the root in it; of some stores, finding it asks the network."""
        if isinstance(self._root, Path) or "://" not in self._root:
            return fs.LocalFileSystem(), str(Path(self._root).resolve())
        try:
            files, base = fs.FileSystem.from_uri(self._root)
        except (pa.ArrowInvalid, ValueError) as error:
            raise FeatureStoreError(type(error).__name__) from error
        return files, base.rstrip("/")

    def write(self, path: str, table: pa.Table) -> int:
        """Write a file, which is there as a whole or not at all, and on a disk for good; return its bytes.

        Raises:
            OSError: The store refused, or cannot be reached.
            FeatureStoreError: The URI is none.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", row_group_size=_ROW_GROUP_ROWS)
        content = sink.getvalue()
        files, base = self._place
        if self._is_local:
            _write_durably(Path(base) / path, content)
            return int(content.size)
        try:
            stream = files.open_output_stream(f"{base}/{path}")
        except FileNotFoundError:  # a store that has folders
            files.create_dir(f"{base}/{path}".rpartition("/")[0], recursive=True)
            stream = files.open_output_stream(f"{base}/{path}")
        with stream:
            stream.write(content)
        return int(content.size)

    def read(self, path: str, filters: Any = None) -> pa.Table:
        """Return a file's table, some rows of it where asked for."""
        files, base = self._place
        return pq.read_table(f"{base}/{path}", filesystem=files, filters=filters)

    def batches(self, path: str, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield a file's rows in their order, some at a time; of a large file memory holds a row group.

        Raises:
            OSError: The store cannot be reached, or the file is gone.
        """
        files, base = self._place
        with files.open_input_file(f"{base}/{path}") as source, pq.ParquetFile(source) as file:
            for batch in file.iter_batches(batch_size=rows, columns=columns):
                yield pa.Table.from_batches([batch])

    def schema(self, path: str) -> pa.Schema:
        """Return the schema of a file's table."""
        files, base = self._place
        return pq.read_schema(f"{base}/{path}", filesystem=files)

    def remove(self, path: str) -> None:
        """Remove a file; there may be none."""
        files, base = self._place
        with contextlib.suppress(FileNotFoundError):
            files.delete_file(f"{base}/{path}")

    def sweep(self) -> None:
        """Remove what was left on the disk by those who died while they wrote; for when nobody writes."""
        if self._is_local:
            for torn in Path(self._place[1]).glob(f"*/*/*/*{_TORN}"):
                torn.unlink(missing_ok=True)


def feature_path(model: str, model_version: str, served_at: datetime, name: str) -> str:
    """Return a file's path in the store, safe on every one of them."""
    return f"{_safe(model)}/{_safe(model_version)}/{served_at:%Y-%m-%d}/{name}.parquet"


def file_row(path: str, model: str, model_version: str, table: pa.Table, size: int) -> dict[str, Any]:
    """Return the row of `FEATURE_FILE` for a file with at least one row, as it was archived."""
    first, last = served_range(table)
    return {
        "path": path,
        "model": model,
        "model_version": model_version,
        "level": 0,
        "rows": table.num_rows,
        "bytes": size,
        "first_served_at": first,
        "last_served_at": last,
    }


def served_range(table: pa.Table) -> tuple[datetime, datetime]:
    """Return when the first and the last row of a table were served."""
    found = pc.min_max(table.column(SERVED_AT)).as_py()
    return found["min"].astimezone(UTC), found["max"].astimezone(UTC)


def feature_tables(
    engine: Engine,
    root: Path | str | FeatureStore,
    model: str,
    *,
    since: datetime,
    until: datetime,
    version: str | None = None,
    variant: str | None = None,
) -> Iterator[pa.Table]:
    """Yield the archived rows of a model served in [since, until), a table per file, in no order.

    `monitoring.feature_table.feature_tables_of` says what columns a table has; those of two tables may differ, and
    `unified` makes one of them. Rows whose features are not kept are in none, nor are those of the last minute or
    so, which are not archived yet.

    Raises:
        OSError: The store cannot be reached.
    """
    store = root if isinstance(root, FeatureStore) else FeatureStore(root)
    with reading(engine) as connection:
        paths = feature_files(connection, model, since=since, until=until, version=version)
    chosen = (pc.field(SERVED_AT) >= since) & (pc.field(SERVED_AT) < until)
    if variant is not None:
        chosen &= pc.field(VARIANT) == variant
    for path in paths:
        table = store.read(path, filters=chosen)
        if table.num_rows:
            yield table


def feature_files(
    connection: Connection, model: str, *, since: datetime, until: datetime, version: str | None = None
) -> list[str]:
    """Return the paths of files that may have rows of a model served in [since, until), the oldest first."""
    columns = FEATURE_FILE.c
    statement = (
        select(columns.path)
        .where(columns.model == model, columns.last_served_at >= since, columns.first_served_at < until)
        .where(columns.remove_at.is_(None))
        .order_by(columns.first_served_at, columns.path)
    )
    if version is not None:
        statement = statement.where(columns.model_version == version)
    return list(connection.execute(statement).scalars())


def _safe(name: str) -> str:
    """Return a name as one of a file; other names have others."""
    safe = quote(name, safe="")
    if safe.startswith("."):
        safe = f"%2E{safe[1:]}"
    if len(safe) <= _LONGEST_NAME:
        return safe
    return f"{safe[:_LONGEST_NAME]}%{blake2b(name.encode(), digest_size=8).hexdigest()}"


_TORN = ".tmp"


def _write_durably(path: Path, content: Any) -> None:
    """Write a file that is on the disk, under its name, once this returns."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    torn = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}{_TORN}")
    with torn.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    torn.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
