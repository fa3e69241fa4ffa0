"""What a window of live traffic costs to read: `python window_query.py FOLDER PREDICTIONS ROUNDS` prints JSON.

The table of counts is filled as that many predictions over 30 days would fill it: each is drawn (a moment, one of
36 combinations of groups, a prediction, an outcome for most) and counted in the bucket that it would be in now. The
rows themselves are not made: nothing measured reads them. Run in the project's own environment, as a process
with one thread: load tests themselves know the service by its network only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, func, select

from assessment.traffic import assess_traffic
from database.engine import reading, sqlite_engine
from database.migrate import upgrade
from monitoring.tables import WINDOW_CELL, WINDOW_COUNT
from monitoring.window_buckets import DAY, HOUR, Buckets, write_state
from monitoring.window_cells import groups_of
from monitoring.window_upkeep import FINE_FOR, HOURLY_FOR
from monitoring.windows import window_counts

MODEL = "employment"
NOW = datetime(2026, 1, 31, 12, 3, tzinfo=UTC)
DAYS = 30
GROUPS = [
    groups_of({"SEX": str(sex), "RAC1P": str(race), "AGE": age})
    for sex in (1, 2)
    for race in range(1, 10)
    for age in ("< 40", "≥ 40")
]
CELLS = [
    (version, variant, groups, prediction, outcome)
    for version, variant in (("3", "champion"), ("4", "challenger"))
    for groups in GROUPS
    for prediction in "01"
    for outcome in ("", "0", "1")
]


def main() -> None:
    """Fill the table, read windows of it, and print seconds by what was done."""
    folder, predictions, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    engine = sqlite_engine(folder / "predictions.db")
    upgrade(engine, "log", folder / "migrate.lock")
    rows = fill(engine, predictions)
    jobs: dict[str, Callable[[], Any]] = {
        "month": lambda: window_counts(engine, MODEL, NOW - timedelta(days=DAYS), NOW),
        "variant": lambda: window_counts(engine, MODEL, NOW - timedelta(days=DAYS), NOW, variant="challenger"),
        "day": lambda: window_counts(engine, MODEL, NOW - timedelta(days=1), NOW),
        "test": lambda: assess_traffic(
            window_counts(engine, MODEL, NOW - timedelta(days=DAYS), NOW),
            favourable=1,
            test_id="t",
            created_at=NOW,
            generator=np.random.default_rng(0),
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            started = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - started)
    counted = jobs["month"]().rows
    json.dump({"predictions": predictions, "counted": counted, "cells": rows, "seconds": seconds}, sys.stdout)


def fill(engine: Engine, predictions: int) -> int:
    """Count drawn predictions into the buckets they would be in; return the rows of the table."""
    generator = np.random.default_rng(0)
    end = NOW.timestamp()
    served = (end - DAYS * DAY * generator.random(predictions)).astype(np.int64)
    share = generator.dirichlet(np.ones(len(GROUPS)))
    cell = generator.choice(len(GROUPS), predictions, p=share) * 6
    cell += generator.integers(0, 2, predictions) * 3 + generator.choice(3, predictions, p=(0.3, 0.3, 0.4))
    cell += (generator.random(predictions) < 0.1) * (len(GROUPS) * 6)
    hours = int((NOW - FINE_FOR).timestamp()) // HOUR * HOUR
    days = int((NOW - HOURLY_FOR).timestamp()) // DAY * DAY
    width = np.where(served < days, DAY, np.where(served < hours, HOUR, Buckets().seconds))
    key = (served // width * width) * len(CELLS) + cell
    places, n = np.unique(key, return_counts=True)
    names = ("model_version", "variant", "groups", "prediction", "outcome")
    kinds = [{"id": id_, "model": MODEL, **dict(zip(names, cell, strict=True))} for id_, cell in enumerate(CELLS)]
    rows = [
        {
            "cell": place % len(CELLS),
            "bucket_start": place // len(CELLS),
            "seconds": DAY if place // len(CELLS) < days else HOUR if place // len(CELLS) < hours else 300,
            "n": count,
            "value_sum": 0.0,
            "value_sum_squares": 0.0,
        }
        for place, count in zip(places.tolist(), n.tolist(), strict=True)
    ]
    with engine.begin() as connection:
        connection.execute(WINDOW_CELL.insert(), kinds)
        connection.execute(WINDOW_COUNT.insert(), rows)
        write_state(connection, hours_until=hours, days_until=days, counted=1)
    with reading(engine) as connection:
        return int(connection.execute(select(func.count()).select_from(WINDOW_COUNT)).scalar_one())


if __name__ == "__main__":
    main()
