"""Many rows into one table, given by place."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
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
        self._statement = str(statement.compile(dialect=dialect, column_keys=names))
        self._names = None if dialect.positional else names
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
            text = _to_json(self._bound(rows, self._binds_in_one))
            if "\\u0000" not in text:  # which it takes in a column of JSON, and not in rows that come as JSON
                connection.exec_driver_sql(self._in_one, {"rows": text})
                return
        connection.exec_driver_sql(self._statement, self._bound(rows, self._binds))

    def _bound(self, rows: Sequence[tuple[Any, ...]], binds: Sequence[_Bind | None]) -> list[Any]:
        """Return rows as the driver takes them."""
        columns = zip(*rows, strict=True)
        bound = (
            values if bind is None else _each_bound(bind, values)
            for bind, values in zip(binds, columns, strict=True)
        )
        parameters: list[Any] = list(zip(*bound, strict=True))
        if self._names is not None:
            parameters = [dict(zip(self._names, row, strict=True)) for row in parameters]
        return parameters


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


def _each_bound(bind: _Bind, values: tuple[Any, ...]) -> list[Any]:
    """Return values as the driver takes them; one that is the object before it is not bound anew."""
    found: list[Any] = []
    last, its = object(), None
    for value in values:
        if value is not last:
            last, its = value, bind(value)
        found.append(its)
    return found
