from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest
from statsmodels.stats.proportion import confint_proportions_2indep

from fairness.intervals import donner_zou, newcombe, wilson


@st.composite
def proportions(draw: st.DrawFn) -> tuple[int, int]:
    n = draw(st.integers(1, 2000))
    return draw(st.integers(0, n)), n


confidences = st.sampled_from([0.8, 0.9, 0.95, 0.999])


@settings(deadline=None)
@given(proportions(), confidences)
def test_wilson_agrees_with_scipy(proportion: tuple[int, int], confidence: float) -> None:
    x, n = proportion
    for corrected, method in ((False, "wilson"), (True, "wilsoncc")):
        oracle = binomtest(x, n).proportion_ci(confidence, method)
        found = wilson(x, n, confidence, corrected=corrected)
        assert found == pytest.approx((oracle.low, oracle.high), abs=1e-9)


@settings(deadline=None)
@given(proportions(), proportions(), confidences)
def test_newcombe_agrees_with_statsmodels(
    first: tuple[int, int], second: tuple[int, int], confidence: float
) -> None:
    oracle = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff", alpha=1 - confidence)
    assert newcombe(*first, *second, confidence) == pytest.approx(oracle, abs=1e-9)


@settings(deadline=None)
@given(proportions(), proportions(), st.booleans())
def test_the_difference_lies_in_its_interval_and_swapping_the_groups_mirrors_it(
    first: tuple[int, int], second: tuple[int, int], corrected: bool
) -> None:
    lower, upper = newcombe(*first, *second, corrected=corrected)
    assert lower - 1e-12 <= first[0] / first[1] - second[0] / second[1] <= upper + 1e-12
    swapped = newcombe(*second, *first, corrected=corrected)
    assert (-swapped[1], -swapped[0]) == pytest.approx((lower, upper))


@settings(deadline=None)
@given(proportions(), proportions(), st.booleans())
def test_the_ratio_lies_in_its_interval_and_swapping_the_groups_inverts_it(
    first: tuple[int, int], second: tuple[int, int], corrected: bool
) -> None:
    lower, upper = (float(limit) for limit in donner_zou(*first, *second, corrected=corrected))
    assert 0 <= lower <= upper
    if first[0] and second[0]:
        ratio = first[0] / first[1] / (second[0] / second[1])
        assert lower <= ratio * (1 + 1e-9)
        assert upper >= ratio * (1 - 1e-9)
    low, _ = donner_zou(*second, *first, corrected=corrected)
    if upper < np.inf:
        assert float(low) * upper == pytest.approx(1)
    else:
        assert low == 0


@settings(deadline=None)
@given(proportions(), proportions(), st.floats(0.2, 5))
def test_a_ratio_is_inside_its_interval_when_zero_is_inside_the_interval_of_the_contrast(
    first: tuple[int, int], second: tuple[int, int], ratio: float
) -> None:
    """Donner and Zou derive the interval by inverting p1 - ratio x p2 = 0; here that is done the long way."""
    (l1, u1), (l2, u2) = wilson(*first), wilson(*second)
    p1, p2 = first[0] / first[1], second[0] / second[1]
    contrast = p1 - ratio * p2
    below = contrast - np.sqrt((p1 - l1) ** 2 + ratio**2 * (u2 - p2) ** 2)
    above = contrast + np.sqrt((u1 - p1) ** 2 + ratio**2 * (p2 - l2) ** 2)
    if min(abs(below), abs(above)) > 1e-9:
        lower, upper = donner_zou(*first, *second)
        assert (lower <= ratio <= upper) == (below <= 0 <= above)


def test_with_many_rows_the_ratio_interval_is_the_one_of_katz() -> None:
    oracle = confint_proportions_2indep(30_000, 100_000, 41_000, 100_000, method="log", compare="ratio")
    assert donner_zou(30_000, 100_000, 41_000, 100_000) == pytest.approx(oracle, rel=1e-4)


def test_nobody_in_either_group_says_nothing_about_the_ratio() -> None:
    assert donner_zou(0, 50, 0, 80) == (0.0, np.inf)


def test_everybody_in_both_groups_leaves_the_ratio_a_width() -> None:
    lower, upper = donner_zou(30, 30, 30, 30)
    assert lower < 0.95
    assert upper > 1.05


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.95])
@pytest.mark.parametrize("n", [30, 200])
def test_wilson_covers_the_true_rate_about_as_often_as_it_says(n: int, p: float) -> None:
    x = np.arange(n + 1)
    lower, upper = wilson(x, n, 0.95)
    assert binom.pmf(x, n, p)[(lower <= p) & (p <= upper)].sum() > 0.92
    lower, upper = wilson(x, n, 0.95, corrected=True)
    assert binom.pmf(x, n, p)[(lower <= p) & (p <= upper)].sum() > 0.945
