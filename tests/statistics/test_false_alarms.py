"""How often two equal versions are told apart although one looks all the time; careless ways are caught."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from rollout.betting import Differences, Stratum, Yeses, difference_log_e, paired_log_e
from rollout.bounds import Levels
from rollout.gaps import extremes, of_one_arm, of_two_arms, ordered_pairs, worst_of
from rollout.rates import Rates
from rollout.sequential import conditional_log_e, mixture_scale, one_sided_radius, radius, split_log_e
from tests.statistics.streams import RUNS, Arms, Floats, allowed, counts, ever, steps_of, two_arms

ALPHA = 0.05
LOG_ALARM = -np.log(ALPHA)


def differences(arms: Arms) -> tuple[Floats, Floats, Floats]:
    """Return estimates, variances and clocks; where an arm is empty, ones that say nothing."""
    n1, n0 = np.maximum(arms.n1, 2), np.maximum(arms.n0, 2)
    p1, p0 = arms.k1 / n1, arms.k0 / n0
    variance = p1 * (1 - p1) / (n1 - 1) + p0 * (1 - p0) / (n0 - 1)
    return p1 - p0, np.maximum(variance, 1e-12), 4 / (1 / n1 + 1 / n0)


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize(("rate", "share"), [(0.3, 0.5), (0.3, 0.05), (0.01, 0.5), (0.01, 0.05)])
def test_equal_proportions_are_rarely_told_apart(rate: float, share: float, runs: int) -> None:
    rng = np.random.default_rng([1, int(rate * 100), int(share * 100)])
    arms = two_arms(rng, runs, np.full(2_000 if runs >= 1_000 else 500, 10), (rate, rate), share)
    estimate, variance, clock = differences(arms)
    one = one_sided_radius(variance, clock, mixture_scale(5_000, ALPHA), ALPHA)
    two = radius(variance, clock, mixture_scale(5_000, ALPHA, sides=2), ALPHA)
    assert ever(arms.settled & (estimate > one)) <= allowed(runs, ALPHA)
    assert ever(arms.settled & (np.abs(estimate) > two)) <= allowed(runs, ALPHA)


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("rate", [0.3, 0.01, 0.001])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_exact_tests_need_no_burn_in(rate: float, share: float, runs: int) -> None:
    rng = np.random.default_rng([2, int(rate * 1_000), int(share * 10)])
    arms = two_arms(rng, runs, steps_of(runs, 20_000), (rate, rate), share)
    assert ever(conditional_log_e(arms.k1, arms.k0, share) >= LOG_ALARM) <= allowed(runs, ALPHA)
    strata = [Stratum(Yeses(arms.n1, arms.k1), Yeses(arms.n0, arms.k0))]
    assert ever(difference_log_e(strata, 0.0, yeses=0.9) >= LOG_ALARM) <= allowed(runs, ALPHA)


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("control", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_challenger_worse_by_just_the_margin_is_rarely_violated_or_passed(
    control: float, share: float, runs: int
) -> None:
    rng = np.random.default_rng([3, int(control * 100), int(share * 100)])
    margin = 0.02
    arms = two_arms(rng, runs, steps_of(runs, 20_000), (control + margin, control), share)
    ours, theirs = Yeses(arms.n1, arms.k1), Yeses(arms.n0, arms.k0)
    for yeses in (0.5, 0.9):
        violated = difference_log_e([Stratum(ours, theirs)], margin, yeses=yeses)
        passed = difference_log_e([Stratum(theirs, ours)], -margin, yeses=yeses)
        assert ever(violated >= LOG_ALARM) <= allowed(runs, ALPHA)
        assert ever(passed >= LOG_ALARM) <= allowed(runs, ALPHA)


@pytest.mark.parametrize("runs", RUNS)
def test_a_ratio_at_its_bound_is_rarely_exceeded_though_rates_swing(runs: int) -> None:
    rng = np.random.default_rng(4)
    sizes = steps_of(runs, 50_000, first=50)
    swing = 0.02 * (1 + 0.8 * np.sin(sizes.cumsum() / 3_000))
    arms = two_arms(rng, runs, sizes, (1.2 * swing, swing), 0.1)
    theta = 0.1 * 1.2 / (0.1 * 1.2 + 0.9)
    assert ever(conditional_log_e(arms.k1, arms.k0, theta) >= np.log(100)) <= allowed(runs, 0.01)


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("disagreement", [0.01, 0.06])
def test_shadow_pairs_of_equal_versions_rarely_differ(disagreement: float, runs: int) -> None:
    rng = np.random.default_rng([5, int(disagreement * 100)])
    sizes = np.broadcast_to(steps_of(runs, 20_000), (runs, len(steps_of(runs, 20_000))))
    differ = rng.binomial(sizes, disagreement)
    plus = rng.binomial(differ, 0.5)
    pairs = Differences(*(one.cumsum(axis=1).astype(float) for one in (sizes, plus, differ - plus)))
    assert ever(paired_log_e(pairs, 0.0) >= LOG_ALARM) <= allowed(runs, ALPHA)
    n, mean = pairs.n, (pairs.plus - pairs.minus) / pairs.n
    variance = np.maximum((pairs.plus + pairs.minus) / n - mean**2, 1e-12) / n
    settled = (n >= 500) & (pairs.plus + pairs.minus >= 10)
    bound = one_sided_radius(variance, n, mixture_scale(5_000, ALPHA), ALPHA)
    assert ever(settled & (mean > bound)) <= allowed(runs, ALPHA)


def groups(
    rng: np.random.Generator, runs: int, sizes: np.ndarray, shares: list[float], rates: list[list[float]]
) -> tuple[Rates, np.ndarray]:
    """Return means [runs, looks, arms x groups] and whether all cells are settled."""
    every = np.broadcast_to(sizes, (runs, len(sizes)))
    cells = [
        counts(rng, every, share / len(rates), rate)
        for arm in rates
        for share, rate in zip(shares, arm, strict=True)
    ]
    n, k = (np.stack([cell[part] for cell in cells], axis=-1) for part in (0, 1))
    settled = (np.minimum(k, n - k).min(axis=-1) >= 10) & (n.sum(axis=-1) >= 500)
    n = np.maximum(n, 2)
    p = k / n
    return Rates(p, np.maximum(p * (1 - p), 1e-9) / (n - 1), n), settled


@pytest.mark.parametrize("runs", RUNS)
@pytest.mark.parametrize("signed", [True, False], ids=["against a reference", "largest gaps"])
def test_a_fairness_gap_that_did_not_widen_is_rarely_violated(signed: bool, runs: int) -> None:
    rng = np.random.default_rng([6, signed])
    means, settled = groups(rng, runs, steps_of(runs, 20_000, 50), [0.8, 0.2], [[0.3, 0.25], [0.3, 0.25]])
    gaps = ordered_pairs(2, 0 if signed else None)
    below, _ = extremes(of_two_arms(gaps, means, signed=signed, margin=0.0, planned=5_000), Levels(ALPHA, ALPHA))
    assert ever(settled & (worst_of(below) > 0)) <= allowed(runs, ALPHA)


@pytest.mark.parametrize("runs", RUNS)
def test_equalised_odds_that_did_not_change_are_rarely_violated(runs: int) -> None:
    rng = np.random.default_rng(7)
    gaps, alarms = ordered_pairs(2, 0), []
    for share, rate in ((0.3, 0.7), (0.7, 0.1)):
        means, settled = groups(rng, runs, steps_of(runs, 20_000, 50), [0.8 * share, 0.2 * share], [[rate] * 2] * 2)
        contrasts = of_two_arms(gaps, means, signed=True, margin=0.0, planned=5_000)
        below, _ = extremes(contrasts, Levels(ALPHA / 2, ALPHA))
        alarms.append(settled & (worst_of(below) > 0))
    assert ever(alarms[0] | alarms[1]) <= allowed(runs, ALPHA)


@pytest.mark.parametrize("runs", RUNS)
def test_a_gap_of_four_groups_at_its_limit_is_rarely_violated_or_passed(runs: int) -> None:
    rng = np.random.default_rng(8)
    means, settled = groups(rng, runs, steps_of(runs, 20_000, 50), [0.25] * 4, [[0.4, 0.3, 0.35, 0.33]])
    below, above = extremes(of_one_arm(ordered_pairs(4, None), means, 0.1, 5_000), Levels(ALPHA, ALPHA))
    assert ever(settled & (worst_of(below) > 0.1)) <= allowed(runs, ALPHA)
    assert ever(settled & (worst_of(above) <= 0.1)) <= allowed(runs, ALPHA)


@pytest.mark.parametrize("runs", RUNS)
def test_a_gap_that_widened_by_just_the_margin_is_rarely_passed(runs: int) -> None:
    rng = np.random.default_rng(9)
    means, settled = groups(rng, runs, steps_of(runs, 20_000, 50), [0.8, 0.2], [[0.3, 0.2], [0.3, 0.25]])
    contrasts = of_two_arms(ordered_pairs(2, None), means, signed=False, margin=0.05, planned=5_000)
    _, above = extremes(contrasts, Levels(ALPHA, ALPHA))
    assert ever(settled & (worst_of(above) <= 0.05)) <= allowed(runs, ALPHA)


@pytest.mark.parametrize("runs", RUNS)
def test_the_sequential_test_of_a_split_rarely_alarms_and_chi_square_too_often(runs: int) -> None:
    rng = np.random.default_rng(10)
    first = rng.binomial(10, 0.1, (runs, 2_000)).cumsum(axis=1)
    total = 10.0 * np.arange(1, 2_001)
    both = np.stack([first, total - first], axis=-1)
    assert ever(split_log_e(both, [0.1, 0.9]) >= np.log(1_000)) <= allowed(runs, 0.001)
    if runs >= 1_000:
        chi_square = np.square(first - 0.1 * total) / (0.09 * total)
        assert ever(chi_square > stats.chi2.isf(0.001, 1)) > 0.02 * runs


@pytest.mark.parametrize("runs", RUNS)
def test_looking_again_and_again_at_a_plain_test_is_caught(runs: int) -> None:
    rng = np.random.default_rng(11)
    arms = two_arms(rng, runs, np.full(2_000, 10), (0.3, 0.3))
    estimate, variance, _ = differences(arms)
    assert ever(arms.settled & (np.abs(estimate) > 1.96 * np.sqrt(variance))) > 0.2 * runs
