"""Sequential bounds: the design's golden numbers, laws, and scipy's own integrals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from rollout.sequential import (
    conditional_log_e,
    mixture_scale,
    one_sided_log_e,
    one_sided_radius,
    radius,
    share_bound,
    split_log_e,
    two_sided_log_e,
)

VARIANCE = 0.21 * (1 / 500 + 1 / 4_500)
TWO_SIDED, ONE_SIDED = 630.028048962817, 790.0317453425267


def test_scales_are_the_golden_numbers() -> None:
    assert mixture_scale(5_000, 0.05, sides=2) == pytest.approx(TWO_SIDED, rel=1e-13)
    assert mixture_scale(5_000, 0.05) == pytest.approx(ONE_SIDED, rel=1e-13)


def test_radii_are_the_golden_numbers() -> None:
    assert radius(VARIANCE, 5_000, TWO_SIDED, 0.05) == pytest.approx(0.06556800810701603, rel=1e-13)
    assert one_sided_radius(VARIANCE, 5_000, ONE_SIDED, 0.05) == pytest.approx(0.06003529705169004, rel=1e-13)
    assert one_sided_radius(VARIANCE, 5_000, TWO_SIDED, 0.05) == pytest.approx(0.0600441, abs=5e-8)


def test_evidence_is_the_golden_numbers() -> None:
    z = 0.05 / math.sqrt(VARIANCE)
    assert math.exp(-two_sided_log_e(z, 5_000, TWO_SIDED)) == pytest.approx(0.276990, abs=5e-7)
    assert math.exp(-one_sided_log_e(z, 5_000, ONE_SIDED)) == pytest.approx(0.136088, abs=5e-7)
    assert math.exp(-one_sided_log_e(z, 5_000, TWO_SIDED)) == pytest.approx(0.140545, abs=5e-7)


def test_the_exact_conditional_test_is_the_golden_numbers() -> None:
    assert conditional_log_e(30, 90, 0.1) == pytest.approx(9.63749623527722, rel=1e-12)
    assert conditional_log_e(30, 90, 2 / 17) == pytest.approx(6.7612545720720565, rel=1e-12)


def test_the_test_of_a_split_is_the_golden_numbers() -> None:
    assert np.exp(split_log_e([130, 870], [0.1, 0.9], 100)) == pytest.approx(18.3556224640, rel=1e-10)
    assert split_log_e([1_150, 8_850], [0.1, 0.9], 10_000) == pytest.approx(5.737570983559635, rel=1e-9)
    assert split_log_e([1_150, 8_850], [0.1, 0.9]) == pytest.approx(9.67785557418938, rel=1e-9)


def test_a_bound_is_tightest_near_the_planned_units() -> None:
    units = np.geomspace(500, 50_000, 61)
    scales = mixture_scale(units, 0.05)
    widths = one_sided_radius(0.2 / 5_000, 5_000, scales, 0.05)
    assert units[int(np.argmin(widths))] == pytest.approx(5_000, rel=0.25)


def test_at_the_planned_units_a_bound_is_so_many_times_that_of_a_single_look() -> None:
    two = radius(1, 5_000, TWO_SIDED, 0.05) / stats.norm.isf(0.025)
    one = one_sided_radius(1, 5_000, ONE_SIDED, 0.05) / stats.norm.isf(0.05)
    assert (float(two), float(one)) == (pytest.approx(1.55, abs=0.01), pytest.approx(1.69, abs=0.01))


@settings(max_examples=40)
@given(st.floats(0.001, 0.4), st.floats(10, 1e6), st.floats(100, 1e5))
def test_what_a_one_sided_bound_excludes_has_evidence_of_one_over_alpha(
    alpha: float, clock: float, planned: float
) -> None:
    scale = mixture_scale(planned, alpha)
    z = one_sided_radius(1.0, clock, scale, alpha)
    assert one_sided_log_e(z, clock, scale) >= -math.log(alpha) - 1e-9


@settings(max_examples=40)
@given(st.floats(0.001, 0.2), st.floats(10, 1e6))
def test_a_two_sided_bound_excludes_where_evidence_is_one_over_alpha(alpha: float, clock: float) -> None:
    scale = mixture_scale(5_000, alpha, sides=2)
    assert two_sided_log_e(radius(1.0, clock, scale, alpha), clock, scale) == pytest.approx(-math.log(alpha))


@pytest.mark.parametrize(("events", "others", "theta"), [(3, 1, 0.5), (0, 4, 0.3), (12, 2, 0.6), (0, 0, 0.2)])
def test_the_exact_conditional_test_is_the_mean_likelihood_ratio(events: int, others: int, theta: float) -> None:
    prior = stats.beta(10 * theta, 10 * (1 - theta))

    def term(at: float) -> float:
        ratio = (at / theta) ** events * ((1 - at) / (1 - theta)) ** others
        return float(ratio * prior.pdf(at) / prior.sf(theta))

    mean, _ = integrate.quad(term, theta, 1)
    assert conditional_log_e(events, others, theta) == pytest.approx(math.log(mean), abs=1e-7)


@pytest.mark.parametrize("others", [2_000, 100_000, 10_000_000])
def test_events_that_never_come_are_no_evidence_however_many_there_are_of_the_others(others: int) -> None:
    assert conditional_log_e(0, others, 0.5) < 0


@settings(max_examples=30)
@given(st.integers(0, 500), st.integers(0, 500), st.sampled_from([0.001, 0.01, 0.05, 0.2]))
def test_bounds_of_a_share_hold_it_and_widen_as_alpha_falls(events: int, others: int, alpha: float) -> None:
    lower, upper = share_bound(events, others, alpha), 1 - share_bound(others, events, alpha)
    share = events / (events + others) if events + others else 0.5
    assert 0 <= lower <= share <= upper <= 1
    assert share_bound(events, others, alpha / 2) <= lower


@settings(max_examples=40)
@given(st.lists(st.integers(0, 5_000), min_size=2, max_size=5))
def test_the_order_of_arms_does_not_matter_to_a_split(counts: list[int]) -> None:
    shares = np.arange(1, len(counts) + 1) / sum(range(1, len(counts) + 1))
    assert split_log_e(counts[::-1], shares[::-1]) == pytest.approx(float(split_log_e(counts, shares)), abs=1e-6)
