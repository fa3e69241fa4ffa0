"""The migrations make exactly the tables the packages declare, once, and refuse what they do not know."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import MetaData, text

from access.tables import METADATA as ACCESS
from assessment.tables import METADATA as ASSESSMENT
from database.engine import sqlite_engine
from database.errors import DatabaseUnavailableError, SchemaVersionError
from database.migrate import Tree, upgrade, version_table
from monitoring.tables import METADATA as LOG
from rollout.tables import METADATA as CONTROL


@pytest.mark.parametrize(("tree", "metadata"), [("control", (CONTROL, ACCESS, ASSESSMENT)), ("log", (LOG,))])
def test_migrated_tables_are_the_declared_ones(tmp_path: Path, tree: Tree, metadata: tuple[MetaData, ...]) -> None:
    engine = sqlite_engine(tmp_path / "a.db")
    upgrade(engine, tree, tmp_path / "lock")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": version_table(tree)})
        assert compare_metadata(context, metadata) == []


def test_upgrading_twice_and_from_several_threads_does_it_once(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def migrate() -> None:
        try:
            upgrade(sqlite_engine(tmp_path / "a.db"), "log", tmp_path / "lock")
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_newer_database_is_refused_with_the_remedy(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path / "a.db")
    upgrade(engine, "log", tmp_path / "lock")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version_log SET version_num = '9999'"))
    with pytest.raises(SchemaVersionError, match="9999"):
        upgrade(engine, "log", tmp_path / "lock")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.db").mkdir()
    with pytest.raises(DatabaseUnavailableError):
        upgrade(sqlite_engine(tmp_path / "a.db"), "log", tmp_path / "lock")
