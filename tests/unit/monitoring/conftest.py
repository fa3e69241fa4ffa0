"""A migrated prediction log in a temporary home."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from database.engine import sqlite_engine
from database.migrate import upgrade
from monitoring.predictions import PredictionRecord


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = sqlite_engine(tmp_path / "predictions.db")
    upgrade(engine, "log", tmp_path / "migrate.lock")
    return engine


NewRecord = Callable[..., PredictionRecord]


@pytest.fixture
def new_record() -> NewRecord:
    """Makes a record of one row; what is said otherwise replaces its values."""

    def make(request_id: str, **changes: Any) -> PredictionRecord:
        values: dict[str, Any] = {
            "request_id": request_id,
            "served_at": 1_700_000_000.5,
            "model": "credit",
            "model_version": "1",
            "variant": "champion",
            "epoch": 1,
            "rollout_id": None,
            "protocol": "predict",
            "latency_us": 1,
            "positions": [0],
            "predictions": [1],
            "scores": [0.5],
            "features": [{"job": "nurse"}],
        }
        return PredictionRecord(**values | changes)

    return make
