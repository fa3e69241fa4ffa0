"""Engines tell no values in their errors, and read JSON columns as they were written."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Column, Engine, Integer, MetaData, String, Table, select
from sqlalchemy.exc import IntegrityError, OperationalError

from database.engine import insert_or_fill, patiently, reading, server_engine
from database.errors import DatabaseUrlError
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for
from tests.postgres import Postgres

SECRET = "Zaphod-Beeblebrox"
TABLE = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("a", String), Column("b", JSON))


@pytest.fixture(params=BOTH_ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with engine_asked_for(request, tmp_path / "a.db", "log") as engine:
        TABLE.create(engine)
        yield engine


def test_a_statement_that_fails_does_not_tell_its_values(engine: Engine) -> None:
    row = {"id": 1, "a": SECRET, "b": {"features": SECRET}}
    with engine.begin() as connection:
        connection.execute(TABLE.insert(), row)
    for rows in ([row, row], row):
        with engine.begin() as connection, pytest.raises(IntegrityError) as caught:
            connection.execute(TABLE.insert(), rows)
        assert SECRET not in str(caught.value)
        assert "INSERT INTO t" in str(caught.value)


@pytest.mark.parametrize("value", [1, 2.5, True, None, "1", "good", [1, "a"], {"a": None}, 2**63 - 1, 1e300])
def test_a_json_column_gives_back_what_was_put_in(value: Any, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(TABLE.insert(), {"id": 1, "b": value})
    with reading(engine) as connection:
        found = connection.execute(select(TABLE.c.b)).scalar_one()
    assert (found, type(found)) == (value, type(value))


def test_what_is_read_has_one_view_and_waits_for_no_writer(engine: Engine) -> None:
    with engine.begin() as writer:
        writer.execute(TABLE.insert(), {"id": 1})
        with reading(engine) as connection:
            assert connection.execute(select(TABLE.c.id)).all() == []
            writer.commit()
            assert connection.execute(select(TABLE.c.id)).all() == []
    with reading(engine) as connection:
        assert connection.execute(select(TABLE.c.id)).scalars().all() == [1]


def test_writers_that_first_read_take_turns(engine: Engine) -> None:
    """Each counts what is there and adds the next number: any two at once would add the same."""
    errors: list[BaseException] = []

    def add() -> None:
        try:
            for _ in range(10):
                with engine.begin() as connection:
                    there = connection.execute(select(TABLE.c.id)).scalars().all()
                    connection.execute(TABLE.insert(), {"id": len(there)})
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with reading(engine) as connection:
        assert sorted(connection.execute(select(TABLE.c.id)).scalars()) == list(range(40))


@pytest.mark.long
def test_a_writer_on_a_server_waits_as_long_as_it_is_patient(postgres: Postgres) -> None:
    engine = postgres.migrated_engine("log")
    with engine.begin():
        with pytest.raises(OperationalError, match="lock timeout"), patiently(engine, 0.05).begin():
            pass
        with reading(engine), patiently(engine, 0.05).connect():
            pass  # who does not write waits for nobody
    other = server_engine(str(engine.url), "control")
    with engine.begin(), patiently(other, 0.05).begin():
        pass  # nor does the other tree's writer
    other.dispose()
    engine.dispose()


def test_a_row_that_is_there_is_filled_unless_the_first_column_would_be_null(engine: Engine) -> None:
    statement = insert_or_fill(engine, TABLE, ("a", "b"))
    with engine.begin() as connection:
        for a, b in ((None, 1), ("x", 2), (None, 3)):
            connection.execute(statement, {"id": 1, "a": a, "b": b})
        assert connection.execute(select(TABLE)).all() == [(1, "x", 2)]


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "sqlite:///x.db", "mysql://me:hunter2@host/x", "postgresql+psycopg2://me:hunter2@host/x"],
)
def test_an_address_of_no_postgresql_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(DatabaseUrlError) as caught:
        server_engine(url, "log")
    assert "hunter2" not in str(caught.value)


def test_an_address_keeps_what_it_says_of_the_connection() -> None:
    engine = server_engine("postgres://me@host/x?connect_timeout=60", "log")
    assert engine.url.drivername == "postgresql+psycopg"
    assert engine.url.query == {"connect_timeout": "60"}
