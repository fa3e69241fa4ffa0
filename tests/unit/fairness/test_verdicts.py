from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairness.counts import GroupCounts
from fairness.gate import Tolerance, Verdict
from fairness.verdicts import Judgement, family_of, judge

MINIMUM = 30


def group(rows: int, rate: float) -> GroupCounts:
    selected = round(rows * rate)
    return GroupCounts(selected_unlabelled=selected, rejected_unlabelled=rows - selected)


def verdict_on(groups: dict[str, GroupCounts], tolerance: Tolerance) -> Judgement:
    return judge(tolerance, groups, family_of([tolerance], {"g": groups}, MINIMUM), minimum_rows=MINIMUM)


def difference(**more: object) -> Tolerance:
    return Tolerance(metric="demographic_parity_difference", attribute="g", at_most=0.1, **more)


RATIO = Tolerance(metric="demographic_parity_ratio", attribute="g", at_least=0.8)


@pytest.mark.parametrize("tolerance", [difference(), RATIO])
def test_equal_rates_over_many_rows_pass(tolerance: Tolerance) -> None:
    assert verdict_on({"a": group(2000, 0.5), "b": group(2000, 0.49)}, tolerance).verdict is Verdict.PASS


@pytest.mark.parametrize("tolerance", [difference(), RATIO])
def test_a_wide_gap_over_many_rows_fails_with_its_p_value(tolerance: Tolerance) -> None:
    judgement = verdict_on({"a": group(2000, 0.6), "b": group(2000, 0.4)}, tolerance)
    assert judgement.verdict is Verdict.FAIL
    assert judgement.p_value is not None
    assert judgement.p_value < 1e-6


def test_a_significant_gap_inside_the_limit_does_not_fail() -> None:
    groups = {"a": group(20_000, 0.55), "b": group(20_000, 0.5)}
    assert verdict_on(groups, difference()).verdict is Verdict.PASS


def test_a_gap_exactly_at_the_limit_is_not_beyond_it() -> None:
    groups = {"a": group(10_000, 0.4), "b": group(10_000, 0.3)}
    assert verdict_on(groups, difference()).verdict is Verdict.INSUFFICIENT_EVIDENCE


@pytest.mark.parametrize("rates", [(0.5, 0.5), (0.5, 0.35), (0.8, 0.74), (0.6, 0.6)])
@pytest.mark.parametrize("tolerance", [difference(), RATIO])
def test_the_rows_asked_for_are_the_rows_that_settle_it(rates: tuple[float, float], tolerance: Tolerance) -> None:
    """Few rows leave it open; with the number asked for, and the same rates, there is a verdict."""
    few = {name: group(30, rate) for name, rate in zip("ab", rates, strict=True)}
    observed = {name: counts.selected / counts.rows for name, counts in few.items()}
    judgement = verdict_on(few, tolerance)
    assert judgement.verdict is Verdict.INSUFFICIENT_EVIDENCE
    assert judgement.note is not None
    asked = {
        name: int(rows.replace(",", ""))
        for rows, name in re.findall(r"([\d,]+) more rows in group '(\w)'", judgement.note)
    }
    more = {name: group(30 + round(1.15 * asked[name]), observed[name]) for name in few}
    fewer = {name: group(30 + round(0.7 * asked[name]), observed[name]) for name in few}
    assert verdict_on(more, tolerance).verdict is not Verdict.INSUFFICIENT_EVIDENCE
    assert verdict_on(fewer, tolerance).verdict is Verdict.INSUFFICIENT_EVIDENCE


def test_one_comparable_group_is_insufficient_and_says_what_the_other_lacks() -> None:
    judgement = verdict_on({"a": group(500, 0.5), "b": group(12, 0.1)}, difference())
    assert judgement.verdict is Verdict.INSUFFICIENT_EVIDENCE
    assert judgement.note is not None
    assert "group 'b' has 12 of the 30 rows this rate needs: about 18 more rows" in judgement.note


def test_the_rows_asked_for_are_rows_and_not_positives() -> None:
    tolerance = Tolerance(metric="equal_opportunity_difference", attribute="g", at_most=0.1)
    groups = {"a": GroupCounts(tp=400, fn=100), "b": GroupCounts(tp=10, tn=90)}
    judgement = verdict_on(groups, tolerance)
    assert judgement.note is not None
    assert "about 200 more rows" in judgement.note  # 20 more positives, one in ten rows


def test_a_group_without_any_positives_is_asked_for_at_least_the_minimum() -> None:
    tolerance = Tolerance(metric="equal_opportunity_difference", attribute="g", at_most=0.1)
    judgement = verdict_on({"a": GroupCounts(tp=400, fn=100), "b": GroupCounts(tn=90)}, tolerance)
    assert judgement.note is not None
    assert "group 'b' has 0 of the 30 rows this rate needs: at least 30 more rows" in judgement.note


def test_nobody_selected_anywhere_is_insufficient() -> None:
    groups = {"a": group(5000, 0.0), "b": group(5000, 0.0)}
    for tolerance in (difference(), RATIO):
        assert verdict_on(groups, tolerance).verdict is Verdict.INSUFFICIENT_EVIDENCE


def test_a_perfect_model_passes_equalized_odds_difference_although_nobody_is_falsely_selected() -> None:
    groups = {"a": GroupCounts(tp=900, tn=900), "b": GroupCounts(tp=900, tn=900)}
    tolerance = Tolerance(metric="equalized_odds_difference", attribute="g", at_most=0.1)
    assert verdict_on(groups, tolerance).verdict is Verdict.PASS


def test_equalized_odds_fails_by_its_false_positive_rate_alone() -> None:
    groups = {"a": GroupCounts(tp=900, fn=100, fp=500, tn=500), "b": GroupCounts(tp=900, fn=100, fp=100, tn=900)}
    tolerance = Tolerance(metric="equalized_odds_difference", attribute="g", at_most=0.1)
    assert verdict_on(groups, tolerance).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("required", "demanded"), [((), False), (("b",), True), (("absent",), True), (("*",), True), (("a",), False)]
)
def test_insufficient_evidence_refuses_only_about_required_groups(
    required: tuple[str, ...], demanded: bool
) -> None:
    groups = {"a": group(5000, 0.5), "b": group(40, 0.5), "c": group(5000, 0.5)}
    if required == ("a",):
        groups["b"] = group(10, 0.5)  # too small to compare: a and c pass
    judgement = verdict_on(groups, difference(required_groups=required))
    assert judgement.required is demanded
    assert (judgement.verdict is Verdict.INSUFFICIENT_EVIDENCE) is (required != ("a",))


def test_a_required_group_that_is_too_small_keeps_the_others_from_passing() -> None:
    groups = {"a": group(5000, 0.5), "b": group(12, 0.5), "c": group(5000, 0.5)}
    assert verdict_on(groups, difference()).verdict is Verdict.PASS
    judgement = verdict_on(groups, difference(required_groups=("b",)))
    assert judgement.verdict is Verdict.INSUFFICIENT_EVIDENCE
    assert judgement.required


def test_more_comparisons_make_the_same_gap_harder_to_prove() -> None:
    pair = {"a": group(300, 0.5), "b": group(300, 0.385)}
    assert verdict_on(pair, difference()).verdict is Verdict.FAIL
    many = pair | {f"g{i}": group(300, 0.45) for i in range(6)}
    assert verdict_on(many, difference()).verdict is Verdict.INSUFFICIENT_EVIDENCE


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.floats(0, 1)), max_size=6), st.sampled_from([difference(), RATIO])
)
def test_there_is_a_verdict_for_any_groups(shapes: list[tuple[int, float]], tolerance: Tolerance) -> None:
    groups = {f"g{i}": group(rows, rate) for i, (rows, rate) in enumerate(shapes)}
    judgement = verdict_on(groups, tolerance)
    assert (judgement.note is not None) == (judgement.verdict is Verdict.INSUFFICIENT_EVIDENCE)
