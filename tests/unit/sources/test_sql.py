from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from sources.errors import SourceError, SourceFormatError, SourceSettingsError, SourceUnavailableError
from sources.sql import SqlSource, _first_line


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


SECRETS = [
    "password=hunter2",
    "Password=hunter2",
    "passwd=hunter2",
    "pwd=hunter2",
    "sslpassword=hunter2",
    "ssl_key_password=hunter2",
    "token=hunter2",
    "access_token=hunter2",
    "secret=hunter2",
    "apikey=hunter2",
    "api_key=hunter2",
    "sslmode=require&api-key=hunter2",
    "user=me&user=you&password=a&password=hunter2",
    "odbc_connect=DRIVER%3DX%3BSERVER%3Dhost%3BPWD%3Dhunter2",
]


@pytest.mark.parametrize("query", SECRETS)
def test_a_secret_in_the_address_query_may_not_either(query: str) -> None:
    """The configuration is logged with every run, as config.yaml."""
    with pytest.raises(ValidationError) as caught:
        SqlSource(url=f"postgresql://me@host/people?{query}", query="SELECT 1")

    assert "url_env" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("query", ["sslmode=require", "sslrootcert=/ca.pem&connect_timeout=3", "password=", ""])
def test_what_is_no_secret_may_stand_in_the_address(query: str) -> None:
    source = SqlSource(url=f"postgresql://me@host/people?{query}", query="SELECT 1")

    assert source.describe() == "sql query (url in the configuration)"


@pytest.mark.parametrize("query", ["", "?password=hunter2", "?odbc_connect=PWD%3Dhunter2"])
def test_a_secret_never_shows_in_what_a_driver_says(query: str) -> None:
    class Said:
        orig = Exception("no login with PWD=hunter2 and hunter2 at host\nmore")

    told = _first_line(Said(), make_url(f"postgresql://me:hunter2@host/people{query}"))

    assert "hunter2" not in told
    assert told.endswith("at host")


@pytest.mark.parametrize("where", [{}, {"url": "sqlite://", "url_env": "PEOPLE_DB"}])
def test_exactly_one_address_is_given(where: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="either url or url_env"):
        SqlSource.model_validate({**where, "query": "SELECT 1"})


def test_the_description_holds_no_address() -> None:
    assert SqlSource(url_env="PEOPLE_DB", query="SELECT 1").describe() == "sql query ($PEOPLE_DB)"
