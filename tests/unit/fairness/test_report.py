from __future__ import annotations

import json

import numpy as np
import pytest

from fairness.counts import GroupCounts
from fairness.derived import STATISTICS
from fairness.disparities import HEADLINE
from fairness.errors import LengthMismatchError, UnknownAttributeError, UnknownReferenceError, UnseenLabelError
from fairness.gate import BiasPolicy, Tolerance, Verdict, default_policy
from fairness.individual import theil_index
from fairness.report import BiasReport, describe, measure, measure_counts
from fairness.tables import intersection_name

COMPAS = {
    "Black": GroupCounts(tn=990, fp=805, fn=532, tp=1369),
    "White": GroupCounts(tn=1139, fp=349, fn=461, tp=505),
}
NOTHING = BiasPolicy()


def fair_rows(n: int = 4000) -> tuple[list[str], list[str], list[str]]:
    generator = np.random.default_rng(3)
    sex = generator.choice(["f", "m"], n).tolist()
    outcome = generator.choice(["good", "bad"], n)
    decision = np.where(generator.random(n) < 0.1, np.where(outcome == "good", "bad", "good"), outcome)
    return sex, outcome.tolist(), decision.tolist()


def test_the_compas_table_fails_on_every_metric_of_the_default_policy() -> None:
    report = measure_counts({"race": COMPAS}, default_policy(["race"]))
    assert report.verdict is Verdict.FAIL
    judged = [d for d in report.attributes[0].disparities if d.limit is not None]
    assert {d.verdict for d in judged} == {Verdict.FAIL}
    assert [d.metric for d in judged] == list(HEADLINE)
    assert report.rows == 6150


def test_a_fair_model_on_text_labels_passes() -> None:
    sex, outcome, decision = fair_rows()
    report = measure({"sex": sex}, outcome, decision, "good", default_policy(["sex"]))
    by_metric = {str(d.metric): d.verdict for d in report.attributes[0].disparities}
    assert by_metric["equal_opportunity_difference"] is Verdict.PASS
    assert by_metric["demographic_parity_difference"] is Verdict.PASS


def test_without_a_policy_everything_is_shown_and_nothing_judged() -> None:
    report = measure_counts({"race": COMPAS}, NOTHING)
    assert report.verdict is None
    assert report.attributes[0].verdict is None
    assert all(d.value is not None and d.verdict is None for d in report.attributes[0].disparities)


def test_what_is_only_reported_has_a_verdict_and_does_not_gate() -> None:
    shown = Tolerance(metric="demographic_parity_ratio", attribute="race", at_least=0.8, gating=False)
    report = measure_counts({"race": COMPAS}, BiasPolicy(tolerances=(shown,)))
    assert report.verdict is None
    assert report.attributes[0].verdict is Verdict.FAIL


def test_showing_more_does_not_make_a_gate_more_lenient() -> None:
    gate = Tolerance(metric="demographic_parity_difference", attribute="race", at_most=0.1)
    alone = measure_counts({"race": COMPAS, "sex": COMPAS}, BiasPolicy(tolerances=(gate,)))
    shown = default_policy(["sex"], gating=False).tolerances
    both = measure_counts({"race": COMPAS, "sex": COMPAS}, BiasPolicy(tolerances=(gate, *shown)))
    assert both.attributes[0] == alone.attributes[0]


def test_small_and_unknown_groups_are_shown_and_said_to_be_left_out() -> None:
    groups = COMPAS | {"Other": GroupCounts(tn=9), "unknown": GroupCounts(tp=4, selected_unlabelled=2)}
    report = measure_counts({"race": groups}, NOTHING).attributes[0]
    other = next(group for group in report.groups if group.group == "Other")
    assert other.small
    assert other.compared == ()
    assert other.true_positive_rate.value is None
    assert other.true_positive_rate.reason == "the group has no actual positives"
    assert report.notes == (
        "6 rows have no value for this attribute; they are shown and not compared",
        "groups with fewer than 30 rows are shown and not compared: Other",
        "2 rows have no outcome yet; they count for the selection rate only",
    )


def test_without_outcomes_the_error_rates_are_undefined_with_the_reason() -> None:
    sex, _, decision = fair_rows()
    report = measure({"sex": sex}, None, decision, "good", default_policy(["sex"])).attributes[0]
    assert report.groups[0].accuracy.reason == "no outcomes are known"
    odds = next(d for d in report.disparities if d.metric == "equalized_odds_difference")
    assert odds.value is None
    assert odds.verdict is Verdict.INSUFFICIENT_EVIDENCE


def test_bootstrap_intervals_come_with_a_generator_and_judge_nothing() -> None:
    without = measure_counts({"race": COMPAS}, NOTHING)
    with_them = measure_counts({"race": COMPAS}, NOTHING, generator=np.random.default_rng(1))
    assert all(d.bootstrap is None for d in without.attributes[0].disparities)
    assert all(d.bootstrap is not None for d in with_them.attributes[0].disparities)


def test_the_report_survives_json_without_nan() -> None:
    groups = COMPAS | {"Other": GroupCounts(tn=9), "empty": GroupCounts()}
    report = measure_counts({"race": groups, "none": {}}, NOTHING, generator=np.random.default_rng(1))
    text = report.model_dump_json()
    json.loads(text, parse_constant=pytest.fail)
    assert BiasReport.model_validate_json(text) == report


def test_a_disparity_is_described_in_one_line() -> None:
    attribute = measure_counts({"race": COMPAS}, default_policy(["race"])).attributes[0]
    assert describe("race", attribute.disparities[0]) == (
        "demographic_parity_difference on race is 0.240 (at most 0.1 allowed); "
        "selection_rate is highest in group 'Black', lowest in 'White'"
    )
    undefined = measure_counts({"race": {}}, NOTHING).attributes[0].disparities[0]
    assert describe("race", undefined).startswith("demographic_parity_difference on race is undefined: no group")


def test_a_value_a_hair_beyond_its_limit_does_not_read_as_at_it() -> None:
    groups = {"a": GroupCounts(tp=40_020, fn=59_980), "b": GroupCounts(tp=30_000, fn=70_000)}
    attribute = measure_counts({"race": groups}, default_policy(["race"])).attributes[0]
    assert "is 0.100200 (at most 0.1 allowed)" in describe("race", attribute.disparities[0])


def test_a_favourable_label_that_never_occurs_is_refused() -> None:
    with pytest.raises(UnseenLabelError, match="1 is not '1'"):
        measure({"sex": ["f", "m"]}, [1, 0], [1, 0], "1", NOTHING)


def test_a_label_the_model_can_give_may_be_given_to_nobody() -> None:
    sex = ["f", "m"] * 500
    report = measure({"sex": sex}, None, ["bad"] * 1000, "good", default_policy(["sex"]), classes=("bad", "good"))
    judged = [d for d in report.attributes[0].disparities if d.verdict is not None]
    assert {d.verdict for d in judged} == {Verdict.INSUFFICIENT_EVIDENCE}


def test_a_policy_for_an_attribute_that_was_not_sent_is_refused() -> None:
    with pytest.raises(UnknownAttributeError, match="measured: race"):
        measure_counts({"race": COMPAS}, default_policy(["sex"]))


def test_columns_of_different_lengths_are_refused_by_name() -> None:
    with pytest.raises(LengthMismatchError, match="column 'sex'"):
        measure({"sex": ["f"]}, [1, 0], [1, 0], 1, NOTHING)
    with pytest.raises(LengthMismatchError, match="column 'outcome'"):
        measure({"sex": ["f", "m"]}, [1], [1, 0], 1, NOTHING)


def test_intersections_ranges_and_references_are_reported_beside_the_attributes() -> None:
    generator = np.random.default_rng(4)
    n = 3000
    columns = {
        "sex": generator.choice(["f", "m"], n).tolist(),
        "age": [None if age < 20 else age for age in generator.integers(18, 80, n).tolist()],
    }
    decisions = generator.integers(0, 2, n)
    name = intersection_name(["sex", "age"])
    report = measure(
        columns,
        generator.integers(0, 2, n),
        decisions,
        1,
        default_policy(["sex", name], outcomes=False),
        edges={"age": [40, 60]},
        intersections=[["sex", "age"]],
        references={"sex": "f"},
    )
    assert [attribute.attribute for attribute in report.attributes] == ["sex", "age", "sex × age"]
    assert [group.group for group in report.attributes[1].groups] == ["< 40", "40 to < 60", "≥ 60", "unknown"]
    assert [group.group for group in report.attributes[2].groups][:2] == ["f × < 40", "f × 40 to < 60"]
    assert {sum(group.rows for group in attribute.groups) for attribute in report.attributes} == {n}
    assert report.attributes[0].reference == "f"
    assert report.attributes[2].verdict is not None
    assert report.rows == n


def test_asking_about_an_attribute_that_is_not_there_is_refused() -> None:
    rows = {"sex": ["f", "m"]}, [1, 0], [1, 0], 1, NOTHING
    for wrong in ({"intersections": [["sex", "age"]]}, {"edges": {"age": [1]}}, {"references": {"age": "1"}}):
        with pytest.raises(UnknownAttributeError, match="'age' was asked for and not sent"):
            measure(*rows, **wrong)
    with pytest.raises(UnknownReferenceError):
        measure(*rows, references={"sex": "x"})


def test_every_measure_of_a_group_is_in_the_report() -> None:
    group = measure_counts({"race": COMPAS}, NOTHING).attributes[0].groups[0].model_dump()
    assert {str(name) for name in STATISTICS} <= group.keys()
    assert all(group[name]["value"] is not None for name in STATISTICS)


def test_what_chance_would_show_comes_with_a_generator() -> None:
    disparity = measure_counts({"race": COMPAS}, NOTHING, generator=np.random.default_rng(1))
    found = disparity.attributes[0].disparities[0].chance
    assert found is not None
    assert found.extreme < 0.05 < 0.240
    assert found.p_value == pytest.approx(1 / 1001)


def test_fairlearns_own_answer_stands_beside_ours_where_asked_for() -> None:
    groups = COMPAS | {"one": GroupCounts(tn=1)}
    plain = measure_counts({"race": groups}, default_policy(["race"]))
    both = measure_counts({"race": groups}, default_policy(["race"]), fairlearn_compat=True)
    found = {str(d.metric): d for d in both.attributes[0].disparities}
    assert found["equal_opportunity_ratio"].fairlearn == 0.0
    assert found["predictive_parity_ratio"].fairlearn is None
    assert [d.verdict for d in both.attributes[0].disparities] == [
        d.verdict for d in plain.attributes[0].disparities
    ]


def test_a_report_of_before_the_new_fields_can_still_be_read() -> None:
    report = measure_counts({"race": COMPAS}, default_policy(["race"]))
    old = report.model_dump(mode="json", exclude={"families", "individual"})
    for attribute in old["attributes"]:
        for field in ("reference", "comparisons", "aggregates"):
            del attribute[field]
        for disparity in attribute["disparities"]:
            del disparity["chance"], disparity["fairlearn"]
        for group in attribute["groups"]:
            for field in ("npv", "f1", "false_discovery_rate", "false_omission_rate"):
                del group[field]
            del group["balanced_accuracy"], group["treatment_equality"]
    assert BiasReport.model_validate(old).verdict is Verdict.FAIL


def test_the_indices_that_know_no_groups_are_those_of_all_rows() -> None:
    report = measure_counts({"race": COMPAS, "half": {"a": COMPAS["White"]}}, NOTHING)
    assert report.individual["theil_index"] == theil_index(COMPAS.values())
    assert report.rows == 6150
