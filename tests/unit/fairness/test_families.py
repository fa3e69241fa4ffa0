from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from fairness.counts import GroupCounts
from fairness.families import Purpose
from fairness.gate import BiasPolicy, default_policy
from fairness.report import measure_counts
from fairness.significance import benjamini_hochberg

COMPAS = {
    "Black": GroupCounts(tn=990, fp=805, fn=532, tp=1369),
    "White": GroupCounts(tn=1139, fp=349, fn=461, tp=505),
}
THREE = {**COMPAS, "Other": GroupCounts(tn=400, fp=150, fn=170, tp=300), "Few": GroupCounts(tp=3)}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_benjamini_and_hochberg_agree_with_scipy(p_values: list[float]) -> None:
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values))


def test_no_tests_have_no_p_values() -> None:
    assert benjamini_hochberg(np.array([])).tolist() == []


def test_the_report_records_which_tests_were_made_together() -> None:
    policy = default_policy(["race"]).tolerances + default_policy(["sex"], outcomes=False, gating=False).tolerances
    report = measure_counts({"race": THREE, "sex": COMPAS}, BiasPolicy(tolerances=policy))
    gate, shown, exploration = report.families
    assert (gate.purpose, gate.method, gate.size) == (Purpose.GATE, "holm", 9)
    assert [(m.attribute, str(m.rate), m.groups, m.tests) for m in gate.members] == [
        ("race", "selection_rate", 3, 3),
        ("race", "true_positive_rate", 3, 3),
        ("race", "false_positive_rate", 3, 3),
    ]
    assert (shown.purpose, shown.size) == (Purpose.SHOWN, 1)
    assert (exploration.purpose, exploration.method) == (Purpose.EXPLORATION, "benjamini_hochberg")
    assert exploration.size == sum(member.tests for member in exploration.members) == 6
    assert 0 < gate.rejected <= gate.size


def test_a_difference_and_a_ratio_are_one_test_of_the_exploration() -> None:
    comparisons = measure_counts({"race": THREE}, BiasPolicy()).attributes[0].comparisons
    found = {(str(one.metric), one.group): one for one in comparisons}
    difference, ratio = found["statistical_parity_difference", "White"], found["disparate_impact", "White"]
    assert (difference.p_value, difference.q_value) == (ratio.p_value, ratio.q_value)
    assert difference.p_value is not None
    assert difference.q_value is not None
    assert difference.q_value >= difference.p_value
    assert found["statistical_parity_difference", "Few"].q_value is None


def test_without_tests_there_is_nothing_to_record() -> None:
    assert measure_counts({"race": {}}, BiasPolicy()).families == ()
