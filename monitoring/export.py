"""The log as tables to take away: each prediction with its outcome, its features and, if asked for, its groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import ColumnElement, Connection, Engine, Table, and_, func, or_, select

from database.engine import reading
from monitoring.bulk_blocks import BulkBlock, iterate_bulk_blocks
from monitoring.feature_store import FeatureStore, feature_files, feature_tables
from monitoring.feature_table import AS_JSON, ID, OURS, TIME, conformed, unified_schema
from monitoring.logged_predictions import outcomes_by_caller, outcomes_by_id, protected_by_id
from monitoring.tables import BULK_BLOCK, PREDICTION

_ROWS_AT_ONCE: Final = 50_000
_COLUMNS: Final = pa.schema(
    [
        pa.field(ID, pa.string()),
        pa.field("fairmind.served_at", TIME),
        pa.field("fairmind.model_version", pa.string()),
        pa.field("fairmind.variant", pa.string()),
        pa.field("fairmind.prediction", pa.string(), metadata=AS_JSON),
        pa.field("fairmind.score", pa.float64()),
        pa.field("fairmind.latency_us", pa.int64()),
        pa.field("fairmind.unit_hash", pa.string()),
        pa.field("fairmind.cohort", pa.string()),
        pa.field("fairmind.caller_id", pa.string()),
        pa.field("fairmind.is_repeat", pa.bool_()),
        pa.field("fairmind.outcome", pa.string(), metadata=AS_JSON),
    ]
)
_PROTECTED: Final = pa.field("fairmind.protected", pa.string(), metadata=AS_JSON)
_MOMENT: Final = timedelta(microseconds=1)

Row = tuple[Any, ...]
"""A prediction without its outcome: a value for each of the first eleven columns, and its protected attributes."""


@dataclass(frozen=True, slots=True)
class Export:
    """What is exported: the predictions of a model served in [since, until).

    Columns are `fairmind.*`, then the features by their names. Predictions and outcomes are JSON texts, protected
    attributes one of name and group. Rows whose features are not kept, or not archived yet, have none; rows of bulk
    requests come last.
    """

    engine: Engine
    store: FeatureStore
    model: str
    since: datetime
    until: datetime
    protected: bool = False

    def rows(self) -> int:
        """Return how many predictions there are."""
        with reading(self.engine) as connection:
            narrow = select(func.count()).select_from(PREDICTION).where(self._in(PREDICTION))
            bulk = select(func.coalesce(func.sum(BULK_BLOCK.c.rows), 0)).where(self._in(BULK_BLOCK))
            return int(connection.execute(narrow).scalar_one()) + int(connection.execute(bulk).scalar_one())

    def schema(self) -> pa.Schema:
        """Return the columns of every table."""
        with reading(self.engine) as connection:
            paths = feature_files(connection, self.model, since=self.since, until=self.until)
        features = unified_schema([self.store.schema(path) for path in paths])
        ours = [*_COLUMNS, *([_PROTECTED] if self.protected else [])]
        taken = {field.name for field in ours} | set(OURS)
        return pa.schema([*ours, *(field for field in features if field.name not in taken)])

    def tables(self, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield the rows as tables of some thousand, in the columns of `schema`."""
        after: tuple[datetime, str] | None = None
        while True:
            with reading(self.engine) as connection:
                rows = self._narrow(connection, after)
                if not rows:
                    break
                table = self._table(connection, rows, schema)
            yield table
            after = rows[-1][1], rows[-1][0]
        with reading(self.engine) as connection:
            statement = select(BULK_BLOCK).where(self._in(BULK_BLOCK)).order_by(BULK_BLOCK.c.served_at)
            for block in iterate_bulk_blocks(connection, statement):
                yield self._table(connection, _rows_of(block), schema)

    def _in(self, table: Table) -> ColumnElement[bool]:
        return and_(table.c.model == self.model, table.c.served_at >= self.since, table.c.served_at < self.until)

    def _narrow(self, connection: Connection, after: tuple[datetime, str] | None) -> list[Row]:
        columns = PREDICTION.c
        statement = select(
            columns.prediction_id,
            columns.served_at,
            columns.model_version,
            columns.variant,
            columns.prediction,
            columns.score,
            columns.latency_us,
            columns.unit_hash,
            columns.cohort,
            columns.caller_id,
            columns.is_repeat,
        )
        statement = statement.where(self._in(PREDICTION))
        if after is not None:
            time, name = after
            same = and_(columns.served_at == time, columns.prediction_id > name)
            statement = statement.where(columns.served_at >= time, or_(columns.served_at > time, same))
        statement = statement.order_by(columns.served_at, columns.prediction_id).limit(_ROWS_AT_ONCE)
        found = connection.execute(statement).all()
        groups = protected_by_id(connection, [row[0] for row in found]) if self.protected else {}
        return [(*row, groups.get(row[0])) for row in found]

    def _table(self, connection: Connection, rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
        *values, groups = zip(*rows, strict=True)
        ids, callers = values[0], values[9]
        outcomes = outcomes_by_id(connection, ids)
        named = {caller for caller in callers if caller is not None}
        by_caller = outcomes_by_caller(connection, self.model, sorted(named))
        latest = [
            max(outcomes.get(name, (-1, None)), by_caller.get(caller, (-1, None)), key=lambda told: told[0])[1]
            for name, caller in zip(ids, callers, strict=True)
        ]
        columns: dict[str, Any] = dict(zip(_COLUMNS.names, [*values, latest], strict=True))
        if self.protected:
            columns[_PROTECTED.name] = groups
        ours = pa.schema([field for field in schema if field.name in columns])
        arrays = [_array(columns[field.name], field) for field in ours]
        return conformed(_with_features(pa.table(arrays, schema=ours), self._features(ids, rows, schema)), schema)

    def _features(self, ids: Sequence[str], rows: Sequence[Row], schema: pa.Schema) -> pa.Table | None:
        """Return the archived features of some rows; more rows may be there, and some missing."""
        wanted = pa.schema([_COLUMNS.field(ID), *(field for field in schema if field.name not in _OWN)])
        times = [row[1] for row in rows]
        found = feature_tables(self.engine, self.store, self.model, since=min(times), until=max(times) + _MOMENT)
        wanted_ids = pa.array(ids, pa.string())
        tables = [conformed(table.filter(pc.is_in(table.column(ID), wanted_ids)), wanted) for table in found]
        return pa.concat_tables(tables) if tables else None


_OWN: Final = frozenset({*_COLUMNS.names, _PROTECTED.name})


def _rows_of(block: BulkBlock) -> list[Row]:
    nothing = [None] * len(block.positions)
    return [
        (
            name,
            block.served_at,
            block.model_version,
            block.variant,
            prediction,
            score,
            block.latency_us,
            unit_hash,
            cohort,
            None,
            False,
            groups,
        )
        for name, prediction, score, unit_hash, cohort, groups in zip(
            block.prediction_ids(),
            block.predictions,
            block.scores or nothing,
            block.unit_hashes or nothing,
            block.cohorts or nothing,
            block.protected or nothing,
            strict=True,
        )
    ]


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if field.metadata == AS_JSON:
        return pa.array([None if value is None else orjson.dumps(value).decode() for value in values], pa.string())
    return pa.array(values, field.type)


def _with_features(table: pa.Table, features: pa.Table | None) -> pa.Table:
    if features is None:
        return table
    places = pc.index_in(table.column(ID), value_set=features.column(ID).combine_chunks())
    taken = features.drop_columns([ID]).take(places)
    for field in taken.schema:
        table = table.append_column(field, taken.column(field.name))
    return table
