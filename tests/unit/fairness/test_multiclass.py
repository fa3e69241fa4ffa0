from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairness.counts import count_groups
from fairness.disparities import Metric, measure_metric
from fairness.errors import LengthMismatchError, UnseenLabelError, UnusableNumbersError
from fairness.groups import encode
from fairness.multiclass import count_classes, one_vs_rest

LABELS = ["gold", "silver", "none"]
Row = tuple[str, str | None, str]
rows = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from([*LABELS, None]), st.sampled_from(LABELS)), min_size=1
)


@settings(deadline=None)
@given(rows, st.sets(st.sampled_from(LABELS)))
def test_a_favourable_set_counts_as_comparing_each_label_with_it(table: list[Row], favourable: set[str]) -> None:
    groups, truth, decision = encode("g", [row[0] for row in table]), [r[1] for r in table], [r[2] for r in table]
    counted = count_classes(groups, truth, decision, LABELS)
    assert counted.favourable(favourable) == count_groups(groups, truth, decision, frozenset(favourable))


@settings(deadline=None)
@given(rows, rows)
def test_tables_of_two_windows_add_up(left: list[Row], right: list[Row]) -> None:
    def counted(table: list[Row]):  # type: ignore[no-untyped-def]
        groups = encode("g", [row[0] for row in table])
        return count_classes(groups, [row[1] for row in table], [row[2] for row in table], LABELS)

    both, whole = counted(left) + counted(right), counted(left + right)
    for label in LABELS:
        found = both.one_vs_rest(label)
        assert {name: found[name] for name in whole.names} == whole.one_vs_rest(label)


def test_each_label_has_its_metric_as_the_favourable_one() -> None:
    groups = encode("g", ["a", "a", "b", "b"])
    counted = count_classes(groups, None, np.array([2, 1, 2, 2]))
    found = one_vs_rest(counted, Metric.DEMOGRAPHIC_PARITY_DIFFERENCE)
    assert {label: measured.value for label, measured in found.items()} == {2: 0.5, 1: 0.5}
    assert found[1] == measure_metric(Metric.DEMOGRAPHIC_PARITY_DIFFERENCE, counted.one_vs_rest(1))


def test_missing_outcomes_are_unlabelled_whatever_stands_for_them() -> None:
    groups = encode("g", ["a", "a"])
    for truth in (["x", None], ["x", float("nan")], pd.Series(["x", pd.NA])):
        assert count_classes(groups, truth, ["x", "x"]).one_vs_rest("x")["a"].labelled == 1


def test_what_is_no_label_is_refused() -> None:
    groups = encode("g", ["a", "a"])
    with pytest.raises(UnusableNumbersError, match="row 1 of column 'predictions'"):
        count_classes(groups, None, ["x", None])
    with pytest.raises(UnusableNumbersError, match="row 0 of column 'outcomes' is none of the classes"):
        count_classes(groups, ["1", "1"], [1, 1], [1, 2])
    with pytest.raises(UnusableNumbersError, match="no text, number or boolean"):
        count_classes(groups, None, [[1], [2]])
    with pytest.raises(LengthMismatchError):
        count_classes(groups, None, ["x"])
    with pytest.raises(LengthMismatchError):
        count_classes(groups, ["x"], ["x", "y"])
    counted = count_classes(groups, None, ["x", "y"])
    with pytest.raises(UnseenLabelError):
        counted.favourable(["z"])
    with pytest.raises(UnseenLabelError):
        counted + count_classes(groups, None, ["x", "z"])
