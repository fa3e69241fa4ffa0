"""How often the gate is wrong: on fair models, and on models whose true gap is exactly at the limit.

Fixed seeds: these are measurements that repeat, with the room that chance needs (the binomial 99.9 % quantile).
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from fairness.counts import GroupCounts
from fairness.disparities import demographic_parity_ratio, equalized_odds_difference
from fairness.gate import BiasPolicy, Tolerance, Verdict
from fairness.intervals import donner_zou, newcombe
from fairness.report import measure_counts
from fairness.verdicts import family_of, judge

ALPHA = 0.05
DATA_SETS = 500
ALLOWED = binom.ppf(0.999, DATA_SETS, ALPHA) / DATA_SETS

DIFFERENCE = Tolerance(metric="demographic_parity_difference", attribute="g", at_most=0.1)
RATIO = Tolerance(metric="demographic_parity_ratio", attribute="g", at_least=0.8)
ODDS = Tolerance(metric="equalized_odds_difference", attribute="g", at_most=0.1)

SIZES = {2: [1000, 100], 5: [1000, 500, 200, 100, 50], 10: [1000, 800, 500, 400, 300, 200, 150, 100, 70, 50]}


def verdicts(policy: list[Tolerance], groups: dict[str, GroupCounts]) -> list[Verdict]:
    family = family_of(policy, {"g": groups}, 30)
    return [judge(tolerance, groups, family, alpha=ALPHA).verdict for tolerance in policy]


def selected(generator: np.random.Generator, sizes: list[int], rates: list[float]) -> dict[str, GroupCounts]:
    drawn = generator.binomial(sizes, rates).tolist()
    return {
        f"g{i}": GroupCounts(selected_unlabelled=x, rejected_unlabelled=n - x)
        for i, (x, n) in enumerate(zip(drawn, sizes, strict=True))
    }


def labelled(
    generator: np.random.Generator, sizes: list[int], base: float, tpr: float, fpr: float
) -> dict[str, GroupCounts]:
    cells = [base * tpr, (1 - base) * fpr, (1 - base) * (1 - fpr), base * (1 - tpr)]
    table = [generator.multinomial(size, cells).tolist() for size in sizes]
    return {f"g{i}": GroupCounts(*row) for i, row in enumerate(table)}


@pytest.mark.parametrize("groups", [2, 5, 10])
def test_a_fair_model_fails_demographic_parity_at_most_one_time_in_twenty(groups: int) -> None:
    generator = np.random.default_rng(1000 + groups)
    failed = naive = 0
    for _ in range(DATA_SETS):
        sample = selected(generator, SIZES[groups], [0.3] * groups)
        failed += Verdict.FAIL in verdicts([DIFFERENCE, RATIO], sample)
        naive += (demographic_parity_ratio(sample, 30).value or 0.0) < 0.8
    assert failed / DATA_SETS <= ALLOWED
    # The negative control: the four-fifths rule read off the point value calls fair models unfair.
    assert naive / DATA_SETS > {2: 0.1, 5: 0.4, 10: 0.7}[groups]


@pytest.mark.parametrize("groups", [2, 5, 10])
def test_a_fair_model_fails_equalized_odds_at_most_one_time_in_twenty(groups: int) -> None:
    generator = np.random.default_rng(2000 + groups)
    sizes = [2 * size for size in SIZES[groups]]
    failed = naive = 0
    for _ in range(DATA_SETS // 2):
        sample = labelled(generator, sizes, base=0.4, tpr=0.7, fpr=0.2)
        failed += verdicts([ODDS], sample) == [Verdict.FAIL]
        naive += (equalized_odds_difference(sample, 30).value or 0.0) > 0.1
    assert failed / (DATA_SETS // 2) <= binom.ppf(0.999, DATA_SETS // 2, ALPHA) / (DATA_SETS // 2)
    assert naive / (DATA_SETS // 2) > {2: 0.05, 5: 0.25, 10: 0.5}[groups]


@pytest.mark.parametrize("rate", [0.12, 0.3, 0.95])
@pytest.mark.parametrize("groups", [2, 5])
def test_a_true_gap_at_the_limit_passes_at_most_one_time_in_twenty(groups: int, rate: float) -> None:
    generator = np.random.default_rng(3000 + groups)
    for tolerance, low in ((DIFFERENCE, rate - 0.1), (RATIO, rate * 0.8)):
        passed = 0
        for _ in range(DATA_SETS):
            sample = selected(generator, [1500] * groups, [rate] * (groups - 1) + [low])
            passed += verdicts([tolerance], sample) == [Verdict.PASS]
        assert passed / DATA_SETS <= ALLOWED


@pytest.mark.parametrize(("n1", "n2"), [(30, 1000), (100, 100), (150, 1000), (400, 400), (1000, 30)])
def test_the_chance_to_pass_at_the_limit_stays_near_alpha_for_every_rate(n1: int, n2: int) -> None:
    """No simulation: every possible outcome of two groups, weighted by its probability."""
    worst = {
        (tolerance, corrected): max(
            chance_to_pass(n1, n2, rate, ratio=tolerance == "ratio", corrected=corrected)
            for rate in (0.101, 0.12, 0.2, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, 0.99, 1.0)
        )
        for tolerance in ("difference", "ratio")
        for corrected in (True, False)
    }
    assert worst["difference", True] <= 0.055
    assert worst["ratio", True] <= 0.055
    # Why the correction: without it the same intervals pass too often.
    assert max(worst["difference", False], worst["ratio", False]) > 0.05


def chance_to_pass(n1: int, n2: int, rate: float, *, ratio: bool, corrected: bool) -> float:
    x1, x2 = np.arange(n1 + 1)[:, None], np.arange(n2 + 1)[None, :]
    if ratio:
        lower, upper = donner_zou(x1, n1, x2, n2, 1 - 2 * ALPHA, corrected=corrected)
        inside: NDArray[np.bool_] = (lower >= 0.8) & (upper <= 1 / 0.8)
        low = rate * 0.8
    else:
        lower, upper = newcombe(x1, n1, x2, n2, 1 - 2 * ALPHA, corrected=corrected)
        inside = (lower >= -0.1) & (upper <= 0.1)
        low = rate - 0.1
    return float(binom.pmf(x1[:, 0], n1, rate) @ inside @ binom.pmf(x2[0], n2, low))


def test_a_clear_gap_is_found_and_a_clear_equality_is_passed() -> None:
    """The other side of caution: a gate that never decides would have no false alarms either."""
    generator = np.random.default_rng(4000)
    found = sum(
        verdicts([DIFFERENCE], selected(generator, [800, 800], [0.5, 0.35])) == [Verdict.FAIL] for _ in range(200)
    )
    passed = sum(
        verdicts([DIFFERENCE], selected(generator, [800, 800], [0.5, 0.5])) == [Verdict.PASS] for _ in range(200)
    )
    assert found > 180
    assert passed > 180


def test_the_whole_default_report_of_a_fair_model_seldom_fails() -> None:
    """Two attributes, all metrics at once: one family."""
    generator = np.random.default_rng(5000)
    tolerances = tuple(
        tolerance.model_copy(update={"attribute": attribute})
        for attribute in ("sex", "race")
        for tolerance in (DIFFERENCE, RATIO, ODDS)
    )
    runs = 100
    failed = 0
    for _ in range(runs):
        counted = {
            "sex": labelled(generator, [900, 600], 0.4, 0.7, 0.2),
            "race": labelled(generator, [900, 300, 200, 100], 0.4, 0.7, 0.2),
        }
        failed += measure_counts(counted, BiasPolicy(tolerances=tolerances)).verdict is Verdict.FAIL
    assert failed / runs <= binom.ppf(0.999, runs, ALPHA) / runs
