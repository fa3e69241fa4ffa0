from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError

from sources.errors import SourceError, SourceFormatError, SourceSettingsError, SourceUnavailableError
from sources.sql import SqlSource


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    with closing(sqlite3.connect(tmp_path / "people.db")) as connection:
        connection.execute("CREATE TABLE people (age INTEGER, job TEXT)")
        connection.executemany("INSERT INTO people VALUES (?, ?)", [(36, "clerk"), (None, "smith")])
        connection.commit()
    url = f"sqlite:///{tmp_path / 'people.db'}"
    monkeypatch.setenv("PEOPLE_DB", url)
    return url


def test_the_rows_of_a_query_are_read(address: str, tmp_path: Path) -> None:
    by_variable = SqlSource(url_env="PEOPLE_DB", query="SELECT job, age FROM people ORDER BY job").read(tmp_path)
    by_address = SqlSource(url=address, query="SELECT job, age FROM people ORDER BY job").read(tmp_path)

    assert by_variable["job"].tolist() == ["clerk", "smith"]
    assert by_variable["age"].isna().tolist() == [False, True]
    assert by_variable.equals(by_address)


@pytest.mark.usefixtures("address")
def test_a_query_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="no rows"):
        SqlSource(url_env="PEOPLE_DB", query="SELECT * FROM people WHERE age > 99").read(tmp_path)


@pytest.mark.usefixtures("address")
@pytest.mark.parametrize(
    ("query", "reason"),
    [("SELECT age, age FROM people", "two columns 'age'"), ("DELETE FROM people", "must be a SELECT")],
)
def test_a_query_that_gives_no_table_is_refused(query: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=reason):
        SqlSource(url_env="PEOPLE_DB", query=query).read(tmp_path)

    assert len(SqlSource(url_env="PEOPLE_DB", query="SELECT * FROM people").read(tmp_path)) == 2


@pytest.mark.usefixtures("address")
def test_a_table_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such table: pets") as caught:
        SqlSource(url_env="PEOPLE_DB", query="SELECT * FROM pets").read(tmp_path)

    assert "\n" not in str(caught.value)


def test_an_unset_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEOPLE_DB", raising=False)
    with pytest.raises(SourceSettingsError, match="PEOPLE_DB is not set"):
        SqlSource(url_env="PEOPLE_DB", query="SELECT 1").read(tmp_path)


def test_a_database_that_is_away_can_be_tried_again(tmp_path: Path) -> None:
    source = SqlSource(url=f"sqlite:///{tmp_path}/no/such/folder.db", query="SELECT 1")
    with pytest.raises(SourceUnavailableError):
        source.read(tmp_path)


@pytest.mark.parametrize("url", ["no-address", "oracle-of-delphi://host/name", "postgresql+nodriver://host/name"])
def test_an_address_that_makes_no_sense_never_shows_in_the_error(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEOPLE_DB", url)
    with pytest.raises(SourceSettingsError) as caught:
        SqlSource(url_env="PEOPLE_DB", query="SELECT 1").read(tmp_path)

    assert url not in str(caught.value)


def test_a_password_may_not_stand_in_the_configuration() -> None:
    with pytest.raises(ValidationError) as caught:
        SqlSource(url="postgresql://me:hunter2@host/people", query="SELECT 1")

    assert "url_env" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("where", [{}, {"url": "sqlite://", "url_env": "PEOPLE_DB"}])
def test_exactly_one_address_is_given(where: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="either url or url_env"):
        SqlSource.model_validate({**where, "query": "SELECT 1"})


def test_the_description_holds_no_address() -> None:
    assert SqlSource(url_env="PEOPLE_DB", query="SELECT 1").describe() == "sql query ($PEOPLE_DB)"
