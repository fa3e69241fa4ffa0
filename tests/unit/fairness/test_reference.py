from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairness.counts import GroupCounts
from fairness.errors import UnknownReferenceError
from fairness.groups import UNKNOWN
from fairness.reference import Comparison, ReferenceMetric, compare, reference_group

COMPAS = {
    "Black": GroupCounts(tn=990, fp=805, fn=532, tp=1369),
    "White": GroupCounts(tn=1139, fp=349, fn=461, tp=505),
}
cells = st.integers(1, 300)
groups_of = st.builds(GroupCounts, tp=cells, fp=cells, tn=cells, fn=cells)


def by_metric(comparisons: tuple[Comparison, ...], group: str) -> dict[str, Comparison]:
    return {str(one.metric): one for one in comparisons if one.group == group}


@pytest.mark.parametrize(
    ("metric", "published"),
    [
        ("disparate_impact", 1.690),
        ("statistical_parity_difference", 0.240),
        ("average_odds_difference", 0.206),
        ("average_abs_odds_difference", 0.206),
    ],
)
def test_compas_gives_the_numbers_of_aif360(metric: str, published: float) -> None:
    found = by_metric(compare(COMPAS, "White"), "Black")[metric]
    assert found.value == pytest.approx(published, abs=5e-4)
    assert (found.group, found.reference) == ("Black", "White")


def test_compas_treatment_equality_is_the_difference_of_error_ratios() -> None:
    found = by_metric(compare(COMPAS, "White"), "Black")["treatment_equality_difference"]
    assert found.value == pytest.approx(532 / 805 - 461 / 349)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < found.value < found.upper < 0


@settings(deadline=None)
@given(groups_of, groups_of)
def test_values_lie_in_their_intervals_and_differences_turn_their_sign_with_the_reference(
    one: GroupCounts, other: GroupCounts
) -> None:
    groups = {"a": one, "b": other}
    forth, back = by_metric(compare(groups, "b"), "a"), by_metric(compare(groups, "a"), "b")
    for metric, found in forth.items():
        assert found.value is not None
        assert found.lower is None or found.lower - 1e-9 <= found.value
        assert found.upper is None or found.value <= found.upper + 1e-9
        opposite = back[metric].value
        if metric == "disparate_impact":
            assert opposite == pytest.approx(1 / found.value)
        else:
            sign = 1 if metric == "average_abs_odds_difference" else -1
            assert opposite == pytest.approx(sign * found.value)


def test_the_interval_of_average_odds_holds_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(1000):
        one = GroupCounts(*generator.multinomial(200, [0.3, 0.1, 0.4, 0.2]).tolist())
        other = GroupCounts(*generator.multinomial(400, [0.35, 0.05, 0.45, 0.15]).tolist())
        found = by_metric(compare({"a": one, "b": other}, "b"), "a")["average_odds_difference"]
        truth = ((0.1 / 0.5 - 0.05 / 0.5) + (0.3 / 0.5 - 0.35 / 0.5)) / 2
        held += found.lower is not None and found.upper is not None and found.lower <= truth <= found.upper
    assert 0.93 <= held / 1000 <= 0.98


def test_differences_may_cancel_and_their_absolute_values_do_not() -> None:
    groups = {"a": GroupCounts(tp=60, fn=40, fp=40, tn=60), "b": GroupCounts(tp=80, fn=20, fp=20, tn=80)}
    found = by_metric(compare(groups, "b"), "a")
    assert found["average_odds_difference"].value == pytest.approx(0)
    assert found["average_abs_odds_difference"].value == pytest.approx(0.2)


def test_a_group_without_a_rate_has_no_comparison_and_the_reason_names_it() -> None:
    groups = COMPAS | {"one": GroupCounts(tn=1)}
    found = by_metric(compare(groups, "White"), "one")["equal_opportunity_difference_vs_reference"]
    assert found.value is None
    assert found.reason == "group 'one' has no true_positive_rate: the group has no actual positives"
    nobody = {"a": GroupCounts(tp=4), "b": GroupCounts(tn=9)}
    assert "no ratio" in str(by_metric(compare(nobody, "b"), "a")["disparate_impact"].reason)


def test_a_small_group_is_shown_and_not_tested() -> None:
    groups = COMPAS | {"few": GroupCounts(tp=4, tn=5)}
    found = by_metric(compare(groups, "White", minimum_rows=30), "few")["statistical_parity_difference"]
    assert found.value is not None
    assert (found.compared, found.p_value) == (False, None)
    assert "shown and not tested" in str(found.reason)
    tested = by_metric(compare(groups, "White", minimum_rows=30), "Black")["statistical_parity_difference"]
    assert tested.p_value is not None
    assert tested.p_value < 1e-20


def test_the_largest_known_group_is_the_reference_unless_one_is_named() -> None:
    groups = COMPAS | {UNKNOWN: GroupCounts(tn=99_999)}
    assert reference_group("race", groups) == "Black"
    assert reference_group("race", groups, "White") == "White"
    assert reference_group("race", {UNKNOWN: GroupCounts(tn=1)}) is None
    for wrong in ("Green", UNKNOWN):
        with pytest.raises(UnknownReferenceError, match="there are: Black, White"):
            reference_group("race", groups, wrong)
    assert UNKNOWN not in {one.group for one in compare(groups, "Black")}


def test_every_metric_is_there_for_every_other_group() -> None:
    groups = dict.fromkeys("abc", COMPAS["White"])
    assert len(compare(groups, "a")) == 2 * len(ReferenceMetric)
