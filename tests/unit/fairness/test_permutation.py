from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, kstest

from fairness.counts import GroupCounts, count_groups
from fairness.disparities import Metric, measure_metric
from fairness.groups import encode
from fairness.permutation import chance, permutation_null

GROUPS = {
    "a": GroupCounts(tp=60, fp=20, tn=50, fn=30),
    "b": GroupCounts(tp=25, fp=15, tn=40, fn=20),
    "c": GroupCounts(tp=10, fp=9, tn=16, fn=5),
}


def rows_of(groups: dict[str, GroupCounts]) -> tuple[np.ndarray, ...]:
    rows = [
        (name, truth, decision)
        for name, c in groups.items()
        for truth, decision, n in ((1, 1, c.tp), (0, 1, c.fp), (0, 0, c.tn), (1, 0, c.fn))
        for _ in range(n)
    ]
    return tuple(np.array(column) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("metric", [Metric.DEMOGRAPHIC_PARITY_DIFFERENCE, Metric.EQUALIZED_ODDS_RATIO])
def test_drawing_from_urns_is_shuffling_the_groups_of_the_rows(metric: Metric) -> None:
    names, y_true, y_pred = rows_of(GROUPS)
    generator = np.random.default_rng(8)
    shuffled = []
    for _ in range(500):
        # Among rows with the same outcome for error rates, which keeps the base rates; among all for the selection.
        strata = y_true if metric.needs_outcomes else np.zeros(len(names))
        dealt = names.copy()
        for stratum in np.unique(strata):
            where = np.flatnonzero(strata == stratum)
            dealt[where] = names[generator.permutation(where)]
        shuffled.append(measure_metric(metric, count_groups(encode("g", dealt), y_true, y_pred, 1)).value)
    drawn = permutation_null(metric, GROUPS, generator, draws=3000)
    assert drawn is not None
    assert ks_2samp(np.array(shuffled, dtype=float), drawn).pvalue > 0.01


def test_p_values_of_fair_models_are_spread_evenly_or_a_little_above() -> None:
    generator = np.random.default_rng(9)
    metric = Metric.DEMOGRAPHIC_PARITY_DIFFERENCE
    found = []
    for _ in range(300):
        selected = generator.binomial([900, 400, 300], 0.3).tolist()
        groups = {
            f"g{i}": GroupCounts(selected_unlabelled=x, rejected_unlabelled=n - x)
            for i, (x, n) in enumerate(zip(selected, [900, 400, 300], strict=True))
        }
        null = permutation_null(metric, groups, generator, draws=400)
        assert null is not None
        found.append(chance(metric, measure_metric(metric, groups).value or 0.0, null).p_value)
    assert kstest(found, "uniform").pvalue > 0.01


def test_chance_says_what_groups_treated_alike_would_show() -> None:
    null = permutation_null(Metric.DEMOGRAPHIC_PARITY_RATIO, GROUPS, np.random.default_rng(1))
    assert null is not None
    found = chance(Metric.DEMOGRAPHIC_PARITY_RATIO, 0.2, null)
    assert found.extreme < found.typical < 1
    assert found.p_value == pytest.approx(1 / 1001)
    assert chance(Metric.DEMOGRAPHIC_PARITY_RATIO, 1.0, null).p_value == 1.0


def test_where_the_metric_is_undefined_or_numbers_are_too_large_there_is_no_null() -> None:
    generator = np.random.default_rng(1)
    nobody = {"a": GroupCounts(tn=9), "b": GroupCounts(tn=9)}
    assert permutation_null(Metric.DEMOGRAPHIC_PARITY_RATIO, nobody, generator) is None
    assert permutation_null(Metric.EQUAL_OPPORTUNITY_DIFFERENCE, nobody, generator) is None
    huge = {"a": GroupCounts(tp=10**9, tn=1), "b": GroupCounts(tp=1, tn=1)}
    assert permutation_null(Metric.DEMOGRAPHIC_PARITY_DIFFERENCE, huge, generator) is None
