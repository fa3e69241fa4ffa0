from __future__ import annotations

import fairlearn.metrics as fairlearn
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from fairness.aggregates import aggregates
from fairness.counts import GroupCounts
from fairness.derived import STATISTICS
from fairness.disparities import equalized_odds_difference
from fairness.rates import RateName, rate

COMPAS = {
    "Black": GroupCounts(tn=990, fp=805, fn=532, tp=1369),
    "White": GroupCounts(tn=1139, fp=349, fn=461, tp=505),
}
cells = st.integers(1, 300)
tables = st.dictionaries(
    st.sampled_from("abcdef"), st.builds(GroupCounts, tp=cells, fp=cells, tn=cells, fn=cells), min_size=2
)

ORACLES = {
    "selection_rate": fairlearn.selection_rate,
    "true_positive_rate": fairlearn.true_positive_rate,
    "false_positive_rate": fairlearn.false_positive_rate,
    "true_negative_rate": fairlearn.true_negative_rate,
    "false_negative_rate": fairlearn.false_negative_rate,
    "precision": metrics.precision_score,
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "f1": metrics.f1_score,
}


def weighted(groups: dict[str, GroupCounts]) -> tuple[np.ndarray, ...]:
    rows = [
        (group, truth, decision, count)
        for group, c in groups.items()
        for truth, decision, count in ((1, 1, c.tp), (0, 1, c.fp), (0, 0, c.tn), (1, 0, c.fn))
    ]
    return tuple(np.array(column) for column in zip(*rows, strict=True))


@settings(max_examples=15, deadline=None)  # a MetricFrame of nine metrics takes a tenth of a second
@given(tables)
def test_every_generated_metric_agrees_with_fairlearns_metric_frame(groups: dict[str, GroupCounts]) -> None:
    sensitive, y_true, y_pred, weight = weighted(groups)
    frame = fairlearn.MetricFrame(
        metrics=ORACLES,
        y_true=y_true,
        y_pred=y_pred,
        sensitive_features=sensitive,
        sample_params={name: {"sample_weight": weight} for name in ORACLES},
    )
    found = aggregates(groups)
    for kind, oracle in (
        ("difference", frame.difference()),
        ("ratio", frame.ratio()),
        ("group_min", frame.group_min()),
        ("group_max", frame.group_max()),
    ):
        for name in ORACLES:
            assert found[f"{name}_{kind}"].value == pytest.approx(oracle[name], abs=1e-12), (name, kind)


@settings(max_examples=15, deadline=None)
@given(tables)
def test_the_mean_of_equalized_odds_is_fairlearns(groups: dict[str, GroupCounts]) -> None:
    sensitive, y_true, y_pred, weight = weighted(groups)
    found = aggregates(groups)
    for name in ("equalized_odds_difference", "equalized_odds_ratio"):
        oracle = getattr(fairlearn, name)(
            y_true, y_pred, sensitive_features=sensitive, sample_weight=weight, agg="mean"
        )
        assert found[f"{name}_mean"].value == pytest.approx(oracle)


def test_compas_equalized_odds_differ_by_how_they_are_put_together() -> None:
    found = aggregates(COMPAS)
    assert found["equalized_odds_difference_mean"].value == pytest.approx(0.206, abs=5e-4)
    assert equalized_odds_difference(COMPAS).value == pytest.approx(0.214, abs=5e-4)


def test_the_names_are_fairlearns_and_there_are_four_per_measure() -> None:
    names = set(aggregates(COMPAS))
    assert len(names) == 4 * len(STATISTICS) + 2
    assert {"false_omission_rate_ratio", "npv_group_max", "treatment_equality_difference"} <= names


def test_undefined_and_small_groups_set_no_extreme_and_the_unknown_never_does() -> None:
    groups = COMPAS | {"nobody": GroupCounts(tn=500), "small": GroupCounts(tp=29), "unknown": GroupCounts(tp=900)}
    found = aggregates(groups, minimum_rows=30)
    assert found["true_positive_rate_difference"] == aggregates(COMPAS)["true_positive_rate_difference"]
    assert found["selection_rate_group_min"].lowest == "nobody"
    assert found["precision_group_max"].value == rate(RateName.PRECISION, COMPAS["Black"]).value


def test_one_group_has_extremes_and_no_disparity_and_none_has_neither() -> None:
    one = aggregates({"a": COMPAS["Black"]})
    assert one["accuracy_group_min"].value == one["accuracy_group_max"].value
    for name in ("accuracy_difference", "accuracy_ratio"):
        assert one[name].value is None
        assert "two are needed" in str(one[name].reason)
    assert {one.value for one in aggregates({}).values()} == {None}
    nobody = {"a": GroupCounts(tn=5), "b": GroupCounts(tn=6)}
    assert "no ratio" in str(aggregates(nobody)["selection_rate_ratio"].reason)
