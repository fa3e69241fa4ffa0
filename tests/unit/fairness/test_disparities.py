from __future__ import annotations

from collections.abc import Callable

import fairlearn.metrics as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score

import fairness.disparities as disparities
from fairness.counts import GroupCounts
from fairness.disparities import Measured, Metric, measure_metric

BLACK = GroupCounts(tn=990, fp=805, fn=532, tp=1369)
WHITE = GroupCounts(tn=1139, fp=349, fn=461, tp=505)
COMPAS = {"Black": BLACK, "White": WHITE}
"""ProPublica's published two-year recidivism table, high or medium score against what happened."""

FUNCTIONS: list[tuple[str, Callable[..., Measured]]] = [(str(m), getattr(disparities, m)) for m in Metric]
cells = st.integers(1, 300)
tables = st.dictionaries(
    st.sampled_from("abcdef"), st.builds(GroupCounts, tp=cells, fp=cells, tn=cells, fn=cells), min_size=2
)


def fairlearn_value(name: str, groups: dict[str, GroupCounts]) -> float:
    """Let Fairlearn compute from the table, one weighted row per cell."""
    rows = [
        (group, truth, decision, count)
        for group, c in groups.items()
        for truth, decision, count in ((1, 1, c.tp), (0, 1, c.fp), (0, 0, c.tn), (1, 0, c.fn))
        if count
    ]
    sensitive, y_true, y_pred, weights = (np.array(column) for column in zip(*rows, strict=True))
    if name.startswith("predictive_parity"):  # not ready-made there: the same machinery around precision
        transform = "ratio" if name.endswith("ratio") else "difference"
        function = oracle.make_derived_metric(
            metric=precision_score, transform=transform, sample_param_names=["sample_weight"]
        )
    else:
        function = getattr(oracle, name)
    return float(function(y_true, y_pred, sensitive_features=sensitive, sample_weight=weights))


@pytest.mark.parametrize(("name", "function"), FUNCTIONS)
@settings(max_examples=20, deadline=None)  # Fairlearn takes 30 ms per table
@given(groups=tables)
def test_every_disparity_agrees_with_fairlearn(
    name: str, function: Callable[..., Measured], groups: dict[str, GroupCounts]
) -> None:
    assert function(groups).value == pytest.approx(fairlearn_value(name, groups), abs=1e-12)


@pytest.mark.parametrize(("name", "function"), FUNCTIONS)
def test_the_compas_table_gives_fairlearns_numbers(name: str, function: Callable[..., Measured]) -> None:
    assert function(COMPAS).value == pytest.approx(fairlearn_value(name, COMPAS))


def test_the_compas_disparity_names_the_rate_and_the_groups_that_set_it() -> None:
    measured = disparities.equalized_odds_difference(COMPAS)
    assert measured.value == pytest.approx(805 / 1795 - 349 / 1488)
    assert (measured.rate, measured.highest, measured.lowest) == ("false_positive_rate", "Black", "White")


def test_a_group_without_positives_does_not_become_a_true_positive_rate_of_zero() -> None:
    """Fairlearn answers 1.0 here: one person nobody had to select would decide everything."""
    groups = COMPAS | {"one": GroupCounts(tn=1)}
    assert disparities.equal_opportunity_difference(groups) == disparities.equal_opportunity_difference(COMPAS)
    assert fairlearn_value("equal_opportunity_difference", groups) > 0.7


def test_groups_under_the_minimum_set_neither_extreme() -> None:
    groups = COMPAS | {"small": GroupCounts(fp=29)}
    assert disparities.demographic_parity_difference(groups, 30).highest == "Black"
    assert disparities.demographic_parity_difference(groups, 29).highest == "small"


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize(
    "groups", [{}, {"a": BLACK}, {"a": BLACK, "unknown": WHITE}, {"a": BLACK, "b": GroupCounts()}]
)
def test_fewer_than_two_groups_have_no_disparity(metric: Metric, groups: dict[str, GroupCounts]) -> None:
    measured = measure_metric(metric, groups)
    assert measured.value is None
    assert measured.reason is not None
    assert "two are needed" in measured.reason


def test_a_ratio_is_undefined_where_nobody_is_selected() -> None:
    groups = {"a": GroupCounts(tn=50, fn=5), "b": GroupCounts(tn=70, fn=9)}
    assert disparities.demographic_parity_ratio(groups).value is None
    assert disparities.demographic_parity_difference(groups).value == 0.0


def test_a_ratio_is_zero_where_only_one_group_is_never_selected() -> None:
    assert disparities.demographic_parity_ratio({"a": GroupCounts(tn=50), "b": GroupCounts(tp=1)}).value == 0.0
