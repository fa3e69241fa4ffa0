"""A database with the control tables, and results to keep in it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Engine

from assessment.columns import BiasTestColumns, Subject, assess_columns
from assessment.options import MeasuringOptions
from assessment.result import BiasTestResult, DataSource
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture(params=BOTH_ENGINES)
def control(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    with engine_asked_for(request, tmp_path / "fairmind.db", "control") as engine:
        yield engine


def made_result(
    test_id: str = "t-1",
    *,
    model: str = "credit",
    rates: tuple[float, ...] = (0.5, 0.5),
    rows: int = 2_000,
    groups: tuple[str, ...] = ("a", "b", "c"),
    created_at: datetime = NOW,
    **more: Any,
) -> BiasTestResult:
    """Return the test of groups of `rows` people each, of whom these shares are selected."""
    columns: dict[str, list[Any]] = {"prediction": [], "outcome": [], "group": []}
    for group, rate in zip(groups, rates, strict=False):
        selected = round(rate * rows)
        columns["prediction"] += [1] * selected + [0] * (rows - selected)
        columns["outcome"] += [index % 2 for index in range(rows)]
        columns["group"] += [group] * rows
    return assess_columns(
        Subject(model, "3", DataSource.PREDICTIONS, test_id, created_at),
        BiasTestColumns(columns["prediction"], columns["outcome"], {"SEX": columns["group"]}),
        favourable=1,
        options=MeasuringOptions(**more),
        generator=np.random.default_rng(0),
    )
