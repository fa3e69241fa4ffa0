from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from fairness.counts import GroupCounts
from fairness.derived import STATISTICS, DerivedName, derived, point, statistic

cells = st.integers(0, 200)
counts = st.builds(GroupCounts, tp=cells, fp=cells, tn=cells, fn=cells)


@settings(deadline=None)
@given(st.builds(GroupCounts, *[st.integers(1, 200)] * 4))
def test_derived_measures_agree_with_scikit_learn(group: GroupCounts) -> None:
    truth, decision, weight = [1, 0, 0, 1], [1, 1, 0, 0], [group.tp, group.fp, group.tn, group.fn]
    oracles = {
        DerivedName.BALANCED_ACCURACY: metrics.balanced_accuracy_score(truth, decision, sample_weight=weight),
        DerivedName.F1: metrics.f1_score(truth, decision, sample_weight=weight),
        DerivedName.TREATMENT_EQUALITY: group.fn / group.fp,
    }
    for name, oracle in oracles.items():
        assert derived(name, group).value == pytest.approx(oracle)


@settings(deadline=None)
@given(counts)
def test_every_value_lies_in_its_interval_and_without_one_there_is_a_reason(group: GroupCounts) -> None:
    for name in STATISTICS:
        found = statistic(name, group)
        assert (found.value, found.denominator) == point(name, group)
        if found.value is None:
            assert found.reason
            continue
        assert found.lower is not None
        assert found.lower - 1e-12 <= found.value
        assert found.upper is None or found.value <= found.upper + 1e-12


@pytest.mark.parametrize(
    ("name", "group", "reason"),
    [
        (DerivedName.BALANCED_ACCURACY, GroupCounts(tp=3, fn=1), "no actual negatives"),
        (DerivedName.BALANCED_ACCURACY, GroupCounts(tn=3), "no actual positives"),
        (DerivedName.BALANCED_ACCURACY, GroupCounts(rejected_unlabelled=3), "no outcomes are known"),
        (DerivedName.F1, GroupCounts(tn=3), "no actual positives and no selected rows"),
        (DerivedName.TREATMENT_EQUALITY, GroupCounts(tn=3, fn=4), "no false positives"),
    ],
)
def test_what_has_no_denominator_is_undefined(name: DerivedName, group: GroupCounts, reason: str) -> None:
    found = derived(name, group)
    assert found.value is None
    assert found.reason is not None
    assert reason in found.reason


@pytest.mark.parametrize("name", list(DerivedName))
def test_the_intervals_hold_the_truth_about_as_often_as_they_say(name: DerivedName) -> None:
    shares = np.array([0.25, 0.1, 0.5, 0.15])
    truth = {
        DerivedName.BALANCED_ACCURACY: (0.25 / 0.4 + 0.5 / 0.6) / 2,
        DerivedName.F1: 0.5 / (0.5 + 0.1 + 0.15),
        DerivedName.TREATMENT_EQUALITY: 1.5,
    }[name]
    held = 0
    for row in np.random.default_rng(11).multinomial(150, shares, size=1000).tolist():
        found = derived(name, GroupCounts(*row))
        upper = float("inf") if found.upper is None else found.upper
        held += found.lower is not None and found.lower <= truth <= upper
    assert 0.93 <= held / 1000 <= 0.98
