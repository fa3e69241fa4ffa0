"""Exact bets: their mean is one where the margin is just kept, and their special cases are known tests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.betting import (
    STAKES,
    Differences,
    Stratum,
    Yeses,
    difference_bound,
    difference_capital,
    difference_log_e,
    paired_bound,
    paired_log_e,
)
from rollout.sequential import conditional_log_e


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.6, 0.6), st.floats(0, 1), st.floats(0.1, 0.9))
def test_a_bet_by_the_shares_of_the_design_is_worth_one_on_average_at_the_margin(
    margin: float, control: float, share: float
) -> None:
    other = control * (1 - abs(margin)) + max(-margin, 0)
    worse, rest = other + margin, 1 - share
    chances = share * worse, share * (1 - worse), rest * other, rest * (1 - other)

    def growth(k: float, j: float) -> np.ndarray:
        counts = [Stratum(Yeses(share, share * k), Yeses(1 - share, (1 - share) * j))]
        return difference_capital(counts, margin).growth[: len(STAKES)]

    # Growth is linear in counts. With a margin above 0 a no of the other arm leaves the capital as it is, with one
    # below 0 a no of the arm that may be worse.
    none = growth(0, 0)
    noes = (none / share, 0 * none) if margin > 0 else (0 * none, none / (1 - share))
    yeses = noes[0] + (growth(1, 0) - none) / share, noes[1] + (growth(0, 1) - none) / (1 - share)
    logarithms = yeses[0], noes[0], yeses[1], noes[1]
    mean = sum(chance * np.exp(one) for chance, one in zip(chances, logarithms, strict=True))
    assert mean == pytest.approx(np.ones_like(none), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.9, 0.9), st.floats(0, 1))
def test_a_bet_on_pairs_is_worth_at_most_one_on_average_where_the_margin_is_kept(
    margin: float, part: float
) -> None:
    differing = abs(margin) + (1 - abs(margin)) * part
    chances = (differing + margin) / 2, 1 - differing, (differing - margin) / 2
    outcomes = Differences(1, 1, 0), Differences(1, 0, 0), Differences(1, 0, 1)
    mean = sum(c * np.exp(paired_log_e(one, margin)) for c, one in zip(chances, outcomes, strict=True))
    assert mean == pytest.approx(1.0, abs=1e-9)


def test_without_a_margin_it_is_the_conditional_test_but_for_the_mixture() -> None:
    for k, j in ((30, 10), (80, 40), (12, 12)):
        strata = [Stratum(Yeses(100_000, k), Yeses(100_000, j))]
        exact = float(conditional_log_e(k, j, 0.5))
        assert float(difference_log_e(strata, 0.0, yeses=0.999)) == pytest.approx(exact, abs=0.9)
        assert float(paired_log_e(Differences(100_000, k, j), 0.0)) == pytest.approx(exact, abs=0.9)


def test_steps_multiply_their_capital_and_unequal_shares_are_no_difference() -> None:
    one, other = Stratum(Yeses(4_000, 40), Yeses(400, 4)), Stratum(Yeses(300, 90), Yeses(3_000, 900))
    growth = difference_capital([one], 0.0).growth + difference_capital([other], 0.0).growth
    assert difference_capital([one, other], 0.0).growth == pytest.approx(growth)
    assert difference_log_e([one, other], 0.0) < 0
    empty = Stratum(Yeses(0, 0), Yeses(500, 20))
    assert difference_log_e([one, empty], 0.01) == pytest.approx(float(difference_log_e([one], 0.01)))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3_000), st.integers(1, 3_000), st.floats(0, 1), st.floats(0, 1))
def test_evidence_falls_with_the_margin_and_bounds_lie_around_the_estimate(
    n: int, m: int, ours: float, theirs: float
) -> None:
    k, j = round(n * ours), round(m * theirs)
    strata, estimate = [Stratum(Yeses(n, k), Yeses(m, j))], k / n - j / m
    evidence = difference_log_e(strata, np.linspace(-0.99, 0.99, 23))
    assert (np.diff(evidence) <= 1e-6 + 1e-9 * np.abs(evidence[1:])).all()
    lower = difference_bound(strata, estimate, 0.05)
    upper = -difference_bound([Stratum(other, worse) for worse, other in strata], -estimate, 0.05)
    assert -1 <= lower <= estimate <= upper <= 1


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3_000), st.floats(0, 1), st.floats(0, 1))
def test_bounds_of_pairs_lie_around_the_mean_difference(n: int, differing: float, plus: float) -> None:
    differ = round(n * differing)
    pairs = Differences(n, round(differ * plus), differ - round(differ * plus))
    mean = (pairs.plus - pairs.minus) / n
    assert -1 <= paired_bound(pairs, 0.05) <= mean + 1e-12 <= -paired_bound(pairs.reversed, 0.05) + 2e-12
