"""Databases with their tables: migrated once per process, and copied from then on."""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine

from database.engine import Tree, sqlite_engine
from database.home import Home
from database.migrate import upgrade

BOTH_ENGINES: Final = ("sqlite", pytest.param("postgresql", marks=pytest.mark.long))
"""What a fixture of an engine is parametrised with whose tests hold on either."""


@functools.cache
def _migrated(tree: Tree) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "migrated.db"
        engine = sqlite_engine(path)
        upgrade(engine, tree, Path(folder) / "migrate.lock")
        engine.dispose()  # the last connection writes the log back into the file
        return path.read_bytes()


def migrated_engine(path: Path, tree: Tree) -> Engine:
    """Return an engine on a new SQLite file at `path` that has the tables of one tree, as `upgrade` makes them."""
    place(path, tree)
    return sqlite_engine(path)


@contextlib.contextmanager
def engine_asked_for(request: pytest.FixtureRequest, path: Path, tree: Tree) -> Iterator[Engine]:
    """Yield an engine on a new database with one tree's tables, of the kind that a fixture's parameter says."""
    if request.param == "sqlite":
        engine = migrated_engine(path, tree)
    else:
        engine = request.getfixturevalue("postgres").migrated_engine(tree)
    yield engine
    engine.dispose()


def place_databases(root: Path) -> None:
    """Put both databases, migrated and empty, where a deployment looks for them in its home."""
    home = Home.at(root)
    place(home.control_db, "control")
    place(home.log_db, "log")


def place(path: Path, tree: Tree) -> None:
    """Write a migrated, empty SQLite file to `path`."""
    path.write_bytes(_migrated(tree))
