"""A migrated prediction log in a temporary home."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from database.engine import sqlite_engine
from database.migrate import upgrade


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = sqlite_engine(tmp_path / "predictions.db")
    upgrade(engine, "log", tmp_path / "migrate.lock")
    return engine
