"""Many files become few with the same rows; what is too old or too much goes once nobody reads it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select

from database.engine import reading
from monitoring.feature_upkeep import FeatureUpkeep
from monitoring.retention import RetentionPolicy
from monitoring.tables import FEATURE_FILE
from tests.unit.monitoring.log_home import LogHome, seen

DAY = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NIGHT = DAY + 25 * HOUR


@pytest.fixture
def home(tmp_path: Path, engine: Engine, new_record: Any) -> LogHome:
    """Three files an hour in four hours, of types that differ."""
    home = LogHome(tmp_path, engine)
    for number in range(12):
        time = DAY + number * HOUR / 3
        value = (1, 2.5, "x")[number % 3]
        home.write([new_record(f"r{number}", served_at=time.timestamp(), features=[{"x": value, f"y{number}": 1}])])
        home.settle()
    return home


def upkeep(home: LogHome, **policy: Any) -> FeatureUpkeep:
    return FeatureUpkeep(home.engine, home.store, RetentionPolicy(**policy))


def live(home: LogHome) -> list[Any]:
    with reading(home.engine) as connection:
        statement = select(FEATURE_FILE).where(FEATURE_FILE.c.remove_at.is_(None))
        return list(connection.execute(statement.order_by(FEATURE_FILE.c.first_served_at)))


def on_disk(home: LogHome) -> Counter[str]:
    return Counter(str(path.relative_to(home.features)) for path in home.features.rglob("*") if path.is_file())


def merge_all(home: LogHome, now: datetime) -> list[int]:
    merged = []
    while files := upkeep(home).merge(now):
        merged.append(files)
    return merged


def test_files_of_an_hour_that_is_over_become_one_and_later_those_of_the_day(home: LogHome) -> None:
    ids = home.archived_ids()
    assert merge_all(home, DAY + 2.1 * HOUR) == [3]  # the second hour may still get late ones
    assert merge_all(home, DAY + 2.2 * HOUR) == [3]
    assert [file.rows for file in live(home)] == [3, 3, 1, 1, 1, 1, 1, 1]
    assert merge_all(home, NIGHT) == [3, 3, 4]
    (file,) = live(home)
    assert (file.rows, file.level) == (12, 2)
    assert (file.first_served_at, file.last_served_at) == (DAY, DAY + 11 * HOUR / 3)
    assert home.archived_ids() == ids
    assert seen(home.engine, "archived") == ids, "merging shows nobody anything"
    (table,) = home.tables()
    assert table.column("x").to_pylist() == ["1", "2.5", '"x"'] * 4
    assert table.column("y7").null_count == 11


def test_files_that_were_merged_stay_for_those_who_read_them(home: LogHome) -> None:
    before = on_disk(home)
    merge_all(home, NIGHT)
    assert before <= on_disk(home)
    assert upkeep(home).sweep(NIGHT + timedelta(minutes=9)) == 0
    assert upkeep(home).sweep(NIGHT + timedelta(minutes=10)) == 16
    assert on_disk(home) == Counter([live(home)[0].path])


@pytest.mark.parametrize("where", ["write", "commit"])
def test_a_merge_that_is_killed_changes_nothing_and_leaves_nothing(
    home: LogHome, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, ids = on_disk(home), home.archived_ids()

    class Killed(BaseException):
        pass

    def die(path: str, table: Any) -> int:
        if where == "commit":
            write(path, table)
        raise Killed

    write = home.store.write
    with monkeypatch.context() as patch:
        patch.setattr(home.store, "write", die)
        with pytest.raises(Killed):
            upkeep(home).merge(DAY + 1.5 * HOUR)
    assert home.archived_ids() == ids
    upkeep(home).sweep(DAY + 3 * HOUR)
    assert on_disk(home) == before
    assert merge_all(home, DAY + 1.5 * HOUR) == [3]
    assert home.archived_ids() == ids


def test_files_that_expire_while_they_are_merged_stay_expired(
    home: LogHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = home.store.write

    def late(path: str, table: Any) -> int:
        upkeep(home, features=HOUR).expire(NIGHT)
        return write(path, table)

    monkeypatch.setattr(home.store, "write", late)
    upkeep(home).merge(NIGHT)
    assert live(home) == []
    upkeep(home).sweep(NIGHT + 2 * HOUR)
    assert on_disk(home) == Counter()


def test_old_files_and_the_oldest_of_too_many_go(home: LogHome) -> None:
    assert upkeep(home, features=2 * HOUR).expire(DAY + 4 * HOUR) == 6
    rest = live(home)
    assert rest[0].first_served_at == DAY + 2 * HOUR
    bound = sum(file.bytes for file in rest[2:])
    assert upkeep(home, features_bytes=bound).expire(DAY + 4 * HOUR) == 2
    assert live(home) == rest[2:]
    assert upkeep(home, features_bytes=bound).expire(DAY + 4 * HOUR) == 0
