from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from fairness.counts import GroupCounts, count_groups
from fairness.disparities import Metric, measure_metric
from fairness.groups import encode
from fairness.resampling import bootstrap_interval, resample

GROUPS = {"a": GroupCounts(tp=60, fp=20, tn=50, fn=30), "b": GroupCounts(tp=25, fp=15, tn=40, fn=20)}


def test_resampling_counts_is_resampling_rows() -> None:
    rows = [
        (name, truth, decision)
        for name, c in GROUPS.items()
        for truth, decision, n in ((1, 1, c.tp), (0, 1, c.fp), (0, 0, c.tn), (1, 0, c.fn))
        for _ in range(n)
    ]
    names, y_true, y_pred = (np.array(column) for column in zip(*rows, strict=True))
    generator = np.random.default_rng(5)
    by_rows = []
    for _ in range(400):
        picked = generator.integers(0, len(rows), len(rows))
        counts = count_groups(encode("g", names[picked]), y_true[picked], y_pred[picked], 1)
        by_rows.append(counts["a"].tp)
    by_counts = resample(GROUPS, generator, 4000)["a"][:, 0]
    assert ks_2samp(by_rows, by_counts).pvalue > 0.01


@pytest.mark.parametrize("metric", list(Metric))
def test_the_interval_surrounds_the_bulk_of_the_resamples_and_repeats_with_the_seed(metric: Metric) -> None:
    intervals = [
        bootstrap_interval(metric, GROUPS, resample(GROUPS, np.random.default_rng(7), 500)) for _ in range(2)
    ]
    assert intervals[0] == intervals[1]
    assert intervals[0] is not None
    lower, upper = intervals[0]
    value = measure_metric(metric, GROUPS).value
    assert value is not None
    assert lower < value < upper


def test_an_undefined_metric_has_no_interval() -> None:
    drawn = resample(GROUPS, np.random.default_rng(7), 10)
    assert bootstrap_interval(Metric.DEMOGRAPHIC_PARITY_RATIO, GROUPS, drawn, minimum_rows=150) is None
    nobody = {"a": GroupCounts(tn=9), "b": GroupCounts(tn=9)}
    drawn = resample(nobody, np.random.default_rng(7), 10)
    assert bootstrap_interval(Metric.DEMOGRAPHIC_PARITY_RATIO, nobody, drawn) is None
