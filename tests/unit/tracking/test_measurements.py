"""Numbers by name: every finite number once, nothing made up, names that providers take."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_metric_name

from tracking.measurements import LONGEST_NAME, measurements, safe_name, scalars, summary

NUMBERS = st.one_of(st.floats(), st.integers(), st.booleans())
JSON = st.recursive(
    st.one_of(st.none(), st.text(max_size=5), NUMBERS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=20,
)


def numbers(value: Any) -> int:
    """Count the metrics that a value makes: a list of numbers makes three."""
    if isinstance(value, int | float):
        return 1
    if isinstance(value, dict):
        return sum(map(numbers, value.values()))
    if isinstance(value, list) and value:
        return 3 if all(isinstance(item, int | float) for item in value) else sum(map(numbers, value))
    return 0


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=5))
def test_every_number_is_a_finite_metric_or_is_said_to_be_left_out(results: dict[str, Any]) -> None:
    found = measurements(results)
    assert len(found.metrics) + len(found.not_finite) + found.too_many == numbers(results)
    assert all(map(math.isfinite, found.metrics.values()))


@given(st.dictionaries(st.text(max_size=20), NUMBERS, max_size=5))
def test_every_name_is_one_that_mlflow_takes_and_none_is_weights_and_biases_own(results: dict[str, Any]) -> None:
    for name in measurements(results).metrics:
        _validate_metric_name(name)
        assert not name.startswith("_")


def test_names_are_the_way_to_the_number_joined_by_underscores() -> None:
    results = {"SEX": {"disparities": {"ratio": 0.5}, "groups": [{"group": "1", "rate": 0.25}, {"rate": 1}]}}
    assert measurements(results).metrics == {
        "SEX_disparities_ratio": 0.5,
        "SEX_groups_1_rate": 0.25,
        "SEX_groups_1_rate_2": 1.0,
    }


def test_elements_are_called_by_their_most_particular_name() -> None:
    disparity = {"metric": "ratio", "attribute": "x", "value": 1}
    results = {"attributes": [{"attribute": "SEX", "disparities": [disparity]}]}
    assert measurements(results).metrics == {"attributes_SEX_disparities_ratio_value": 1.0}


def test_two_numbers_under_one_name_are_both_kept() -> None:
    assert measurements({"a_b": 1, "a": {"b": 2}, "a×b": 3}).metrics == {"a_b": 1.0, "a_b_2": 3.0, "a_b_3": 2.0}


def test_beyond_the_limit_the_outermost_are_kept_and_the_others_counted() -> None:
    found = measurements({"deep": {"er": {"1": 1, "2": 2}}, "top": 3}, most=2)
    assert (found.metrics, found.too_many) == ({"top": 3.0, "deep_er_1": 1.0}, 1)


def test_an_integer_beyond_every_float_is_not_finite() -> None:
    assert measurements({"huge": 10**400}).not_finite == ("huge",)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc", "etc"),
        ("_step", "step"),
        ("", "value"),
        ("...", "value"),
        ("a/b:c", "a_b_c"),
        ("Größe", "Größe"),
    ],
)
def test_odd_letters_are_underscores(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_long_names_are_cut_and_stay_apart() -> None:
    found = measurements({"x" * 300 + "1": 1, "x" * 300 + "2": 2}).metrics
    assert sorted(found.values()) == [1.0, 2.0]
    assert all(len(name) <= LONGEST_NAME for name in found)


def test_scalars_are_text_numbers_and_booleans() -> None:
    assert scalars({"a": "x", "b": 1, "c": True, "d": None, "e": [1], "f": {"g": 1}}) == {
        "a": "x",
        "b": 1,
        "c": True,
    }


@pytest.mark.parametrize(
    ("results", "detected", "risk"),
    [
        ({"overall_bias_detected": True, "risk_level": "low"}, True, "low"),
        ({"overall_risk": "critical"}, None, "critical"),
        ({"verdict": "pass"}, False, "low"),
        ({"verdict": "insufficient_evidence"}, "unknown", "unknown"),
        ({"verdict": None}, None, None),
        ({}, None, None),
    ],
)
def test_the_test_in_a_word(results: dict[str, Any], detected: bool | str | None, risk: str | None) -> None:
    found = summary(results)
    assert (found.get("bias_detected"), found.get("risk_level")) == (detected, risk)


@pytest.mark.parametrize(("failed", "risk"), [(1, "medium"), (2, "high"), (3, "critical"), (7, "critical")])
def test_the_risk_counts_the_failed_metrics_that_gate(failed: int, risk: str) -> None:
    disparities = [{"gating": True, "verdict": "fail"}] * failed
    disparities += [{"gating": False, "verdict": "fail"}, {"gating": True, "verdict": "pass"}]
    assert summary({"verdict": "fail", "attributes": [{"disparities": disparities}]})["risk_level"] == risk


@given(
    st.fixed_dictionaries({"verdict": st.sampled_from(["fail", "pass", "other"]), "attributes": JSON}),
    st.dictionaries(st.sampled_from(["summary", "risk_level", "bias_detected", "verdict"]), JSON),
    st.lists(st.fixed_dictionaries({"disparities": JSON}), max_size=2) | JSON,
)
def test_any_results_are_told_in_a_word(results: dict[str, Any], more: dict[str, Any], attributes: Any) -> None:
    told = summary(results | {"attributes": attributes} | more)
    assert all(isinstance(value, str | int | float | bool) for value in told.values())


def test_a_summary_of_its_own_is_taken_over() -> None:
    assert summary({"summary": {"rows": 3, "list": []}}) == {"rows": 3}
    assert summary({"summary": "all well"}) == {"summary_text": "all well"}
