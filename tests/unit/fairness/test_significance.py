from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, chi2_contingency, fisher_exact
from statsmodels.stats.multitest import multipletests

from fairness.significance import EXACT_BELOW, equal_rates_p, holm, yates_p

tables = st.tuples(*(st.integers(0, 400) for _ in range(4))).filter(lambda t: t[0] + t[1] > 0 and t[2] + t[3] > 0)


@settings(deadline=None)
@given(tables)
def test_the_test_is_fishers_for_few_and_yates_for_many(table: tuple[int, int, int, int]) -> None:
    a, b, c, d = table
    found = equal_rates_p(a, a + b, c, c + d)[0]
    if a + c == 0 or b + d == 0:
        assert found == 1.0
        return
    smallest = min(a + c, b + d) * min(a + b, c + d) / sum(table)
    if smallest < EXACT_BELOW:
        assert found == pytest.approx(fisher_exact([[a, b], [c, d]]).pvalue, rel=1e-6, abs=1e-12)
    else:
        assert found == pytest.approx(
            chi2_contingency([[a, b], [c, d]], correction=True).pvalue, rel=1e-6, abs=1e-12
        )


@pytest.mark.parametrize(("n1", "n2"), [(30, 30), (30, 300), (60, 60), (100, 100), (50, 200), (200, 200)])
def test_equal_rates_are_rejected_at_most_as_often_as_alpha_says(n1: int, n2: int) -> None:
    """No simulation: every outcome of two groups with one rate, weighted by its probability."""
    x1, x2 = np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing="ij")
    p_values = equal_rates_p(x1.ravel(), n1, x2.ravel(), n2).reshape(x1.shape)
    for rate in (0.02, 0.1, 0.3, 0.5, 0.8):
        chance = binom.pmf(x1, n1, rate) * binom.pmf(x2, n2, rate)
        for alpha in (0.05, 0.005):
            assert (chance * (p_values <= alpha)).sum() <= alpha


def test_the_corrected_z_test_is_the_chi_square_test_of_yates() -> None:
    oracle = chi2_contingency([[20, 80], [35, 70]], correction=True).pvalue
    assert yates_p(20, 100, 35, 105) == pytest.approx(oracle)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_an_empty_family_has_no_p_values() -> None:
    assert holm(np.array([])).tolist() == []
