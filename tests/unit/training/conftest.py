"""A table of people, and one embedded MLflow store for the session (its migrations take seconds)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from registry.store import embedded_tracking_uri, prepare_embedded_store
from tests.fakes.timings import measured_briefly
from training.estimators import leave_a_core
from training.store import TrackingStore


@pytest.fixture(scope="session", autouse=True)
def _one_core_less_and_measured_briefly() -> Iterator[None]:
    with leave_a_core(), measured_briefly():
        yield


@pytest.fixture
def people() -> pd.DataFrame:
    """A table such as a stranger would have: every type of column, gaps, an identifier, dates."""
    rows, draw = 600, np.random.default_rng(7)
    age = draw.integers(18, 80, rows)
    job = draw.choice(["clerk", "smith", "baker"], rows)
    income = draw.normal(30, 8, rows) + 5 * (job == "smith")
    return pd.DataFrame(
        {
            "person_id": np.arange(rows) + 1000,
            "email": [f"p{number}@example.org" for number in range(rows)],
            "age": age,
            "job": pd.Series(np.where(draw.random(rows) < 0.1, None, job), dtype="str"),
            "income": np.where(draw.random(rows) < 0.1, np.nan, income),
            "owner": draw.random(rows) < 0.5,
            "country": "NO",
            "nothing": np.nan,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, rows), unit="D"),
            "sex": draw.choice(["f", "m"], rows),
            "y": np.where(income + age / 4 + draw.normal(0, 6, rows) > 43, "yes", "no"),
        }
    )


@pytest.fixture
def people_csv(tmp_path: Path, people: pd.DataFrame) -> Path:
    path = tmp_path / "My People.csv"
    people.drop(columns="since").to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> TrackingStore:
    root = tmp_path_factory.mktemp("mlflow")
    prepare_embedded_store(root / "mlflow.db", root / "artifacts")
    return TrackingStore(embedded_tracking_uri(root / "mlflow.db"), artifact_root=root / "artifacts")
