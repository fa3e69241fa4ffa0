"""Archived rows are counted once, in the transaction that archives them, into the hour they were served in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import Engine, func, select

from database.engine import reading
from monitoring.counted_window import CountedWindow, count_table
from monitoring.drift import compare
from monitoring.drift_counts import DriftCounts, read_window
from monitoring.drift_tables import DRIFT_COUNT
from monitoring.profile import ReferenceProfile
from tests.unit.monitoring.test_drift import PROFILE, table

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def archived(
    seed: int, rows: int, served_at: datetime = NOON, variant: str | None = "champion", **changes: Any
) -> pa.Table:
    """Return rows as the archive of features holds them, served one second after the other."""
    found = table(seed, rows, **changes).drop_columns(["label"])
    times = [served_at + timedelta(seconds=place) for place in range(rows)]
    found = found.append_column("fairmind.served_at", pa.array(times, type=pa.timestamp("us", tz="UTC")))
    found = found.append_column("fairmind.variant", pa.array([variant] * rows, type=pa.string()))
    return found.append_column("fairmind.prediction_id", pa.array([f"{seed}-{place}" for place in range(rows)]))


def registered(model: str, version: str) -> ReferenceProfile | None:
    return PROFILE if (model, version) == ("credit", "1") else None


def store(engine: Engine, *tables: pa.Table, version: str = "1") -> None:
    counts = DriftCounts(registered)
    for each in tables:
        with engine.begin() as connection:
            counts.archived(connection, "credit", version, each)


def window(engine: Engine, since: datetime = NOON, hours: int = 24, **named: Any) -> CountedWindow:
    found = read_window(
        engine, "credit", named.pop("version", "1"), since=since, until=since + hours * HOUR, **named
    )
    assert found is not None
    return found[1]


def test_what_is_read_is_what_the_rows_count_to(engine: Engine) -> None:
    first, second = archived(1, 500), archived(2, 300)
    store(engine, first, second)
    found, expected = window(engine), count_table(PROFILE, pa.concat_tables([first, second]))
    assert found.rows == expected.rows == 800
    for name, counts in expected.features.items():
        assert found.features[name].tolist() == counts.tolist()
    assert found.prediction is not None
    assert expected.prediction is not None
    assert found.prediction.tolist() == expected.prediction.tolist()
    assert found.scores is not None
    assert expected.scores is not None
    assert (found.scores == expected.scores).all()


def test_rows_are_counted_in_their_hour_and_variant(engine: Engine) -> None:
    store(
        engine,
        archived(1, 100, NOON + 59 * HOUR / 60),  # 60 of them before one o'clock
        archived(2, 30, NOON, "challenger"),
        archived(3, 7, NOON, None),
    )
    assert window(engine).rows == 137
    assert window(engine, hours=1).rows == 97
    assert window(engine, NOON + HOUR).rows == 40
    assert window(engine, variant="challenger").rows == 30
    assert window(engine, hours=1, variant="champion").rows == 60
    assert window(engine, NOON - 9 * HOUR, hours=3).rows == 0


def test_counts_of_a_transaction_that_failed_are_gone_with_it(engine: Engine) -> None:
    counts = DriftCounts(registered)

    def fails() -> None:
        with engine.begin() as connection:
            counts.archived(connection, "credit", "1", archived(1, 100))
            raise ConnectionError("not now")

    with pytest.raises(ConnectionError):
        fails()
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(DRIFT_COUNT)).scalar_one() == 0
    store(engine, archived(1, 100))
    assert window(engine).rows == 100


def test_a_version_without_a_profile_is_counted_over_its_first_rows(engine: Engine) -> None:
    store(
        engine,
        archived(1, 5_000),
        archived(2, 5_000, NOON + 24 * HOUR, wage=lambda draw, values: values * 1.5),
        version="2",
    )
    found = read_window(engine, "credit", "2", since=NOON, until=NOON + 24 * HOUR)
    assert found is not None
    profile, before = found
    assert profile.source == "live"
    now = window(engine, NOON + 24 * HOUR, version="2")
    assert compare(profile, before, now).drifted() == ("wage",)


def test_where_nothing_was_counted_there_is_no_window(engine: Engine) -> None:
    assert read_window(engine, "credit", "1", since=NOON, until=NOON + HOUR) is None
    store(engine, archived(1, 0))
    assert read_window(engine, "credit", "1", since=NOON, until=NOON + HOUR) is None


def test_a_table_without_some_columns_or_of_other_types_is_counted_nevertheless(engine: Engine) -> None:
    odd = archived(1, 50).drop_columns(["wage", "fairmind.score"])
    odd = odd.set_column(odd.column_names.index("children"), "children", pa.array(["two"] * 50))
    store(engine, odd, archived(2, 50))
    found = window(engine)
    assert found.rows == 100
    assert found.features["wage"][-4] >= 50
    assert found.features["children"][-4] == 50
    assert found.scores is not None
    assert int(found.scores.sum()) == 50


def test_a_predicted_number_is_counted_as_one(engine: Engine) -> None:
    draw = np.random.default_rng(0)
    rent = archived(1, 200)
    place = rent.column_names.index("fairmind.prediction")
    rent = rent.set_column(place, "fairmind.prediction", pa.array(draw.normal(900, 50, 200)))
    store(engine, rent, version="3")
    found = read_window(engine, "credit", "3", since=NOON, until=NOON + HOUR)
    assert found is not None
    profile, counted = found
    assert profile.prediction is not None
    assert profile.prediction.kind == "number"
    assert profile.score is None
    assert counted.prediction is not None
    assert int(counted.prediction.sum()) == 200
