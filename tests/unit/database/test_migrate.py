"""The migrations make exactly the tables the packages declare, once, and refuse what they do not know."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, MetaData, text

from access.tables import METADATA as ACCESS
from assessment.tables import METADATA as ASSESSMENT
from database import migrate
from database.engine import Tree, server_engine, sqlite_engine
from database.errors import DatabaseUnavailableError, SchemaVersionError
from database.migrate import upgrade, version_table
from monitoring.drift_tables import DRIFT_COUNT
from rollout.evidence_tables import METADATA as LOG
from rollout.tables import METADATA as CONTROL
from tests.fakes.databases import BOTH_ENGINES

assert DRIFT_COUNT.metadata is LOG  # whoever declares tables of the log is imported here

NewEngine = Callable[[Tree], Engine]


@pytest.fixture(params=BOTH_ENGINES)
def new_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewEngine]:
    """Makes engines on one empty database."""
    url = request.getfixturevalue("postgres").new_database() if request.param == "postgresql" else None
    made: list[Engine] = []

    def make(tree: Tree) -> Engine:
        made.append(sqlite_engine(tmp_path / "a.db") if url is None else server_engine(url, tree))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


@pytest.mark.parametrize(("tree", "metadata"), [("control", (CONTROL, ACCESS, ASSESSMENT)), ("log", (LOG,))])
def test_migrated_tables_are_the_declared_ones(
    tmp_path: Path, new_engine: NewEngine, tree: Tree, metadata: tuple[MetaData, ...]
) -> None:
    engine = new_engine(tree)
    upgrade(engine, tree, tmp_path / "lock")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": version_table(tree)})
        assert compare_metadata(context, metadata) == []


def test_both_trees_may_lie_in_one_database(tmp_path: Path, new_engine: NewEngine) -> None:
    log, control = new_engine("log"), new_engine("control")
    for _ in range(2):
        upgrade(log, "log", tmp_path / "lock")
        upgrade(control, "control", tmp_path / "lock")
    with log.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": _is_no_version})
        assert compare_metadata(context, (CONTROL, ACCESS, ASSESSMENT, LOG)) == []


def _is_no_version(name: str | None, kind: str, _parents: Any) -> bool:
    return kind != "table" or name not in {version_table("log"), version_table("control")}


def test_upgrading_twice_from_several_threads_and_as_from_several_hosts_does_it_once(
    tmp_path: Path, new_engine: NewEngine
) -> None:
    errors: list[BaseException] = []
    is_server = new_engine("log").dialect.name == "postgresql"

    def migrate(number: int) -> None:
        try:
            lock = tmp_path / (f"lock-{number}" if is_server else "lock")  # a file is one host's
            upgrade(new_engine("log"), "log", lock)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_newer_database_is_refused_with_the_remedy(tmp_path: Path, new_engine: NewEngine) -> None:
    engine = new_engine("log")
    upgrade(engine, "log", tmp_path / "lock")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version_log SET version_num = '9999'"))
    with pytest.raises(SchemaVersionError, match="9999"):
        upgrade(engine, "log", tmp_path / "lock")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").mkdir()
    with pytest.raises(DatabaseUnavailableError):
        upgrade(sqlite_engine(tmp_path / "a.db"), "log", tmp_path / "lock")


@pytest.mark.long
def test_a_server_that_is_away_is_said_to_be_without_its_password(tmp_path: Path) -> None:
    engine = server_engine(f"postgresql://me:hunter2@/x?host={tmp_path}", "log")
    with pytest.raises(DatabaseUnavailableError) as caught:
        upgrade(engine, "log", tmp_path / "lock")
    assert "hunter2" not in str(caught.value)


def test_repeats_that_were_logged_before_they_were_marked_are_marked(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "a.db")
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations" / "log"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    row = {"model_version": "1", "epoch": 1, "protocol": "predict", "prediction": "1", "latency_us": 1}
    rows = {"a": ("m", "x", 0, "v"), "b": ("m", "x", 23, "v"), "c": ("m", "x", 25, "v"), "d": ("m", "x", 26, None)}
    rows |= {"e": ("n", "x", 1, "v"), "f": ("m", None, 1, "v"), "g": ("m", "y", 0, None), "h": ("m", "y", 1, "v")}
    columns = ["prediction_id", "request_id", "served_at", "model", "variant", "caller_id", *row]
    names = ", ".join(columns)
    with engine.begin() as connection:
        for name, (model, caller, hour, variant) in rows.items():
            time = (datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None) + timedelta(hours=hour)).isoformat(
                " ", "microseconds"
            )
            values = (name, name, time, model, variant, caller, *row.values())
            marks = ", ".join("?" * len(values))
            connection.exec_driver_sql(f"INSERT INTO prediction ({names}) VALUES ({marks})", values)
    upgrade(engine, "log", tmp_path / "lock")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT prediction_id FROM prediction WHERE is_repeat")).scalars().all() == [
            "b"
        ]


def test_attributes_logged_before_they_lay_in_order_are_all_there(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "a.db")
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations" / "log"))
    found = text("SELECT * FROM protected_attribute ORDER BY prediction_id, attribute")
    rows = [("a-0", "age", None), ("a-0", "sex", "female"), ("b-0", "sex", "male")]

    def brought_to(revision: str) -> tuple[list[tuple[Any, ...]], bool]:
        """Return the attributes in that revision's table, and whether it lies in the order of its key."""
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            (command.upgrade if revision == "head" else command.downgrade)(config, revision)
            made = text("SELECT sql FROM sqlite_master WHERE name = 'protected_attribute'")
            is_in_order = "WITHOUT ROWID" in connection.execute(made).scalar_one()
            return [tuple(row) for row in connection.execute(found)], is_in_order

    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0005")
        for row in reversed(rows):
            connection.exec_driver_sql("INSERT INTO protected_attribute VALUES (?, ?, ?)", row)
    assert brought_to("head") == (rows, True)
    assert brought_to("0005") == (rows, False)
    assert brought_to("head") == (rows, True)
    upgrade(engine, "log", tmp_path / "lock")  # as it is now, that is nothing to do
    engine.dispose()
