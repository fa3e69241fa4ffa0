"""A migrated prediction log in a temporary home."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from monitoring.predictions import PredictionRecord
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for


@pytest.fixture(params=BOTH_ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with engine_asked_for(request, tmp_path / "predictions.db", "log") as engine:
        yield engine


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
