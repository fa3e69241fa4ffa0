from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, fisher_exact
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportions_ztest

from fairness.significance import EXACT_BELOW, equal_rates_p, holm, pooled_z_p

tables = st.tuples(*(st.integers(0, 400) for _ in range(4))).filter(lambda t: t[0] + t[1] > 0 and t[2] + t[3] > 0)


@settings(deadline=None)
@given(tables)
def test_the_test_is_fishers_for_few_and_the_pooled_z_test_for_many(table: tuple[int, int, int, int]) -> None:
    a, b, c, d = table
    found = equal_rates_p(a, a + b, c, c + d)[0]
    if a + c == 0 or b + d == 0:
        assert found == 1.0
        return
    smallest = min(a + c, b + d) * min(a + b, c + d) / sum(table)
    if smallest < EXACT_BELOW:
        assert found == pytest.approx(fisher_exact([[a, b], [c, d]]).pvalue, rel=1e-6, abs=1e-12)
    else:
        assert found == pytest.approx(proportions_ztest([a, c], [a + b, c + d])[1], rel=1e-6, abs=1e-12)


def test_the_corrected_z_test_is_the_chi_square_test_of_yates() -> None:
    oracle = chi2_contingency([[20, 80], [35, 70]], correction=True).pvalue
    assert pooled_z_p(20, 100, 35, 105, corrected=True) == pytest.approx(oracle)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_an_empty_family_has_no_p_values() -> None:
    assert holm(np.array([])).tolist() == []
