"""Many rows into one table, given by place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table

from database.engine import insert_or_ignore

_Bind = Callable[[Any], Any]


class RowInsert:
    """Inserts rows of one table, and leaves those alone whose key is there; a third of the work per row of an
    `execute` with a dictionary for each, which names, looks up and binds every value by itself.

    Args:
        engine: Of the connections that rows are inserted on.
        table: Every one of its columns is given, in its order.
    """

    def __init__(self, engine: Engine, table: Table) -> None:
        dialect = engine.dialect
        names = [column.name for column in table.columns]
        compiled = insert_or_ignore(engine, table).compile(dialect=dialect, column_keys=names)
        self._statement = str(compiled)
        self._names = None if dialect.positional else names
        self._binds = [column.type.dialect_impl(dialect).bind_processor(dialect) for column in table.columns]

    def __call__(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows.

        Raises:
            SQLAlchemyError: As from `Connection.execute`.
            ValueError, TypeError: A value cannot be bound.
        """
        if not rows:
            return
        columns = zip(*rows, strict=True)
        bound = (
            values if bind is None else _bound(bind, values)
            for bind, values in zip(self._binds, columns, strict=True)
        )
        parameters: list[Any] = list(zip(*bound, strict=True))
        if self._names is not None:
            parameters = [dict(zip(self._names, row, strict=True)) for row in parameters]
        connection.exec_driver_sql(self._statement, parameters)


def _bound(bind: _Bind, values: tuple[Any, ...]) -> list[Any]:
    """Return values as the driver takes them; one that is the object before it is not bound anew."""
    found: list[Any] = []
    last, its = object(), None
    for value in values:
        if value is not last:
            last, its = value, bind(value)
        found.append(its)
    return found
