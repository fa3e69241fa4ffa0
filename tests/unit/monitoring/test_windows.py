"""Windows: all a variant answered, each caller's row once, in whole buckets, and added up like their rows."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from database.engine import reading
from monitoring.attributes import AttributeRecord, keep_attributes
from monitoring.outcomes import Outcome, keep
from monitoring.predictions import BULK_ROWS, SegmentWriter
from monitoring.shipper import Shipper
from monitoring.window_buckets import Buckets, read_buckets
from monitoring.window_cells import NUMBER, OTHER, Amount
from monitoring.window_sink import WindowSink
from monitoring.window_upkeep import freeze, merge_old, prepare, recount
from monitoring.windows import Alike, WindowCounts, attributes_told, label_value, window_counts
from tests.fakes.window_rows import kinds, stored_cells, window_rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def log(tmp_path: Path, engine: Engine) -> Any:
    """Ships records that were served a second after each other, unless they say when."""

    def ship(*records: Any) -> None:
        segment = SegmentWriter(tmp_path / "spool", segment_bytes=1_000_000, spool_bytes=10_000_000)
        for second, record in enumerate(records):
            if record.served_at == 1_700_000_000.5:
                record.served_at = NOW.timestamp() + second
        segment.append(records)
        segment.close()
        Shipper(tmp_path / "spool", engine, [WindowSink()]).ship()

    return ship


def read(engine: Engine, **chosen: Any) -> WindowCounts:
    return window_counts(engine, "credit", NOW, NOW + HOUR, **chosen)


def predicted(found: WindowCounts) -> Counter[Any]:
    counts: Counter[Any] = Counter()
    for alike, amount in found.counts.items():
        counts[label_value(alike.prediction)] += amount.n
    return counts


def as_kinds(found: WindowCounts) -> Counter[Any]:
    return Counter(
        {
            (
                alike.model_version,
                alike.variant,
                tuple(sorted(alike.attributes.items())),
                repr(label_value(alike.prediction)),
                repr(label_value(alike.outcome)),
            ): amount.n
            for alike, amount in found.counts.items()
        }
    )


def test_an_empty_window_is_empty(engine: Engine) -> None:
    assert (read(engine).rows, read(engine).versions) == (0, [])


def test_a_row_is_a_repeat_for_a_day_after_one_of_the_same_caller_id(
    engine: Engine, log: Any, new_record: Any
) -> None:
    at = NOW.timestamp()
    log(new_record("b", served_at=at, caller_ids=["twice"], predictions=[1]))
    log(new_record("a", served_at=at + 60, caller_ids=["twice"], predictions=[2], variant="challenger"))
    assert predicted(read(engine)) == {1: 1}
    log(new_record("c", served_at=at + 86_399, caller_ids=["twice"], predictions=[3]))
    log(new_record("d", served_at=at + 86_400, caller_ids=["twice"], predictions=[4]))
    log(new_record("e", served_at=at + 70, caller_ids=["twice"], predictions=[5], model="other"))
    assert predicted(window_counts(engine, "credit", NOW, NOW + timedelta(days=9))) == {1: 1, 4: 1}


def test_repeats_in_one_batch_are_seen(engine: Engine, log: Any, new_record: Any) -> None:
    log(
        new_record("c", caller_ids=["twice"], predictions=[1]),
        new_record("b", predictions=[2]),
        new_record("a", caller_ids=["twice"], predictions=[3]),
    )
    assert predicted(read(engine)) == {1: 1, 2: 1}


def test_a_pinned_row_is_not_counted_and_does_not_use_up_a_caller_id(
    engine: Engine, log: Any, new_record: Any
) -> None:
    log(new_record("a", caller_ids=["mine"], variant=None), new_record("b", caller_ids=["mine"], predictions=[2]))
    assert predicted(read(engine)) == {2: 1}
    keep(engine, [Outcome(prediction_id="a-0", outcome=1)], NOW)
    assert predicted(read(engine)) == {2: 1}


def test_labels_come_back_as_they_were_and_a_regressors_predictions_as_sums(
    engine: Engine, log: Any, new_record: Any
) -> None:
    labels = ["good", True, 7, "7", 2.5]
    log(*(new_record(f"{i}", predictions=[value]) for i, value in enumerate(labels)))
    found = predicted(read(engine))
    assert found == Counter(labels)
    assert sorted(map(repr, found)) == sorted(map(repr, labels))
    log(new_record("r", model="price", positions=[0, 1], predictions=[2.5, -1.25], scores=None, features=[{}, {}]))
    keep(engine, [Outcome(prediction_id="r-0", outcome=2.25)], NOW)
    counts = window_counts(engine, "price", NOW, NOW + HOUR).counts
    assert counts == {
        Alike("1", "champion", "{}", NUMBER, ""): Amount(1, -1.25, 1.5625),
        Alike("1", "champion", "{}", NUMBER, NUMBER): Amount(1, 2.5, 6.25),
    }
    with pytest.raises(ValueError, match="no label"):
        label_value(NUMBER)


def test_a_window_is_widened_to_whole_buckets_and_says_so(engine: Engine, log: Any, new_record: Any) -> None:
    log(new_record("a", served_at=NOW.timestamp() + 299), new_record("b", served_at=NOW.timestamp() + 300))
    found = window_counts(engine, "credit", NOW + timedelta(seconds=10), NOW + timedelta(seconds=20))
    assert (found.rows, found.since, found.until) == (1, NOW, NOW + timedelta(seconds=300))
    assert window_counts(engine, "credit", NOW, NOW + timedelta(seconds=301)).rows == 2
    assert window_counts(engine, "credit", NOW, NOW).rows == 0
    assert (
        window_counts(engine, "credit", datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)).rows
        == 2
    )


def test_a_unit_attribute_is_of_all_its_predictions_that_do_not_say_otherwise(
    engine: Engine, log: Any, new_record: Any
) -> None:
    log(new_record("a", unit_hashes=["u"]), new_record("b", unit_hashes=["u"], protected=[{"sex": "own"}]))
    told = AttributeRecord(unit="U", protected={"sex": "f"})
    receipts = [keep_attributes(engine, [told], str.lower) for _ in range(2)]
    assert [(receipt.accepted, receipt.repeated, receipt.unmatched) for receipt in receipts] == [
        (1, 0, 0),
        (0, 1, 0),
    ]
    log(new_record("c", unit_hashes=["u"], protected=[{"age": "9"}]))
    rows = window_rows(engine, "credit", since=NOW, until=NOW + HOUR)
    assert [row.protected for row in rows] == [{"sex": "f"}, {"sex": "f", "age": "9"}, {"sex": "own"}]
    assert as_kinds(read(engine)) == kinds(rows)
    assert attributes_told(read(engine)) == ["age", "sex"]


def test_beyond_the_bound_groups_are_counted_together(engine: Engine, log: Any, new_record: Any) -> None:
    prepare(engine, seconds=300, most_groups=2)
    log(*(new_record(name, protected=[{"g": name}]) for name in "abcd"))
    assert (read(engine).rows, read(engine).rows_of_other_groups) == (4, 2)
    prepare(engine, seconds=300, most_groups=10)
    keep(engine, [Outcome(prediction_id=f"{name}-0", outcome=1) for name in "abcd"], NOW)
    counts = read(engine).counts
    assert {alike.groups: amount.n for alike, amount in counts.items()} == {
        '{"g":"a"}': 1,
        '{"g":"b"}': 1,
        OTHER: 2,
    }
    assert all(alike.has_outcome for alike in counts)
    # On another day there is room again.
    log(*(new_record(f"{name}2", served_at=NOW.timestamp() + 86_400, protected=[{"g": name}]) for name in "cd"))
    assert (
        window_counts(engine, "credit", NOW + timedelta(days=1), NOW + timedelta(days=2)).rows_of_other_groups == 0
    )


def test_old_buckets_become_hours_and_days_and_late_outcomes_find_them(
    engine: Engine, log: Any, new_record: Any
) -> None:
    at = NOW.timestamp()
    served = {"a": 0, "b": 400, "c": 3_700, "d": 86_400 * 6, "e": 86_400 * 6 + 700, "f": 86_400 * 8 - 60}
    log(*(new_record(name, served_at=at + seconds) for name, seconds in served.items()))
    whole = window_counts(engine, "credit", NOW, NOW + timedelta(days=9))
    merge_old(engine, NOW + timedelta(days=8))
    assert sorted(key[:2] for key in stored_cells(engine)) == [
        (int(at), 86_400),
        (int(at) + 6 * 86_400, 3_600),
        (int(at) + 8 * 86_400 - 300, 300),
    ]
    assert window_counts(engine, "credit", NOW, NOW + timedelta(days=9)).counts == whole.counts
    keep(engine, [Outcome(prediction_id=f"{name}-0", outcome=1) for name in "adf"], NOW)
    log(new_record("late", served_at=at + 60))
    cells = stored_cells(engine)
    assert recount(engine) == 7
    assert stored_cells(engine) == cells
    merge_old(engine, NOW)  # a clock that stepped back changes nothing
    assert stored_cells(engine) == cells
    with reading(engine) as connection:
        assert read_buckets(connection).days_until == int(at) + 86_400


def test_buckets_of_another_length_become_hours(engine: Engine, log: Any, new_record: Any) -> None:
    prepare(engine, seconds=300, most_groups=500)
    log(new_record("a"))
    prepare(engine, seconds=60, most_groups=500)
    log(new_record("b", served_at=NOW.timestamp() + 3_600))
    assert [key[:2] for key in sorted(stored_cells(engine))] == [
        (int(NOW.timestamp()), 3_600),
        (int(NOW.timestamp()) + 3_600, 60),
    ]
    keep(engine, [Outcome(prediction_id="a-0", outcome=1)], NOW)
    assert len(stored_cells(engine)) == 2


def test_a_log_from_before_there_were_counts_is_counted(tmp_path: Path, engine: Engine, new_record: Any) -> None:
    segment = SegmentWriter(tmp_path / "spool", segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append([new_record("a", protected=[{"sex": "f"}]), new_record("b")])
    segment.close()
    Shipper(tmp_path / "spool", engine).ship()
    keep(engine, [Outcome(prediction_id="unknown-0", outcome=1)], NOW)
    assert not stored_cells(engine)
    for _ in range(2):
        prepare(engine, seconds=300, most_groups=500)
        assert sum(n for n, *_ in stored_cells(engine).values()) == 2


def test_rows_of_which_something_was_removed_are_moved_no_more(engine: Engine, log: Any, new_record: Any) -> None:
    log(new_record("a"), new_record("b", served_at=NOW.timestamp() + 600))
    with engine.begin() as connection:
        freeze(connection, NOW + timedelta(seconds=300))
    keep(engine, [Outcome(prediction_id=f"{name}-0", outcome=1) for name in "ab"], NOW)
    assert sorted((alike.outcome, amount.n) for alike, amount in read(engine).counts.items()) == [("", 1), ("1", 1)]
    assert recount(engine) == 1
    assert read(engine).rows == 2


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(0, 40 * 86_400), max_size=60),
    cuts=st.lists(st.integers(0, 40 * 86_400), min_size=1, max_size=3),
    hours=st.integers(0, 40 * 24),
    days=st.integers(0, 40),
)
def test_windows_that_meet_cover_what_their_union_does(
    times: list[int], cuts: list[int], hours: int, days: int
) -> None:
    days_until = days * 86_400
    buckets = Buckets(hours_until=max(days_until, hours * 3_600), days_until=days_until)
    starts = [buckets.find(time)[0] for time in times]
    edges = [datetime.fromtimestamp(cut, UTC) for cut in sorted(cuts)]
    edges = [datetime.fromtimestamp(buckets.rounded(edge, edge)[0], UTC) for edge in edges]
    ends = [0, *(int(edge.timestamp()) for edge in edges), 41 * 86_400]
    parts = [
        buckets.rounded(datetime.fromtimestamp(a, UTC), datetime.fromtimestamp(b, UTC)) for a, b in pairwise(ends)
    ]
    assert sum(sum(a <= start < b for start in starts) for a, b in parts) == len(times)
    for time, start in zip(times, starts, strict=True):
        assert start <= time < start + buckets.find(time)[1]


def test_windows_add_up_like_their_union(engine: Engine, log: Any, new_record: Any) -> None:
    at = NOW.timestamp()
    log(*(new_record(f"r{i}", served_at=at + 97 * i, predictions=[i % 3]) for i in range(36)))
    middle = NOW + timedelta(minutes=20)
    left, right = window_counts(engine, "credit", NOW, middle), window_counts(engine, "credit", middle, NOW + HOUR)
    assert left + right == read(engine)
    assert right + left == read(engine)


def test_rows_of_a_bulk_record_are_counted_and_moved_by_their_ids(
    engine: Engine, log: Any, new_record: Any
) -> None:
    n = BULK_ROWS + 1
    keep(engine, [Outcome(prediction_id="bulk-7", outcome=1)], NOW)
    log(
        new_record(
            "bulk",
            positions=range(n),
            predictions=np.arange(n) % 2,
            scores=np.full(n, 0.5),
            features={"age": np.arange(n)},
            unit_hashes=["u"] * n,
            protected=[{"sex": "f"}] * n,
        )
    )
    keep_attributes(engine, [AttributeRecord(unit="u", protected={"age": "9"})], str)
    told = [AttributeRecord(prediction_id="bulk-7", protected={"sex": "m"})]
    assert keep_attributes(engine, told, str).unmatched == 0
    assert keep(engine, [Outcome(prediction_id="bulk-8", outcome=0)], NOW).unmatched == 0
    counts = {
        (alike.groups, alike.prediction, alike.outcome): amount.n for alike, amount in read(engine).counts.items()
    }
    assert counts == {
        ('{"sex":"f"}', "0", ""): n // 2,
        ('{"sex":"f"}', "0", "0"): 1,
        ('{"sex":"f"}', "1", ""): n // 2 - 1,
        ('{"sex":"m"}', "1", "1"): 1,
    }
    cells = stored_cells(engine)
    assert recount(engine) == n
    assert stored_cells(engine) == cells
