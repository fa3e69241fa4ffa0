"""Many rows into one table, given by place."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import compress
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    Insert,
    LargeBinary,
    Select,
    Table,
    bindparam,
    cast,
    column,
    func,
    select,
    text,
)

from database.engine import insert_or_ignore

_Bind = Callable[[Any], Any]


class RowInsert:
    """Inserts rows of one table, and leaves those alone whose key is there; a third of the work per row of an
    `execute` with a dictionary for each, which names, looks up and binds every value by itself.

    PostgreSQL gets all rows in one statement, as one JSON text, where numbers are finite: a statement for each row
    would cost both sides several times as much.

    Args:
        engine: Of the connections that rows are inserted on.
        table: Every one of its columns is given, in its order.
        statement: What is done with a row whose key is there, where it is not left alone; then no two of the rows
            given at once have the same key.
    """

    def __init__(self, engine: Engine, table: Table, statement: Insert | None = None) -> None:
        dialect = engine.dialect
        names = [str(column.name) for column in table.columns]  # plain ones, which orjson knows
        statement = insert_or_ignore(engine, table) if statement is None else statement
        self._compiled = functools.cache(lambda keys: str(statement.compile(dialect=dialect, column_keys=keys)))
        self._names = tuple(names)
        self._by_name = not dialect.positional
        self._may_be_left_out = [one.nullable and one.server_default is None for one in table.columns]
        self._binds = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns]
        self._in_one: str | None = None
        is_binary = any(isinstance(column.type, LargeBinary) for column in table.columns)  # JSON has no bytes
        if dialect.name == "postgresql" and not is_binary:
            self._in_one = str(statement.from_select(names, _given_as_json(table)).compile(dialect=dialect))
            is_json = [isinstance(column.type, JSON) for column in table.columns]
            self._binds_in_one = [None if plain else bind for plain, bind in zip(is_json, self._binds, strict=True)]

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows.

        Raises:
            SQLAlchemyError: As from `Connection.execute`.
            ValueError, TypeError: A value cannot be bound.
        """
        if not rows:
            return
        if self._in_one is not None:
            text = _to_json(self._named(_bound(rows, self._binds_in_one)))
            if "\\u0000" not in text:  # which it takes in a column of JSON, and not in rows that come as JSON
                connection.exec_driver_sql(self._in_one, {"rows": text})
                return
        columns = _bound(rows, self._binds)
        if self._by_name:
            connection.exec_driver_sql(self._compiled(self._names), self._named(columns))
            return
        # SQLite's driver looks for an adapter of each None: 0.5 µs, and a logged row has three or four.
        given = [
            not may_be_left_out or values[0] is not None or values.count(None) < len(values)
            for may_be_left_out, values in zip(self._may_be_left_out, columns, strict=True)
        ]
        statement = self._compiled(tuple(compress(self._names, given)))
        connection.exec_driver_sql(statement, list(zip(*compress(columns, given), strict=True)))

    def _named(self, columns: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
        return [dict(zip(self._names, row, strict=True)) for row in zip(*columns, strict=True)]


def _given_as_json(table: Table) -> Select[Any]:
    """Return a query of the rows in a parameter `rows`, a JSON list of objects with every column's name."""
    rows = func.json_to_recordset(cast(bindparam("rows"), JSON))
    given = rows.table_valued(*(column(one.name, one.type) for one in table.columns))
    given = given.render_derived(name="given", with_types=True)
    return select(
        *(
            # There, JSON's null is SQL's; a column of JSON has had its own before, as on SQLite.
            func.coalesce(given.c[one.name], text("'null'::json"))
            if isinstance(one.type, JSON)
            else given.c[one.name]
            for one in table.columns
        )
    )


def _to_json(rows: list[dict[str, Any]]) -> str:
    try:
        return orjson.dumps(rows).decode()
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(rows, default=_time)


def _time(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def _bound(rows: Sequence[tuple[Any, ...]], binds: Sequence[_Bind | None]) -> list[Sequence[Any]]:
    """Return the columns of rows, each value as the driver takes it."""
    return [
        values if bind is None else _each_bound(bind, values)
        for bind, values in zip(binds, zip(*rows, strict=True), strict=True)
    ]


def _each_bound(bind: _Bind, values: tuple[Any, ...]) -> list[Any]:
    """Return values as the driver takes them; one that is the object before it is not bound anew."""
    found: list[Any] = []
    last, its = object(), None
    for value in values:
        if value is not last:
            last, its = value, bind(value)
        found.append(its)
    return found
