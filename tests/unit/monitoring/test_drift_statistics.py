"""Statistics of drift: scipy is the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from monitoring.drift_statistics import (
    Counts,
    chi_squared,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    pooled,
    population_stability_index,
    stability_below,
)


def counts(low: int = 0) -> st.SearchStrategy[tuple[Counts, Counts]]:
    cell = st.tuples(st.integers(low, 500), st.integers(low, 500))
    both = st.lists(cell, min_size=2, max_size=30).map(lambda cells: np.array(cells, dtype=np.int64).T)
    return both.filter(lambda found: bool(found.sum(axis=1).all())).map(lambda found: (found[0], found[1]))


@given(counts())
def test_the_distance_of_jensen_and_shannon_is_that_of_scipy(both: tuple[Counts, Counts]) -> None:
    assert jensen_shannon_distance(*both) == pytest.approx(jensenshannon(*both, base=2), abs=1e-6)
    assert 0.0 <= jensen_shannon_distance(*both) <= 1.0


@given(counts(low=1))
def test_the_stability_index_is_both_relative_entropies(both: tuple[Counts, Counts]) -> None:
    p, q = (each / each.sum() for each in both)
    expected = stats.entropy(p, q) + stats.entropy(q, p)
    assert population_stability_index(*both, empty_share=0.0) == pytest.approx(expected, abs=1e-9)


@given(counts())
def test_measures_are_symmetric_and_nothing_apart_from_itself(both: tuple[Counts, Counts]) -> None:
    one, other = both
    for measure in (population_stability_index, jensen_shannon_distance):
        assert measure(one, other) == pytest.approx(measure(other, one), abs=1e-9)
        assert measure(one, one * 3) == pytest.approx(0.0, abs=1e-7)


@given(counts(low=10))
def test_the_test_of_categories_is_pearsons_where_none_is_rare(both: tuple[Counts, Counts]) -> None:
    found, expected = np.stack(both), stats.chi2_contingency(np.stack(both), correction=False)
    if expected.expected_freq.min() >= 5:
        assert chi_squared(*both).statistic == pytest.approx(expected.statistic, abs=1e-6)
        assert chi_squared(*both).p_value == pytest.approx(expected.pvalue, abs=1e-9)
    assert pooled(found).sum() == found.sum()


@given(counts())
def test_rare_cells_are_taken_together_and_no_row_is_lost(both: tuple[Counts, Counts]) -> None:
    found = pooled(np.stack(both))
    assert found.sum(axis=1).tolist() == np.stack(both).sum(axis=1).tolist()
    if found.shape[1] > 1:
        assert stats.contingency.expected_freq(found).min() >= 5 - 1e-9


VALUES = st.lists(st.integers(0, 12), min_size=5, max_size=300)


@given(VALUES, VALUES)
def test_the_test_of_numbers_is_that_of_scipy_where_each_cell_is_one_value(
    one: list[int], other: list[int]
) -> None:
    found = kolmogorov_smirnov(np.bincount(one, minlength=13), np.bincount(other, minlength=13))
    expected = stats.ks_2samp(one, other, method="asymp")
    assert found.statistic == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
def test_on_wider_cells_the_statistic_is_a_lower_bound_and_the_p_value_an_upper_one(seed: int, cells: int) -> None:
    draw = np.random.default_rng(seed)
    one, other = draw.normal(size=200), draw.normal(0.3, 1.2, size=150)
    edges = np.sort(draw.choice(one, cells, replace=False))
    found = kolmogorov_smirnov(
        np.bincount(np.searchsorted(edges, one, side="right"), minlength=cells + 1),
        np.bincount(np.searchsorted(edges, other, side="right"), minlength=cells + 1),
    )
    exact = stats.ks_2samp(one, other, method="asymp")
    assert found.statistic is not None
    assert found.p_value is not None
    assert found.statistic <= exact.statistic + 1e-12
    assert found.p_value >= exact.pvalue - 1e-9


def test_without_rows_nothing_is_said() -> None:
    nothing, some = np.zeros(3, dtype=np.int64), np.array([1, 2, 3])
    assert np.isnan(population_stability_index(nothing, some))
    assert np.isnan(jensen_shannon_distance(some, nothing))
    for test in (chi_squared, kolmogorov_smirnov):
        assert test(nothing, some).p_value is None
        assert test(nothing, some).reason
    assert chi_squared(np.array([3, 0]), np.array([4, 0])).reason == "too few rows outside one category"
    assert stability_below(0.0, 0.1, 1, 100, 100) == 1.0


def test_the_chance_of_a_smaller_index_is_the_share_of_draws_that_have_one() -> None:
    draw = np.random.default_rng(3)
    p = np.full(10, 0.1)
    q = p + 0.045 * np.array([1, -1] * 5)
    true = float(((q - p) * np.log(q / p)).sum())
    found = [population_stability_index(draw.multinomial(400, p), draw.multinomial(300, q)) for _ in range(2_000)]
    for level in (0.15, 0.2, 0.3):
        share = float(np.mean(np.array(found) <= level))
        assert stability_below(level, true, 10, 400, 300) == pytest.approx(share, abs=0.06)
