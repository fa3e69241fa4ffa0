import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from loadtests.bench.open_loop import poisson_schedule


@given(rate=st.floats(1.0, 1_000.0), seconds=st.floats(0.01, 5.0), seed=st.integers(0, 2**32))
def test_arrivals_ascend_within_the_time_and_are_the_same_for_the_same_seed(
    rate: float, seconds: float, seed: int
) -> None:
    schedule = poisson_schedule(rate, seconds, seed)
    assert schedule == sorted(schedule)
    assert all(0 < arrival < seconds for arrival in schedule)
    assert schedule == poisson_schedule(rate, seconds, seed)


def test_gaps_between_arrivals_are_exponential_with_the_rate_asked_for() -> None:
    gaps = np.diff(poisson_schedule(500.0, 60.0, seed=3))
    assert kstest(gaps, "expon", args=(0, 1 / 500.0)).pvalue > 0.01


def test_another_seed_gives_another_schedule() -> None:
    assert poisson_schedule(100.0, 1.0, seed=1) != poisson_schedule(100.0, 1.0, seed=2)
