from __future__ import annotations

import pytest
from scipy.stats import binomtest

from fairness.counts import GroupCounts
from fairness.groups import UNKNOWN
from fairness.rates import RateName, eligible, rate


def test_rates_are_the_ones_of_the_confusion_table() -> None:
    group = GroupCounts(tp=4, fp=1, tn=3, fn=2)
    expected = {
        "base_rate": 0.6,
        "selection_rate": 0.5,
        "true_positive_rate": 4 / 6,
        "false_positive_rate": 0.25,
        "true_negative_rate": 0.75,
        "false_negative_rate": 2 / 6,
        "precision": 0.8,
        "false_discovery_rate": 0.2,
        "npv": 0.6,
        "false_omission_rate": 0.4,
        "accuracy": 0.7,
    }
    assert {str(name): rate(name, group).value for name in RateName} == pytest.approx(expected)


def test_a_rate_comes_with_its_wilson_interval() -> None:
    found = rate(RateName.TRUE_POSITIVE_RATE, GroupCounts(tp=4, fn=2))
    oracle = binomtest(4, 6).proportion_ci(0.95, "wilson")
    assert (found.lower, found.upper) == pytest.approx((oracle.low, oracle.high))


@pytest.mark.parametrize(
    ("name", "group", "reason"),
    [
        (RateName.TRUE_POSITIVE_RATE, GroupCounts(tn=5, fp=1), "the group has no actual positives"),
        (RateName.FALSE_POSITIVE_RATE, GroupCounts(tp=5), "the group has no actual negatives"),
        (RateName.PRECISION, GroupCounts(tn=5), "the group has no selected rows with an outcome"),
        (RateName.NPV, GroupCounts(tp=5, rejected_unlabelled=2), "the group has no rejected rows with an outcome"),
        (RateName.SELECTION_RATE, GroupCounts(), "the group has no rows"),
        (RateName.ACCURACY, GroupCounts(selected_unlabelled=3), "no outcomes are known"),
    ],
)
def test_a_rate_without_a_denominator_is_undefined_and_says_why(
    name: RateName, group: GroupCounts, reason: str
) -> None:
    found = rate(name, group)
    assert found.value is None
    assert found.lower is None
    assert found.reason == reason


def test_unlabelled_rows_count_for_the_selection_rate_only() -> None:
    group = GroupCounts(tp=1, tn=1, selected_unlabelled=2)
    assert rate(RateName.SELECTION_RATE, group).value == 0.75
    assert rate(RateName.BASE_RATE, group).denominator == 2


def test_small_and_unknown_groups_are_left_out_of_the_comparison() -> None:
    groups = {"a": GroupCounts(tp=40), "b": GroupCounts(tp=29, tn=100), UNKNOWN: GroupCounts(tp=500)}
    found = eligible(RateName.TRUE_POSITIVE_RATE, groups, 30)
    assert found.names == ("a",)
    assert dict(found.left_out) == {"b": 29}
