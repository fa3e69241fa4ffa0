"""Data sets that were uploaded: rows in Parquet files, what is known of them in the control database."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Engine, Row, delete, func, insert, select

from assessment.errors import DataSetNotFoundError, MissingColumnError
from assessment.tables import DATA_SET
from assessment.upload import Upload
from database.engine import reading
from sources.fingerprint import fingerprint

_ROWS_PER_BATCH: Final = 50_000


@dataclass(frozen=True, slots=True)
class DataSet:
    """What is known of one data set; `columns` maps names to types, in the order of the table."""

    id: str
    name: str
    filename: str
    user_id: str
    rows: int
    columns: dict[str, str]
    fingerprint: str
    uploaded_bytes: int
    created_at: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it; without a row."""
        return {
            "id": self.id,
            "name": self.name,
            "filename": self.filename,
            "user_id": self.user_id,
            "rows": self.rows,
            "columns": [{"name": name, "type": kind} for name, kind in self.columns.items()],
            "fingerprint": self.fingerprint,
            "uploaded_bytes": self.uploaded_bytes,
            "created_at": self.created_at.isoformat(),
        }


class DataSets:
    """The data sets in a folder, and what a database knows of them.

    Args:
        engine: The control database.
        folder: Where the rows are kept.
        most_rows: A data set of more rows is refused.
    """

    def __init__(self, engine: Engine, folder: Path, most_rows: int) -> None:
        self._engine, self._folder, self._most_rows = engine, folder, most_rows

    def add(self, upload: Upload, *, dataset_id: str, user_id: str, now: datetime) -> DataSet:
        """Keep a data set; the same rows under the same name are kept once.

        A name may be used again: it then means the newest rows.

        Raises:
            DataSetNameError: It cannot be called this.
            DataSetFormatError: It is no table.
            DataSetTooLargeError: It has too many rows.
        """
        name = upload.called(dataset_id)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        frame = upload.read(self._folder / f".{dataset_id}.incoming", self._most_rows)
        print_ = str(fingerprint(frame))
        known = self._newest(name)
        if known is not None and known.fingerprint == print_ and self._path(known.id).is_file():
            return known
        self._write(frame, dataset_id)
        values: dict[str, Any] = {
            "id": dataset_id,
            "name": name,
            "filename": upload.printable_filename,
            "user_id": user_id,
            "rows": len(frame),
            # As pairs: not every database keeps the order of an object's keys.
            "columns": [[str(column), str(dtype)] for column, dtype in frame.dtypes.items()],
            "fingerprint": print_,
            "uploaded_bytes": len(upload.content),
            "created_at": now,
        }
        with self._engine.begin() as connection:
            connection.execute(insert(DATA_SET), values)
        return DataSet(**{**values, "columns": dict(values["columns"])})

    def find(self, name: str) -> DataSet:
        """Return a data set by its id, or the newest of a name.

        Raises:
            DataSetNotFoundError: There is none, or its rows are kept elsewhere.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(DATA_SET).where(DATA_SET.c.id == name)).first()
        found = _data_set(row) if row is not None else self._newest(name)
        if found is None:
            raise DataSetNotFoundError(name)
        if not self._path(found.id).is_file():
            raise DataSetNotFoundError(name, "its rows are in another home, or gone; upload them again")
        return found

    def listed(self, *, limit: int = 50, offset: int = 0) -> tuple[list[DataSet], int]:
        """Return data sets, newest first, and how many there are in all."""
        newest = select(DATA_SET).order_by(DATA_SET.c.created_at.desc(), DATA_SET.c.id.desc())
        with reading(self._engine) as connection:
            total = connection.execute(select(func.count()).select_from(DATA_SET)).scalar_one()
            return [_data_set(row) for row in connection.execute(newest.limit(limit).offset(offset))], total

    def remove(self, name: str) -> DataSet:
        """Forget a data set and its rows; what was found on it stays.

        Raises:
            DataSetNotFoundError: There is none.
        """
        found = self.find(name)
        with self._engine.begin() as connection:
            connection.execute(delete(DATA_SET).where(DATA_SET.c.id == found.id))
        self._path(found.id).unlink(missing_ok=True)
        return found

    def read(self, data_set: DataSet, columns: Sequence[str]) -> pd.DataFrame:
        """Return some of the columns, all rows of them.

        Raises:
            MissingColumnError: It has no such column.
        """
        for column in columns:
            if column not in data_set.columns:
                raise MissingColumnError(column, list(data_set.columns))
        return pd.read_parquet(self._path(data_set.id), columns=list(dict.fromkeys(columns)))

    def batches(self, data_set: DataSet, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the rows in parts of some ten thousand, of the named columns as far as it has them."""
        wanted = [column for column in columns if column in data_set.columns]
        with pq.ParquetFile(self._path(data_set.id)) as file:
            for batch in file.iter_batches(_ROWS_PER_BATCH, columns=wanted):
                yield batch.to_pandas()

    def first_rows(self, data_set: DataSet, count: int) -> list[dict[str, Any]]:
        """Return the first rows as JSON has them."""
        with pq.ParquetFile(self._path(data_set.id)) as file:
            batch = next(file.iter_batches(count), None)
        return [] if batch is None else [{k: _plain(v) for k, v in row.items()} for row in batch.to_pylist()]

    def _newest(self, name: str) -> DataSet | None:
        newest = select(DATA_SET).where(DATA_SET.c.name == name)
        newest = newest.order_by(DATA_SET.c.created_at.desc(), DATA_SET.c.id.desc()).limit(1)
        with reading(self._engine) as connection:
            row = connection.execute(newest).first()
        return None if row is None else _data_set(row)

    def _path(self, dataset_id: str) -> Path:
        return self._folder / f"{dataset_id}.parquet"

    def _write(self, frame: pd.DataFrame, dataset_id: str) -> None:
        path, partial = self._path(dataset_id), self._folder / f".{dataset_id}.partial"
        try:
            table = pa.Table.from_pandas(frame, preserve_index=False)
            pq.write_table(table, partial, compression="zstd", row_group_size=4 * _ROWS_PER_BATCH)
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.rename(path)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """Return a cell as JSON can have it: no NaN, and a time as text."""
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - what NaN is known by
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _data_set(row: Row[Any]) -> DataSet:
    return DataSet(**{**row._mapping, "columns": dict(row.columns)})
