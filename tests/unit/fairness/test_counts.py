from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairness.counts import GroupCounts, count_groups, merge
from fairness.errors import LengthMismatchError
from fairness.groups import encode
from fairness.labels import is_favourable

Row = tuple[str, int | None, int]
rows = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([0, 1, None]), st.integers(0, 1)))


def counted(table: list[Row]) -> dict[str, GroupCounts]:
    groups, y_true, y_pred = ([row[i] for row in table] for i in range(3))
    return count_groups(encode("g", groups), y_true, y_pred, 1)


@settings(deadline=None)
@given(rows)
def test_counts_agree_with_counting_by_hand(table: list[Row]) -> None:
    seen = Counter(table)
    for name, counts in counted(table).items():
        assert counts.tp == seen[name, 1, 1]
        assert counts.fp == seen[name, 0, 1]
        assert counts.fn == seen[name, 1, 0]
        assert counts.tn == seen[name, 0, 0]
        assert counts.selected_unlabelled == seen[name, None, 1]
        assert counts.rejected_unlabelled == seen[name, None, 0]


@settings(deadline=None)
@given(rows, rows)
def test_the_counts_of_a_union_are_the_sum_of_the_counts(left: list[Row], right: list[Row]) -> None:
    assert merge(counted(left), counted(right)) == counted(left + right)


def test_without_outcomes_every_row_is_unlabelled() -> None:
    assert count_groups(encode("g", ["a", "a"]), None, [1, 0], 1) == {
        "a": GroupCounts(selected_unlabelled=1, rejected_unlabelled=1)
    }


def test_a_missing_outcome_is_unlabelled_whatever_stands_for_it() -> None:
    groups = encode("g", ["a", "a"])
    for y_true in ([1, None], [1, float("nan")], np.array([1.0, np.nan]), pd.Series([1, pd.NA], dtype="Int64")):
        assert count_groups(groups, y_true, [1, 1], 1) == {"a": GroupCounts(tp=1, selected_unlabelled=1)}


@pytest.mark.parametrize(
    ("labels", "favourable", "expected"),
    [
        ([1, 0], 1, [True, False]),
        (np.array([1.0, 0.0]), True, [True, False]),
        (np.array([1, 0]), "1", [False, False]),
        (["good", "bad"], "good", [True, False]),
        (np.array(["good", "bad"]), "good", [True, False]),
        (np.array(["1", "0"]), 1, [False, False]),
        ([1, "1"], "1", [False, True]),
        ([None, pd.NA, 1], 1, [False, False, True]),
        ([["no hash"], 1], 1, [False, True]),
        (["gold", "none", None], frozenset({"gold", "silver"}), [True, False, False]),
        (np.array([2, 0, 1]), {1, 2, "x"}, [True, False, True]),
        (np.array(["gold", "none"]), {"gold", 1}, [True, False]),
    ],
)
def test_a_label_is_favourable_when_it_equals_the_favourable_one(
    labels: list[object], favourable: object, expected: list[bool]
) -> None:
    assert is_favourable(labels, favourable).tolist() == expected


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(LengthMismatchError, match="send one per row"):
        count_groups(encode("g", ["a"]), None, [1, 0], 1)
    with pytest.raises(LengthMismatchError, match="outcomes"):
        count_groups(encode("g", ["a", "b"]), [1], [1, 0], 1)
