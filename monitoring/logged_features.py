"""From what one prediction was made: its row in the feature store, or in the spool while it waits for its place."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Engine

from database.engine import reading
from monitoring.feature_store import FeatureStore, feature_files
from monitoring.feature_table import AS_JSON, ID, OURS, feature_tables_of
from monitoring.logged_prediction import LoggedPrediction
from monitoring.spooled import spooled_lines

_AROUND: Final = timedelta(seconds=1)  # the log and the store round the time of an answer differently


def find_features(
    engine: Engine, store: FeatureStore, spool: Path, logged: LoggedPrediction
) -> dict[str, Any] | None:
    """Return the features of a prediction by name, None where they are not kept, or not on this machine yet.

    Numbers are those that were decoded, to the last bit, but whole ones beyond 2**53 among others of their column
    that are not whole. A missing value is None, and so is one whose name is not kept.

    Raises:
        OSError: The store cannot be reached.
    """
    for table in _archived(engine, store, logged):
        if table.num_rows:
            return next(feature_rows(table))
    tables, _ = feature_tables_of(spooled_lines(spool, logged.request_id))
    table = tables.get((logged.model, logged.model_version))
    return None if table is None else next(feature_rows(_of_id(table, logged.prediction_id)), None)


def feature_rows(table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the features of a table of the store, a row at a time, by their names."""
    names = [name for name in table.column_names if name not in OURS]
    columns = [_plain(table.column(name), table.schema.field(name)) for name in names]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _archived(engine: Engine, store: FeatureStore, logged: LoggedPrediction) -> Iterator[pa.Table]:
    since, until = logged.served_at - _AROUND, logged.served_at + _AROUND
    with reading(engine) as connection:
        paths = feature_files(connection, logged.model, since=since, until=until, version=logged.model_version)
    return (store.read(path, filters=pc.field(ID) == logged.prediction_id) for path in paths)


def _of_id(table: pa.Table, prediction_id: str) -> pa.Table:
    return table.filter(pc.equal(table.column(ID), prediction_id))


def _plain(column: pa.ChunkedArray, field: pa.Field) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if field.metadata == AS_JSON:
        return [None if value is None else orjson.loads(value) for value in values]
    return values
