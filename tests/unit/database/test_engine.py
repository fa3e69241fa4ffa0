"""Engines tell no values in their errors, and read JSON columns as they were written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, Column, Engine, Integer, MetaData, String, Table, select
from sqlalchemy.exc import IntegrityError

from database.engine import reading, server_engine, sqlite_engine

SECRET = "Zaphod-Beeblebrox"
TABLE = Table("t", MetaData(), Column("id", Integer, primary_key=True), Column("a", String), Column("b", JSON))


@pytest.mark.parametrize("kind", ["file", "server"])
def test_a_statement_that_fails_does_not_tell_its_values(kind: str, tmp_path: Path) -> None:
    made: dict[str, Engine] = {
        "file": sqlite_engine(tmp_path / "a.db"),
        "server": server_engine(f"sqlite:///{tmp_path}/b.db"),
    }
    engine = made[kind]
    TABLE.create(engine)
    row = {"id": 1, "a": SECRET, "b": {"features": SECRET}}
    with engine.begin() as connection:
        connection.execute(TABLE.insert(), row)
    for rows in ([row, row], row):
        with engine.begin() as connection, pytest.raises(IntegrityError) as caught:
            connection.execute(TABLE.insert(), rows)
        assert SECRET not in str(caught.value)
        assert "INSERT INTO t" in str(caught.value)
    for one in made.values():
        one.dispose()


@pytest.mark.parametrize("value", [1, 2.5, True, None, "1", "good", [1, "a"], {"a": None}, 2**63 - 1, 1e300])
def test_a_json_column_gives_back_what_was_put_in(value: Any, tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "a.db")
    TABLE.create(engine)
    with engine.begin() as connection:
        connection.execute(TABLE.insert(), {"id": 1, "b": value})
    with reading(engine) as connection:
        found = connection.execute(select(TABLE.c.b)).scalar_one()
    assert (found, type(found)) == (value, type(value))
