from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairness.counts import GroupCounts, count_groups, merge
from fairness.errors import LengthMismatchError, UnknownAttributeError, UnusableGroupsError
from fairness.groups import UNKNOWN, encode
from fairness.tables import CountTable, count_table

Row = tuple[str, int | None, int | None, int]
rows = st.lists(
    st.tuples(
        st.sampled_from(["f", "m"]),
        st.sampled_from([1, 2, 9, None]),
        st.sampled_from([0, 1, None]),
        st.integers(0, 1),
    )
)


def counted(table: list[Row]) -> CountTable:
    sex, race, y_true, y_pred = ([row[i] for row in table] for i in range(4))
    return count_table({"sex": sex, "race": race}, y_true, y_pred, 1)


@settings(deadline=None)
@given(rows)
def test_the_groups_of_one_attribute_are_those_counted_by_themselves(table: list[Row]) -> None:
    y_true, y_pred = ([row[i] for row in table] for i in (2, 3))
    for name, place in (("sex", 0), ("race", 1)):
        alone = count_groups(encode(name, [row[place] for row in table]), y_true, y_pred, 1)
        assert list(counted(table).groups(name).items()) == list(alone.items())


@settings(deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(table: list[Row], random: object) -> None:
    shuffled = list(table)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert counted(shuffled) == counted(table)


@settings(deadline=None)
@given(rows, rows)
def test_tables_of_two_windows_add_up_to_the_table_of_both(left: list[Row], right: list[Row]) -> None:
    both = counted(left) + counted(right)
    assert dict(both.counts) == dict(counted(left + right).counts)
    assert list(both.groups("race")) == list(counted(left + right).groups("race"))


@settings(deadline=None)
@given(rows)
def test_marginals_are_sums_of_intersections(table: list[Row]) -> None:
    complete = [row for row in table if row[1] is not None]
    found = counted(complete)
    for sex, expected in found.groups("sex").items():
        parts = [counts for name, counts in found.groups("sex", "race").items() if name.startswith(f"{sex} × ")]
        assert sum(parts, GroupCounts()) == expected


@settings(deadline=None)
@given(rows)
def test_a_row_without_one_of_the_attributes_is_unknown_in_their_intersection(table: list[Row]) -> None:
    found = counted(table).groups("sex", "race")
    assert found.get(UNKNOWN, GroupCounts()).rows == sum(row[1] is None for row in table)
    assert [name for name in found if UNKNOWN in name] in ([], [UNKNOWN])


def test_groups_come_in_natural_order_and_the_unknown_last() -> None:
    found = count_table({"a": ["10", None, "9"], "s": ["m", "m", "f"]}, None, [1, 1, 0], 1)
    assert list(found.groups("a")) == ["9", "10", UNKNOWN]
    assert list(found.groups("s", "a")) == ["f × 9", "m × 10", UNKNOWN]


def test_edges_make_labelled_ranges_in_their_order() -> None:
    ages = [24.9, 25, 39, 40, "40.5", None, float("nan"), 100, -3]
    found = count_table({"age": ages}, None, [1] * 9, 1, edges={"age": [25, 40, 65]})
    assert {name: counts.rows for name, counts in found.groups("age").items()} == {
        "< 25": 2,
        "25 to < 40": 2,
        "40 to < 65": 2,
        "≥ 65": 1,
        UNKNOWN: 2,
    }
    assert list(found.groups("age")) == ["< 25", "25 to < 40", "40 to < 65", "≥ 65", UNKNOWN]
    assert encode("age", [70, 3], [25, 40, 65]).names == ("< 25", "≥ 65")


def test_windows_with_other_ranges_filled_keep_the_order_of_the_edges() -> None:
    young, old = (count_table({"age": [age]}, None, [1], 1, edges={"age": [5, 40, 100]}) for age in (7, 101))
    assert list((old + young).groups("age")) == ["5 to < 40", "≥ 100"]


@pytest.mark.parametrize(
    ("values", "edges", "reason"),
    [
        (["thirty"], [25], "no number"),
        ([[1]], [25], "no number"),
        ([1], [], "do not rise"),
        ([1], [2, 2], "do not rise"),
        ([1], [1, float("inf")], "do not rise"),
    ],
)
def test_text_among_numbers_and_edges_that_do_not_rise_are_refused(
    values: list[object], edges: list[float], reason: str
) -> None:
    with pytest.raises(UnusableGroupsError, match=reason) as caught:
        encode("age", values, edges)
    assert "thirty" not in str(caught.value)


@pytest.mark.parametrize(
    "kind", ["list", "numpy", "object", "pandas", "categorical", "arrow", "dictionary", "chunks"]
)
def test_the_same_column_in_any_container_has_the_same_counts(kind: str) -> None:
    values = ["b", "a", None, "b", "c"]
    column = {
        "list": values,
        "numpy": np.array(["b", "a", "", "b", "c"]),
        "object": np.array(values, dtype=object),
        "pandas": pd.Series(values),
        "categorical": pd.Series(values, dtype=pd.CategoricalDtype(["c", "unused", "b", "a"])),
        "arrow": pa.array(values),
        "dictionary": pa.array(values).dictionary_encode(),
        "chunks": pa.chunked_array([values[:2], values[2:]]),
    }[kind]
    found = count_table({"g": column, "h": [1, 1.0, "1", 2, 2]}, [1, 0, 1, 0, 1], np.array([1, 1, 1, 0, 0]), 1)
    assert found.groups("g") == {
        "a": GroupCounts(fp=1),
        "b": GroupCounts(tp=1, tn=1),
        "c": GroupCounts(fn=1),
        UNKNOWN: GroupCounts(tp=1),
    }
    assert {name: counts.rows for name, counts in found.groups("h").items()} == {"1": 3, "2": 2}


def test_many_attributes_with_many_groups_are_counted_sparsely() -> None:
    generator = np.random.default_rng(1)
    columns = {f"a{i}": generator.integers(0, 150, 3000) for i in range(5)}
    decisions = generator.integers(0, 2, 3000)
    found = count_table(columns, None, decisions, 1)
    for name, values in columns.items():
        assert found.groups(name) == count_groups(encode(name, values), None, decisions, 1)
    with pytest.raises(UnusableGroupsError, match="join some of them"):
        found.groups("a0", "a1")
    with pytest.raises(UnusableGroupsError, match="too many combinations"):
        count_table({f"a{i}": columns["a0"] for i in range(9)}, None, decisions, 1)


def test_ten_thousand_values_are_no_groups_wherever_they_come_from() -> None:
    values = np.arange(10_000)
    for column in (values, values * 1_000_003, [str(value) for value in values], pd.Series(values.astype(str))):
        with pytest.raises(UnusableGroupsError, match="10000 different values"):
            count_table({"g": column}, None, values, 1)
    unused = pd.Series(["a", "b"], dtype=pd.CategoricalDtype(["a", "b", *map(str, values)]))
    assert list(count_table({"g": unused}, None, [1, 0], 1).groups("g")) == ["a", "b"]


@pytest.mark.parametrize(
    "values",
    [np.array([-128, 127, 0], dtype=np.int8), np.array([2**64 - 1, 2**64 - 3, 2**64 - 2], dtype=np.uint64)],
)
def test_whole_numbers_at_the_ends_of_their_types_keep_their_names(values: np.ndarray) -> None:
    assert list(count_table({"g": values}, None, [1, 1, 1], 1).groups("g")) == sorted(map(str, values), key=int)


def test_columns_of_different_lengths_and_attributes_that_are_not_there_are_refused() -> None:
    with pytest.raises(LengthMismatchError):
        count_table({"g": ["a"]}, None, [1, 0], 1)
    table = count_table({"g": ["a"]}, None, [1], 1)
    with pytest.raises(UnknownAttributeError):
        table.groups("h")
    with pytest.raises(UnknownAttributeError):
        table + count_table({"h": ["a"]}, None, [1], 1)
    with pytest.raises(UnknownAttributeError):
        count_table({"g": ["a"]}, None, [1], 1, edges={"h": [1]})


def test_no_rows_are_no_groups() -> None:
    assert count_table({"g": [], "h": np.array([])}, [], [], 1).groups("g") == {}


def test_merging_keeps_groups_of_either_side() -> None:
    assert merge({"a": GroupCounts(tp=1)}, {"b": GroupCounts(fn=2)}) == {
        "a": GroupCounts(tp=1),
        "b": GroupCounts(fn=2),
    }
