"""Gaps: what is compared with what, and laws of the worst of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import confint_proportions_2indep

from rollout.bounds import Levels
from rollout.evidence import Cell
from rollout.gaps import logarithms, of_one_arm, of_two_arms, ordered_pairs, widened, worst
from rollout.rates import Rates, rates

LEVELS = Levels(0.05, 0.05)


def of(*cells: tuple[int, int]) -> Rates:
    found = rates([{0: Cell(n, float(k), float(k))} for n, k in cells])
    assert found is not None
    return found


def test_pairs_are_all_ordered_ones_or_those_of_the_reference() -> None:
    assert ordered_pairs(3, None).shape == (6, 3)
    assert ordered_pairs(3, 1).tolist() == [[-1, 1, 0], [0, 1, -1]]


def test_the_variance_of_a_difference_is_that_of_textbooks() -> None:
    means = of((400, 100), (300, 120))
    found = of_one_arm(np.array([[1.0, -1.0]]), means, 0.0, 5_000)
    low, high = confint_proportions_2indep(100, 400, 120, 300, method="wald", compare="diff", correction=False)
    assert found.estimate.item() == pytest.approx((low + high) / 2)
    assert 2 * 1.959964 * np.sqrt(found.variance).item() == pytest.approx(high - low, rel=2e-3)


def test_the_variance_of_a_ratio_is_that_of_the_delta_method() -> None:
    means = of((4_000, 1_000), (3_000, 1_200))
    found = logarithms(means)
    assert found.mean == pytest.approx(np.log([0.25, 0.4]))
    assert found.variance == pytest.approx([0.75 / 1_000, 0.6 / 1_200], rel=1e-3)


def test_a_rate_of_nothing_is_not_certain() -> None:
    none = widened(of((100, 0), (100, 100)))
    assert none.variance == pytest.approx([1 / 102 * 101 / 102 / 100] * 2)


def test_a_clock_counts_the_units_of_equal_cells_and_little_of_tiny_ones() -> None:
    even = of_two_arms(ordered_pairs(2, 0), of(*[(500, 100)] * 4), signed=True, margin=0.0, planned=5_000)
    uneven = of_two_arms(
        ordered_pairs(2, 0), of(*[(990, 100), (10, 5)] * 2), signed=True, margin=0.0, planned=5_000
    )
    assert even.clock.item() == pytest.approx(2_000)
    assert uneven.clock.item() == pytest.approx(16 / (2 / 990 + 2 / 10))


def test_steps_weigh_by_their_units_and_not_by_what_they_showed() -> None:
    step = {0: Cell(1_000, 100.0, 100.0), 1: Cell(100, 90.0, 90.0)}
    other = {0: Cell(100, 10.0, 10.0), 1: Cell(1_000, 900.0, 900.0)}
    found = rates([step, other])
    assert found is not None
    assert found.mean == pytest.approx([0.5, 0.5])
    assert rates([{0: Cell(5, 1.0, 1.0)}, {1: Cell(5, 1.0, 1.0)}]) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(50, 5_000), st.floats(0.05, 0.95)), min_size=6, max_size=6), st.booleans())
def test_the_worst_gap_is_between_its_bounds_and_does_not_depend_on_the_order_of_groups(
    cells: list[tuple[int, float]], signed: bool
) -> None:
    counts = [(n, round(n * rate)) for n, rate in cells]
    turned = [counts[place] for place in (2, 0, 1, 5, 3, 4)]
    found, other = (
        worst(
            of_two_arms(ordered_pairs(3, reference), widened(of(*one)), signed=signed, margin=0.05, planned=5_000),
            LEVELS,
        )
        for one, reference in ((counts, 0 if signed else None), (turned, 1 if signed else None))
    )
    assert found[:4] == pytest.approx(other[:4])
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower <= found.estimate <= found.upper


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.05, 0.95), min_size=4, max_size=4))
def test_how_much_the_largest_gap_widened_is_the_difference_of_the_largest_gaps(rates_: list[float]) -> None:
    means = of(*[(10_000, round(10_000 * rate)) for rate in rates_])
    found = worst(of_two_arms(ordered_pairs(2, None), means, signed=False, margin=0.05, planned=5_000), LEVELS)
    ours, theirs = abs(means.mean[0] - means.mean[1]), abs(means.mean[2] - means.mean[3])
    assert found.estimate == pytest.approx(ours - theirs)


def test_bounds_of_many_runs_at_once_are_those_of_each() -> None:
    one, other = of((900, 300), (300, 60), (900, 290), (300, 90)), of((90, 30), (300, 61), (80, 20), (300, 95))
    both = Rates(*(np.stack(pair) for pair in zip(one, other, strict=True)))
    together = of_two_arms(ordered_pairs(2, None), both, signed=False, margin=0.0, planned=5_000)
    for place, single in enumerate((one, other)):
        alone = of_two_arms(ordered_pairs(2, None), single, signed=False, margin=0.0, planned=5_000)
        assert together.estimate[place] == pytest.approx(alone.estimate)
        assert together.variance[place] == pytest.approx(alone.variance)
        assert together.clock[place] == pytest.approx(alone.clock)
