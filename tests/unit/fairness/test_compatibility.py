from __future__ import annotations

import warnings

import fairlearn.metrics as fairlearn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairness.compatibility import fairlearn_value
from fairness.counts import GroupCounts
from fairness.disparities import HEADLINE, Metric

cells = st.integers(0, 3)
tables = st.dictionaries(
    st.sampled_from("abc"),
    st.builds(GroupCounts, tp=cells, fp=cells, tn=cells, fn=cells).filter(lambda group: group.rows > 0),
    min_size=1,
).filter(lambda groups: sum(group.rows for group in groups.values()) > 1)  # it fails on a single row


def oracle(metric: Metric, groups: dict[str, GroupCounts]) -> float | None:
    rows = [
        (group, truth, decision)
        for group, c in groups.items()
        for truth, decision, count in ((1, 1, c.tp), (0, 1, c.fp), (0, 0, c.tn), (1, 0, c.fn))
        for _ in range(count)
    ]
    sensitive, y_true, y_pred = (np.array(column) for column in zip(*rows, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it divides zero by zero, and says so
        found = float(getattr(fairlearn, metric)(y_true, y_pred, sensitive_features=sensitive))
    return None if np.isnan(found) else found


@settings(max_examples=60, deadline=None)
@given(tables, st.sampled_from(HEADLINE))
def test_it_is_what_fairlearn_answers_with_empty_denominators_too(
    groups: dict[str, GroupCounts], metric: Metric
) -> None:
    assert fairlearn_value(metric, groups) == pytest.approx(oracle(metric, groups))


def test_one_person_turns_equal_opportunity_into_its_worst_value() -> None:
    groups = {"a": GroupCounts(tp=90, fn=10), "b": GroupCounts(tp=90, fn=10), "one": GroupCounts(tn=1)}
    assert fairlearn_value(Metric.EQUAL_OPPORTUNITY_RATIO, groups) == 0.0


def test_what_fairlearn_does_not_have_or_cannot_say_is_none() -> None:
    assert fairlearn_value(Metric.PREDICTIVE_PARITY_RATIO, {"a": GroupCounts(tp=1)}) is None
    assert fairlearn_value(Metric.DEMOGRAPHIC_PARITY_RATIO, {}) is None
    assert fairlearn_value(Metric.DEMOGRAPHIC_PARITY_RATIO, {"a": GroupCounts(tn=1)}) is None
