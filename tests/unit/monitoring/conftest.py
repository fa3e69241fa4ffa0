"""A migrated prediction log in a temporary home."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from monitoring.predictions import PredictionRecord
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for
from tests.fakes.records import prediction_record


@pytest.fixture(params=BOTH_ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with engine_asked_for(request, tmp_path / "predictions.db", "log") as engine:
        yield engine


NewRecord = Callable[..., PredictionRecord]


@pytest.fixture
def new_record() -> NewRecord:
    """Makes a record of one row; what is said otherwise replaces its values."""
    return prediction_record
