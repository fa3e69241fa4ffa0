"""What a row says of each metric, and what it says nothing of."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairness.groups import UNKNOWN
from rollout.guardrail import Guardrail, Metric
from rollout.observations import Observed, difference, group_of, is_same, observation

ROW = Observed("ok", 1, 0.8, 2_000, 1)
NEEDED: dict[Metric, dict[str, Any]] = {Metric.LATENCY_SLO: {"slo_ms": 2.0}}


def guardrail(metric: Metric | str, **changes: Any) -> Guardrail:
    metric = Metric(metric)
    values = NEEDED.get(metric, {}) | ({"attribute": "sex"} if metric.compares_groups else {})
    return Guardrail(metric=metric, margin=0.05, **values | changes)


@pytest.mark.parametrize(
    ("metric", "row", "expected"),
    [
        ("error_rate", ROW, ("", 0)),
        ("error_rate", Observed("timeout"), ("", 1)),
        ("latency_slo", ROW, ("", 0)),
        ("latency_slo", Observed("ok", 1, None, 2_001), ("", 1)),
        ("latency_slo", Observed("error", latency_us=5), ("", 1)),
        ("latency_logmean", ROW, ("", math.log(0.002))),
        ("latency_logmean", Observed("ok", 1, None, 0), ("", math.log(1e-6))),
        ("selection_rate", ROW, ("", 1)),
        ("dp_diff", Observed("ok", 0), ("", 0)),
        ("dp_ratio", Observed("ok", 1.0), ("", 1)),
        ("selection_rate", Observed("ok", True), ("", 0)),
        ("accuracy", ROW, ("", 1)),
        ("accuracy", Observed("ok", "a", outcome="b"), ("", 0)),
        ("group_accuracy_min", Observed("ok", 0, outcome=0.0), ("", 1)),
        ("log_loss", ROW, ("", -math.log(0.8))),
        ("log_loss", Observed("ok", 1, 1.0, outcome=0), ("", -math.log(1e-6))),
        ("brier", Observed("ok", 1, 0.8, outcome=0), ("", 0.8**2)),
        ("mean_outcome", Observed("ok", 1, outcome=2.5), ("", 2.5)),
        ("mean_outcome", Observed("ok", 1, outcome=True), ("", 1)),
        ("eo_diff", ROW, ("", 1)),
        ("fpr_diff", Observed("ok", 1, outcome=0), ("", 1)),
        ("eodds_diff", ROW, ("tpr", 1)),
        ("eodds_diff", Observed("ok", 0, outcome=0), ("fpr", 0)),
    ],
)
def test_an_observation_is_the_metrics_value_of_one_row(
    metric: str, row: Observed, expected: tuple[str, float]
) -> None:
    found = observation(guardrail(metric), row)
    assert found is not None
    assert found.part == expected[0]
    assert found.value == pytest.approx(expected[1], rel=1e-9)


@pytest.mark.parametrize(
    ("metric", "row"),
    [
        ("eo_diff", Observed("ok", 1, outcome=0)),
        ("fpr_diff", ROW),
        ("log_loss", Observed("ok", 1, None, outcome=1)),
        ("brier", Observed("ok", 1, None, outcome=1)),
        ("brier", Observed("ok", 1, 1e200, outcome=1)),
        ("mean_outcome", Observed("ok", 1, outcome="paid")),
        ("mean_outcome", Observed("ok", 1, outcome=1e200)),
        ("latency_logmean", Observed("ok", 1)),
    ],
)
def test_rows_that_a_metric_is_not_about_say_nothing(metric: str, row: Observed) -> None:
    assert observation(guardrail(metric), row) is None


@given(metric=st.sampled_from(list(Metric)))
def test_rows_without_answer_count_as_errors_and_slow_ones_alone(metric: Metric) -> None:
    found = observation(guardrail(metric), Observed("error", outcome=1))
    assert (found is not None) == (metric in {Metric.ERROR_RATE, Metric.LATENCY_SLO})


@given(metric=st.sampled_from([one for one in Metric if one.needs_outcome]))
def test_metrics_of_outcomes_say_nothing_without_one(metric: Metric) -> None:
    assert observation(guardrail(metric), Observed("ok", 1, 0.5, 100)) is None


ROWS = st.builds(
    Observed,
    st.sampled_from(["ok", "error"]),
    st.sampled_from([0, 1]),
    st.floats(0, 1),
    st.integers(0, 10_000),
    st.just(1),
)


@given(metric=st.sampled_from(list(Metric)), challenger=ROWS, champion=ROWS)
def test_differences_turn_with_their_sides(metric: Metric, challenger: Observed, champion: Observed) -> None:
    one = difference(guardrail(metric), challenger, champion)
    other = difference(guardrail(metric), champion, challenger)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert one == (other.part, -other.value)


def test_a_group_is_the_attributes_value_else_unknown_and_none_where_none_are_compared() -> None:
    assert group_of(guardrail("dp_diff"), {"sex": "f", "age": "old"}) == "f"
    assert group_of(guardrail("dp_diff"), {"sex": None}) == group_of(guardrail("dp_diff"), {}) == UNKNOWN
    assert group_of(guardrail("accuracy"), {"sex": "f"}) == ""


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(1, 1.0, True), (True, True, True), (1, True, False), (0, False, False), ("1", 1, False), ([1], [1], True)],
)
def test_labels_are_compared_as_everywhere_in_the_log(one: Any, other: Any, expected: bool) -> None:
    assert is_same(one, other) is is_same(other, one) is expected
