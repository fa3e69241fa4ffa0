"""Engines, made here and nowhere else, and the statements dialects spell differently.

On both engines `engine.begin()` means the same: one writer at a time, who waits for the one before and sees all it
wrote. SQLite has a write lock; on a server a transaction takes an advisory lock of its tree first. What is read and
then written in one transaction needs no further care.

No engine puts the parameters of a statement into its errors: feature values and outcomes are among them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from database.errors import DatabaseUrlError

Tree = Literal["control", "log"]

_BUSY_TIMEOUT_MS = 10_000
_WRITER_LOCKS: Final[dict[Tree, int]] = {"control": 0x6661_6972_0001, "log": 0x6661_6972_0002}
"""Advisory locks of the server, one per tree: numbers that nobody else in the database happens to use."""
_IDLE_TIMEOUT_MS: Final = 60_000
"""A writer that said nothing for so long has lost its network, and the others wait for it."""
_LINK: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "fairmind",
}
"""What a connection is made with where the address says nothing else: a server that is gone is noticed soon."""


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


def server_engine(url: str, tree: Tree) -> Engine:
    """Return an engine on the PostgreSQL database at `url`, for the tables of one tree.

    A connection found dead is replaced, not reported. Both trees may lie in one database.

    Raises:
        DatabaseUrlError: It is no address of a PostgreSQL database.
    """
    try:
        address = make_url(url)
    except ArgumentError:
        raise DatabaseUrlError from None
    if address.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise DatabaseUrlError
    engine = create_engine(
        address.set(drivername="postgresql+psycopg"),
        connect_args={name: value for name, value in _LINK.items() if name not in address.query},
        pool_pre_ping=True,
        hide_parameters=True,
        json_serializer=_to_json,
        json_deserializer=_from_json,
    )
    event.listen(engine, "begin", functools.partial(_begin_server, _WRITER_LOCKS[tree]))
    return engine


def patiently(engine: Engine, seconds: float) -> Engine:
    """Return the same engine with writers that wait so long for others, where it is on a server."""
    return engine.execution_options(fairmind_lock_ms=round(seconds * 1000))


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Yield a connection for queries: one consistent view, no write lock."""
    options: dict[str, Any] = {"fairmind_reading": True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection:
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
    """Return an insert that leaves rows alone whose key is already there; `rowcount` says how many were not."""
    if engine.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_or_fill(engine: Engine, table: Table, names: Sequence[str]) -> Insert:
    """Return an insert that sets the named columns of a row whose key is there, unless the first would be null."""
    insert = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    given = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: given[name] for name in names},
        where=given[names[0]].is_not(None),
    )


def insert_or_replace(connection: Connection, table: Table) -> Insert:
    """Return an insert that gives rows whose key is already there the new values."""
    return _insert_or_set(connection, table, lambda _old, new: new)


def insert_or_add(connection: Connection, table: Table) -> Insert:
    """Return an insert that adds its values to those of rows whose key is already there."""
    return _insert_or_set(connection, table, lambda old, new: old + new)


def _insert_or_set(connection: Connection, table: Table, value: Callable[[Any, Any], Any]) -> Insert:
    kind = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement: Any = kind.insert(table)
    values = {c.name: value(c, statement.excluded[c.name]) for c in table.columns if not c.primary_key}
    keys = [column.name for column in table.primary_key]
    replacing: Insert = statement.on_conflict_do_update(index_elements=keys, set_=values)
    return replacing


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
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
    if not cursor.execute("PRAGMA page_count").fetchone()[0]:
        # Of a new file, before the mode, which writes its first page; later it would wait for whoever writes.
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_server(lock: int, connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("fairmind_reading", False):
        return
    waits = int(options.get("fairmind_lock_ms", _BUSY_TIMEOUT_MS))
    # For this transaction only, and by no option of the connection: poolers in between know of neither.
    connection.exec_driver_sql(
        f"SELECT set_config('lock_timeout', '{waits}', true), "
        f"set_config('idle_in_transaction_session_timeout', '{_IDLE_TIMEOUT_MS}', true)"
    )
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({lock})")


def _begin_sqlite(connection: Connection) -> None:
    is_reading = connection.get_execution_options().get("fairmind_reading", False)
    connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
