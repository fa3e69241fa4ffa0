"""A bucket allows what it says, over any second and over any longer time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from access.rate import Bucket

rates = st.floats(0.05, 500)
gaps = st.lists(st.floats(0, 3), min_size=1, max_size=200)


@given(rates, gaps)
def test_no_span_of_time_holds_more_than_its_seconds_bring_and_one_burst(rate: float, gaps: list[float]) -> None:
    bucket, now, taken = Bucket(rate, 0.0), 0.0, []
    for gap in gaps:
        now += gap
        if bucket.take(now) == 0.0:
            taken.append(now)
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= max(1.0, rate) + (taken[last] - taken[first]) * rate + 1e-6


@given(rates, gaps)
def test_whoever_waits_as_long_as_told_is_let_in(rate: float, gaps: list[float]) -> None:
    bucket, now = Bucket(rate, 0.0), 0.0
    for gap in gaps:
        now += gap
        wait = bucket.take(now)
        assert wait >= 0
        if wait:
            now += wait + 1e-6
            assert bucket.take(now) == 0.0


def test_it_begins_full_and_holds_no_more_than_a_second_brings() -> None:
    bucket = Bucket(3.0, 0.0)
    assert [bucket.take(1000.0) == 0.0 for _ in range(4)] == [True, True, True, False]


def test_a_clock_that_stands_still_brings_nothing() -> None:
    bucket = Bucket(1.0, 5.0)
    assert bucket.take(5.0) == 0.0
    assert bucket.take(4.0) == bucket.take(5.0) == 1.0
