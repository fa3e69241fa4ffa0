"""How often the gate is wrong about each rate by itself: selection, true positive, false positive, precision.

The rates rest on part of the rows only, each on another part. Fixed seeds, with the room that chance needs (the
binomial 99.9 % quantile). The naive gate, which compares a value with its limit, is the negative control: it has to
be wrong far more often, or these tests would notice nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from fairness.counts import GroupCounts
from fairness.disparities import Metric, measure_metric
from fairness.gate import Tolerance, Verdict
from fairness.verdicts import family_of, judge

ALPHA = 0.05
DATA_SETS = 1000
ALLOWED = binom.ppf(0.999, DATA_SETS, ALPHA) / DATA_SETS
LIMIT, RATIO_LIMIT = 0.1, 0.8

SIZES = {2: [1000, 100], 5: [1000, 500, 200, 100, 60], 10: [1000, 800, 500, 400, 300, 200, 150, 100, 70, 60]}

Cells = Callable[[float], list[float]]

SHARES: dict[str, tuple[Cells, str]] = {
    "selection rate": (
        lambda rate: [0.5 * rate, 0.5 * rate, 0.5 - 0.5 * rate, 0.5 - 0.5 * rate],
        "demographic_parity",
    ),
    "true positive rate": (lambda rate: [0.4 * rate, 0.1, 0.5, 0.4 - 0.4 * rate], "equal_opportunity"),
    # All actual positives are selected, so that only the other rate of equalized odds can differ.
    "false positive rate": (lambda rate: [0.4, 0.6 * rate, 0.6 - 0.6 * rate, 0.0], "equalized_odds"),
    "precision": (lambda rate: [0.5 * rate, 0.5 - 0.5 * rate, 0.4, 0.1], "predictive_parity"),
}
"""The shares of true and false positives, true and false negatives at a rate, and the metric that compares it."""


def sample(generator: np.random.Generator, sizes: list[int], shares: list[list[float]]) -> dict[str, GroupCounts]:
    return {
        f"g{i}": GroupCounts(*generator.multinomial(size, share).tolist())
        for i, (size, share) in enumerate(zip(sizes, shares, strict=True))
    }


def tolerances(metric: str) -> list[Tolerance]:
    return [
        Tolerance(metric=f"{metric}_difference", attribute="g", at_most=LIMIT),
        Tolerance(metric=f"{metric}_ratio", attribute="g", at_least=RATIO_LIMIT),
    ]


def verdicts(policy: list[Tolerance], groups: dict[str, GroupCounts]) -> list[Verdict]:
    family = family_of(policy, {"g": groups}, 30)
    return [judge(tolerance, groups, family, alpha=ALPHA).verdict for tolerance in policy]


def naive_fails(metric: str, groups: dict[str, GroupCounts]) -> bool:
    difference = measure_metric(Metric(f"{metric}_difference"), groups, 30).value
    ratio = measure_metric(Metric(f"{metric}_ratio"), groups, 30).value
    return (difference is not None and difference > LIMIT) or (ratio is not None and ratio < RATIO_LIMIT)


@pytest.mark.long
@pytest.mark.parametrize("groups", list(SIZES))
@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("what", list(SHARES))
def test_a_fair_model_fails_at_most_one_time_in_twenty_by_any_rate(what: str, rate: float, groups: int) -> None:
    cells, metric = SHARES[what]
    generator = np.random.default_rng([groups, int(100 * rate), len(what)])
    policy = tolerances(metric)
    failed = naive = 0
    for _ in range(DATA_SETS):
        found = sample(generator, SIZES[groups], [cells(rate)] * groups)
        failed += Verdict.FAIL in verdicts(policy, found)
        naive += naive_fails(metric, found)
    assert failed / DATA_SETS <= ALLOWED
    if groups > 2 and rate < 0.8:
        assert naive / DATA_SETS > 0.2


@pytest.mark.long
@pytest.mark.parametrize("rate", [0.15, 0.4, 0.9])
@pytest.mark.parametrize("groups", [2, 5])
@pytest.mark.parametrize("what", list(SHARES))
def test_a_rate_exactly_at_the_limit_passes_at_most_one_time_in_twenty(what: str, groups: int, rate: float) -> None:
    cells, metric = SHARES[what]
    generator = np.random.default_rng([groups, int(100 * rate), len(what), 1])
    policy = tolerances(metric)
    for place, low in ((0, rate - LIMIT), (1, rate * RATIO_LIMIT)):
        passed = naive = 0
        for _ in range(DATA_SETS):
            # Not many rows more than it takes to pass at all: where a wrong pass is likeliest.
            found = sample(generator, [3000] * groups, [cells(rate)] * (groups - 1) + [cells(low)])
            passed += verdicts([policy[place]], found) == [Verdict.PASS]
            value = measure_metric(policy[place].metric, found, 30).value or 0.0
            naive += value >= RATIO_LIMIT if place else value <= LIMIT
        assert passed / DATA_SETS <= ALLOWED
        assert naive / DATA_SETS > (0.3 if groups == 2 else 0.02)


@pytest.mark.parametrize("what", list(SHARES))
def test_equal_rates_over_enough_rows_pass_and_clear_gaps_fail(what: str) -> None:
    """A gate that never decides would make no mistakes either."""
    cells, metric = SHARES[what]
    generator = np.random.default_rng(len(what))
    policy = tolerances(metric)
    equal = [verdicts(policy, sample(generator, [4000, 4000], [cells(0.6)] * 2)) for _ in range(100)]
    apart = [verdicts(policy, sample(generator, [4000, 4000], [cells(0.6), cells(0.4)])) for _ in range(100)]
    assert sum(found == [Verdict.PASS] * 2 for found in equal) > 95
    assert sum(found == [Verdict.FAIL] * 2 for found in apart) > 95


@pytest.mark.parametrize("what", list(SHARES))
def test_a_fair_model_seldom_fails_where_the_naive_gate_mostly_does(what: str) -> None:
    cells, metric = SHARES[what]
    generator = np.random.default_rng([len(what), 2])
    policy = tolerances(metric)
    runs = 200
    failed = naive = 0
    for _ in range(runs):
        found = sample(generator, SIZES[10], [cells(0.3)] * 10)
        failed += Verdict.FAIL in verdicts(policy, found)
        naive += naive_fails(metric, found)
    assert failed / runs <= binom.ppf(0.999, runs, ALPHA) / runs
    assert naive / runs > 0.9
