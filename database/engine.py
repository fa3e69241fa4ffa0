"""Engines, made here and nowhere else, and the two statements dialects spell differently.

No engine puts the parameters of a statement into its errors: feature values and outcomes are among them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import ConnectionPoolEntry

_BUSY_TIMEOUT_MS = 10_000


def sqlite_engine(path: Path) -> Engine:
    """Return an engine on the SQLite file at `path`: write-ahead log, foreign keys, waits for other writers.

    `engine.begin()` takes the write lock at once (`BEGIN IMMEDIATE`), so that a transaction never fails half-way
    because another writer came first. Use `reading` for queries, which block nobody.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = create_engine(
        f"sqlite:///{path}", hide_parameters=True, json_serializer=_to_json, json_deserializer=_from_json
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def server_engine(url: str) -> Engine:
    """Return an engine on a database server; a connection found dead is replaced, not reported."""
    return create_engine(url, pool_pre_ping=True, hide_parameters=True)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Yield a connection for queries: one consistent view, no write lock."""
    with engine.connect().execution_options(fairmind_reading=True) as connection:
        yield connection


def give_back(engine: Engine, pages: int) -> None:
    """Give some free pages of a SQLite file back to the file system; one made by an older release keeps them.

    Raises:
        SQLAlchemyError: The file cannot be opened.
        sqlite3.Error: It is locked for too long.
    """
    connection = engine.raw_connection()
    try:
        # A script, for the driver takes one step of a statement that returns no rows: one page.
        connection.cursor().executescript(f"PRAGMA incremental_vacuum({pages})")
    finally:
        connection.close()


def insert_or_ignore(engine: Engine, table: Table) -> Insert:
    """Return an insert that leaves rows alone whose key is already there."""
    if engine.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def _to_json(value: Any) -> str:
    """Return the text of a JSON column, at a tenth of the standard library's cost: a logged row has three."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        return json.dumps(value)


def _from_json(value: Any) -> Any:
    """Return the value of a JSON column; SQLite keeps a bare number as a number, not as text."""
    return value if isinstance(value, int | float) else orjson.loads(value)


def _configure_sqlite(connection: Any, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions are begun by `_begin_sqlite`, not guessed by the driver
    cursor = connection.cursor()
    for pragma in (
        "auto_vacuum=INCREMENTAL",  # of a new file; before the mode, which writes the file's first page
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get("fairmind_reading", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
