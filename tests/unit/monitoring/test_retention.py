"""Retention: what is older than a setting goes, in small steps, and the file on the disk becomes smaller."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Table, func, select

from database.engine import reading
from monitoring.bulk_blocks import read_bulk_blocks
from monitoring.identifiers import uuid7
from monitoring.outcomes import Outcome, keep
from monitoring.predictions import BULK_ROWS
from monitoring.retention import Retention, RetentionPolicy
from monitoring.settings import MonitoringSettings
from monitoring.tables import BULK_BLOCK, FEATURE_BLOCK, OUTCOME, PREDICTION, PROTECTED_ATTRIBUTE
from tests.unit.monitoring.log_home import LogHome

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def request_id(time: datetime, number: int = 0) -> str:
    return uuid7(int(time.timestamp() * 1000), f"{number:019x}")


def used_bytes(engine: Engine) -> int:
    """Return the bytes of an embedded database that hold something."""
    names = ("page_count", "freelist_count", "page_size")
    with reading(engine) as connection:
        pages, free, size = (int(connection.exec_driver_sql(f"PRAGMA {one}").scalar_one()) for one in names)
    return (pages - free) * size


@pytest.fixture
def home(tmp_path: Path, engine: Engine) -> LogHome:
    return LogHome(tmp_path, engine)


def fill(home: LogHome, new_record: Any, *days: int, rows: int = 1) -> None:
    """Log a narrow and a bulk record with groups, and an outcome of the narrow one, of some days before."""
    for day in days:
        time = NOW - day * DAY
        many = BULK_ROWS + 1
        home.write(
            *(
                [new_record(request_id(time, number), served_at=time.timestamp(), protected=[{"sex": "f"}])]
                for number in range(rows)
            ),
            [
                new_record(
                    request_id(time, rows),
                    served_at=time.timestamp(),
                    positions=range(many),
                    predictions=[1] * many,
                    scores=None,
                    features=[],
                    protected=[{"sex": "m"}] * many,
                )
            ],
        )
        keep(home.engine, [Outcome(prediction_id=f"{request_id(time)}-0", outcome=1)], time)
    home.ship()


def count(engine: Engine, table: Table) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def checkpoint(path: Path) -> None:
    """Write all there is into the file itself."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def run(engine: Engine, policy: RetentionPolicy) -> int:
    steps = 0
    while Retention(engine, policy).step(NOW):
        steps += 1
    return steps


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (RetentionPolicy(), (3, 3, 3, 3)),
        (RetentionPolicy(predictions=20 * DAY), (2, 2, 3, 3)),
        (RetentionPolicy(protected=20 * DAY), (3, 3, 2, 3)),
        (RetentionPolicy(outcomes=5 * DAY), (3, 3, 3, 1)),
        (RetentionPolicy(predictions=DAY / 2, protected=DAY / 2, outcomes=DAY / 2), (0, 0, 0, 0)),
    ],
)
def test_each_is_kept_as_long_as_its_own_setting_says(
    home: LogHome, new_record: Any, policy: RetentionPolicy, kept: tuple[int, ...]
) -> None:
    fill(home, new_record, 1, 10, 30)
    run(home.engine, policy)
    tables = (PREDICTION, BULK_BLOCK, PROTECTED_ATTRIBUTE, OUTCOME)
    assert tuple(count(home.engine, table) for table in tables) == kept


def test_the_groups_of_bulk_rows_go_with_the_others(home: LogHome, new_record: Any) -> None:
    fill(home, new_record, 1, 30)
    run(home.engine, RetentionPolicy(protected=20 * DAY))
    young, old = (request_id(NOW - day * DAY, 1) for day in (1, 30))
    with reading(home.engine) as connection:
        blocks = read_bulk_blocks(connection, [young, old])
    assert blocks[young][0].protected is not None
    assert blocks[old][0].protected is None
    assert len(blocks[old][0].predictions) == BULK_ROWS + 1


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_deleting_goes_in_small_steps_and_gives_space_back(
    home: LogHome, new_record: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.retention._ROWS_AT_ONCE", 100)
    fill(home, new_record, 30, rows=1_200)
    checkpoint(tmp_path / "predictions.db")
    before = (tmp_path / "predictions.db").stat().st_size
    assert run(home.engine, RetentionPolicy(predictions=DAY, protected=DAY)) >= 9
    checkpoint(tmp_path / "predictions.db")
    assert (tmp_path / "predictions.db").stat().st_size < before / 2
    assert count(home.engine, PREDICTION) == 0


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_over_the_bound_the_oldest_go_with_all_that_is_theirs(
    home: LogHome, new_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.retention._ROWS_AT_ONCE", 50)
    fill(home, new_record, 30, 20, 10, rows=300)
    bound = used_bytes(home.engine) * 2 // 3
    run(home.engine, RetentionPolicy(log_bytes=bound))
    assert used_bytes(home.engine) <= bound
    with reading(home.engine) as connection:
        oldest = connection.execute(select(func.min(PREDICTION.c.served_at))).scalar_one()
    assert oldest > NOW - 30 * DAY
    assert 0 < count(home.engine, PREDICTION) == count(home.engine, PROTECTED_ATTRIBUTE) < 900
    assert count(home.engine, BULK_BLOCK) == count(home.engine, OUTCOME) < 3
    run(home.engine, RetentionPolicy(log_bytes=1))  # however little may stay, it comes to an end
    assert count(home.engine, PREDICTION) == 0


def test_features_of_older_releases_are_as_old_as_files(home: LogHome) -> None:
    row = {"model_version": "1", "variant": "", "positions": [0], "features": [{}]}
    with home.engine.begin() as connection:
        for day in (1, 30):
            connection.execute(FEATURE_BLOCK.insert(), row | {"request_id": request_id(NOW - day * DAY)})
    run(home.engine, RetentionPolicy(features=20 * DAY))
    assert count(home.engine, FEATURE_BLOCK) == 1


def test_what_has_no_time_of_its_own_is_kept_as_long_as_predictions() -> None:
    policy = RetentionPolicy.of(MonitoringSettings(retention_days=10, protected_retention_days=2))
    assert (policy.predictions, policy.protected, policy.outcomes, policy.features) == (
        10 * DAY,
        2 * DAY,
        10 * DAY,
        10 * DAY,
    )
    assert RetentionPolicy.of(MonitoringSettings()) == RetentionPolicy()
