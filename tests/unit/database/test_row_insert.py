"""Rows given by place are stored as SQLAlchemy stores rows given by name."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import JSON, Column, DateTime, Engine, Float, Integer, MetaData, String, Table, create_engine, text
from sqlalchemy.exc import StatementError

from database.engine import insert_or_ignore, reading, server_engine, sqlite_engine
from database.row_insert import RowInsert
from database.types import UtcDateTime

WITHOUT_A_ZONE = datetime(1971, 1, 1, tzinfo=UTC).replace(tzinfo=None)
METADATA = MetaData()
TABLE = Table(
    "t",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", UtcDateTime),
    Column("told", JSON),
    Column("name", String),
    Column("score", Float),
    Column("kind", String, server_default="usual"),
)
ZONE = timezone(timedelta(hours=5, minutes=30))
ZONES = st.sampled_from([UTC, ZONE])
TOLD = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
ROW = st.tuples(
    st.integers(0, 5),
    st.none() | st.datetimes(min_value=WITHOUT_A_ZONE, timezones=ZONES),
    TOLD,
    st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5),
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.just("odd"),
)


@pytest.fixture(scope="module", params=["by place", "by name", pytest.param("as JSON", marks=pytest.mark.long)])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine whose driver takes parameters by place, one by name, and one on PostgreSQL."""
    file = tmp_path_factory.mktemp("rows") / "a.db"
    if request.param == "as JSON":
        engine = server_engine(request.getfixturevalue("postgres").new_database(), "log")
    else:
        by_name = request.param == "by name"
        engine = create_engine(f"sqlite:///{file}", paramstyle="named") if by_name else sqlite_engine(file)
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


def stored(engine: Engine) -> list[Any]:
    """Return what lies in the table, past every type's reading, and empty it."""
    kind = "typeof(told)" if engine.dialect.name == "sqlite" else "json_typeof(told)"
    with engine.begin() as connection:
        rows = [tuple(row) for row in connection.execute(text(f"SELECT *, {kind} FROM t ORDER BY id"))]
        connection.execute(TABLE.delete())
    return rows


def test_a_time_is_the_text_that_sqlalchemy_makes_of_one(tmp_path: Path) -> None:
    plain = Table("plain", MetaData(), Column("at", DateTime))
    engine = sqlite_engine(tmp_path / "a.db")
    plain.create(engine)
    ours = Table("plain", MetaData(), Column("at", UtcDateTime))
    for time in (datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=ZONE)):
        with engine.begin() as connection:
            connection.execute(plain.insert(), {"at": time.astimezone(UTC).replace(tzinfo=None)})
            connection.execute(ours.insert(), {"at": time})
            one, other = connection.execute(text("SELECT at FROM plain")).scalars()
            assert one == other
            assert connection.execute(ours.select()).scalars().all() == [time, time]
            connection.execute(ours.delete())
    with pytest.raises(StatementError, match="give them a zone"), engine.begin() as connection:
        connection.execute(ours.insert(), {"at": WITHOUT_A_ZONE})


@given(st.lists(ROW, max_size=6))
def test_the_table_holds_what_sqlalchemy_would_have_put_there(engine: Engine, rows: list[tuple[Any, ...]]) -> None:
    names = TABLE.columns.keys()
    with engine.begin() as connection:
        RowInsert(engine, TABLE)(connection, rows)
    ours = stored(engine)
    with engine.begin() as connection:
        for row in rows:
            connection.execute(insert_or_ignore(engine, TABLE), dict(zip(names, row, strict=True)))
    assert ours == stored(engine)


def test_a_row_whose_key_is_there_is_left_alone(engine: Engine) -> None:
    insert = RowInsert(engine, TABLE)
    with engine.begin() as connection:
        insert(connection, [(1, None, None, "first", None, None)])
        insert(connection, [(1, None, None, "second", None, None), (2, None, None, "third", None, None)])
    assert [row[3] for row in stored(engine)] == ["first", "third"]


@pytest.mark.parametrize(
    "rows",
    [
        [(1, WITHOUT_A_ZONE, None, "a", 0.5, None)],
        [(1, None, {1, 2}, "a", 0.5, None)],
        [(1, None, None, "a", 0.5)],
        [(1, None, None, "a", 0.5, None), (2, None, None, "a", 0.5)],
    ],
)
def test_what_cannot_be_bound_is_refused_and_stores_nothing(engine: Engine, rows: list[tuple[Any, ...]]) -> None:
    with engine.begin() as connection, pytest.raises((ValueError, TypeError)):
        RowInsert(engine, TABLE)(connection, rows)
    assert stored(engine) == []


def test_no_rows_are_no_statement(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "without_tables.db")
    with reading(engine) as connection:
        RowInsert(engine, TABLE)(connection, [])
    engine.dispose()
