"""A migrated prediction log in a temporary home."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from monitoring.predictions import PredictionRecord
from tests.fakes.databases import migrated_engine


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return migrated_engine(tmp_path / "predictions.db", "log")


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
