"""What a plan would meet is read from the log of the last day, and what is not there is assumed, and said."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from monitoring.tables import PREDICTION
from monitoring.window_buckets import read_buckets
from monitoring.window_cells import Amount, Cell, Tally, add
from rollout.measured_traffic import measure_traffic
from rollout.plan import Plan
from tests.fakes.databases import migrated_engine

NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)
PLAN = Plan.parse(
    {
        "model": "credit",
        "steps": [{"weight": 0.5}],
        "guardrails": [
            {"metric": "latency_slo", "slo_ms": 10, "margin": 0.05},
            {"metric": "error_rate", "margin": 0.01},
        ],
    }
)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Engine]:
    engine = migrated_engine(tmp_path / "predictions.db", "log")
    yield engine
    engine.dispose()


def served(log: Engine, rows: int, *, since: timedelta, units: int) -> None:
    """Log rows, evenly over the time since; every second one took 20 ms, the others 1 ms."""
    values: list[dict[str, Any]] = [
        {
            "prediction_id": f"p{index}",
            "request_id": f"r{index}",
            "served_at": NOW - since + since * (index / rows),
            "model": "credit",
            "model_version": "1",
            "variant": "champion",
            "epoch": 1,
            "protocol": "predict",
            "unit_hash": f"u{index % units}" if units else None,
            "prediction": 1,
            "latency_us": 20_000 if index % 2 else 1_000,
        }
        for index in range(rows)
    ]
    with log.begin() as connection:
        connection.execute(insert(PREDICTION), values)


def test_an_empty_log_is_said_to_be_one(log: Engine) -> None:
    found = measure_traffic(log, PLAN, NOW)
    assert not found.is_known
    assert any("nothing was served" in one for one in found.assumed)


def test_units_and_latencies_are_those_of_the_day(log: Engine) -> None:
    served(log, 400, since=timedelta(days=1), units=100)
    found = measure_traffic(log, PLAN, NOW)
    assert (found.is_known, found.unit_share) == (True, 1.0)
    assert found.units_per_day == pytest.approx(100, rel=0.01)
    assert found.streams["latency_slo"][0].mean == pytest.approx(0.5)
    assert found.guessed == {"error_rate"}


def test_a_log_of_an_hour_stands_for_a_day(log: Engine) -> None:
    served(log, 400, since=timedelta(hours=1), units=100)
    found = measure_traffic(log, PLAN, NOW)
    assert found.units_per_day == pytest.approx(2_400)
    assert found.rows_per_day == pytest.approx(9_600)


def test_what_somebody_says_takes_the_place_of_what_was_counted(log: Engine) -> None:
    assert measure_traffic(log, PLAN, NOW, units_per_day=7.0).units_per_day == 7.0


def test_without_units_there_is_no_unit_a_day(log: Engine) -> None:
    served(log, 200, since=timedelta(days=1), units=0)
    found = measure_traffic(log, PLAN, NOW)
    assert (found.unit_share, found.units_per_day) == (0.0, 0.0)


def test_rates_of_groups_are_those_of_the_champions_windows(log: Engine) -> None:
    plan = Plan.parse(
        {
            "model": "credit",
            "steps": [{"weight": 0.5}],
            "guardrails": [
                {"metric": "dp_diff", "attribute": "SEX", "margin": 0.05},
                {"metric": "eo_diff", "attribute": "SEX", "margin": 0.1},
            ],
            "label_maturity": "1h",
        }
    )
    tally = Tally()
    for groups, prediction, outcome, rows in (
        ('{"SEX":"1"}', "1", "1", 300),
        ('{"SEX":"1"}', "0", "1", 100),
        ('{"SEX":"2"}', "1", "", 50),
        ('{"SEX":"2"}', "0", "1", 450),
        ("{}", "1", "", 100),
    ):
        start = int((NOW - timedelta(hours=5)).timestamp()) // 3_600 * 3_600
        tally.count(Cell(start, 3_600, "credit", "1", "champion", groups, prediction, outcome), Amount(rows))
    with log.begin() as connection:
        add(connection, tally, read_buckets(connection))
    found = measure_traffic(log, plan, NOW)
    assert found.groups["SEX"] == {"1": 0.4, "2": 0.5}
    assert [(one.group, one.share, one.mean) for one in found.streams["dp_diff:SEX"]] == [
        ("1", 0.4, 0.75),
        ("2", 0.5, 0.1),
    ]
    assert found.label_share == pytest.approx(0.85)
    means = {one.group: one.mean for one in found.streams["eo_diff:SEX"]}
    assert means == {"1": 0.75, "2": 0.0}
