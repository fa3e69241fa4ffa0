"""Decoding: what fits comes through unchanged, what does not is named by row and column and never quoted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.columns import columns_from_lists, columns_from_rows
from inference.errors import EmptyBatchError, SignatureMismatchError
from inference.frames import columns_from_frame
from inference.signature import Column, ColumnType, Signature, Task

SIGNATURE = Signature(
    columns=(
        Column(name="age", type=ColumnType.DOUBLE, nullable=True),
        Column(name="income", type=ColumnType.DOUBLE),
        Column(name="job", type=ColumnType.STRING, nullable=True),
        Column(name="sex", type=ColumnType.STRING, categories=("male", "female")),
        Column(name="rooms", type=ColumnType.LONG),
        Column(name="owner", type=ColumnType.BOOLEAN),
    ),
    task=Task.BINARY,
    classes=(0, 1),
)
ROW = {"age": 41, "income": 1.5, "job": "nurse", "sex": "male", "rooms": 3, "owner": True}
finite = st.floats(-1e150, 1e150) | st.integers(-(2**53), 2**53)
rows = st.fixed_dictionaries(
    {
        "age": finite | st.none(),
        "income": finite,
        "job": st.text() | st.none(),
        "sex": st.sampled_from(["male", "female"]),
        "rooms": st.integers(-(2**63), 2**63 - 1),
        "owner": st.booleans(),
    }
)


@given(st.lists(rows, min_size=1, max_size=20))
def test_rows_lists_and_frames_decode_to_the_same_columns(values: list[dict[str, Any]]) -> None:
    from_rows = columns_from_rows(values, SIGNATURE)
    lists = {name: [row[name] for row in values] for name in ROW}
    from_lists, n = columns_from_lists(lists, SIGNATURE)
    frame = pd.DataFrame(lists).astype({"job": object})
    from_frame, n_frame = columns_from_frame(frame, SIGNATURE)
    assert n == n_frame == len(values)
    for column in SIGNATURE.columns:
        for columns in (from_lists, from_frame):
            assert columns[column.name].dtype == from_rows[column.name].dtype
            np.testing.assert_array_equal(columns[column.name], from_rows[column.name])
    for index, row in enumerate(values):
        assert from_rows["job"][index] == row["job"]
        assert from_rows["rooms"][index] == row["rooms"]
        age = from_rows["age"][index]
        assert math.isnan(age) if row["age"] is None else age == float(row["age"])


@pytest.mark.parametrize(
    ("change", "column", "reason"),
    [
        ({"age": "41"}, "age", "must be a number, not a string"),
        ({"age": True}, "age", "must be a number, not true/false"),
        ({"age": math.inf}, "age", "may not be infinite"),
        ({"age": 10**400}, "age", "is too large for a number"),
        ({"age": -1e300}, "age", "is too large for a number"),
        ({"income": None}, "income", "is required and may not be null"),
        ({"income": math.nan}, "income", "is required and may not be NaN"),
        ({"job": 7}, "job", "must be a string, not a number"),
        ({"job": ["nurse"]}, "job", "must be a string, not a list"),
        ({"sex": "unknown"}, "sex", "is a category the model does not know"),
        ({"rooms": 2.5}, "rooms", "must be an integer, not a number"),
        ({"rooms": 2**63}, "rooms", "does not fit 64 bits"),
        ({"owner": 1}, "owner", "must be true or false, not a number"),
    ],
)
def test_a_value_that_does_not_fit_is_named_and_not_quoted(
    change: dict[str, Any], column: str, reason: str
) -> None:
    with pytest.raises(SignatureMismatchError) as refusal:
        columns_from_rows([ROW, ROW, ROW | change], SIGNATURE)
    assert (refusal.value.row, refusal.value.column, refusal.value.reason) == (2, column, reason)


def test_nan_means_missing_where_the_pipeline_has_an_answer_for_it() -> None:
    assert math.isnan(columns_from_rows([ROW | {"age": math.nan}], SIGNATURE)["age"][0])


def test_missing_and_extra_columns_are_named() -> None:
    with pytest.raises(SignatureMismatchError, match="row 1, column 'job': is missing"):
        columns_from_rows([ROW, {k: v for k, v in ROW.items() if k != "job"}], SIGNATURE)
    with pytest.raises(SignatureMismatchError, match="row 0, column 'shoe': is not a column of this model"):
        columns_from_rows([ROW | {"shoe": 44}], SIGNATURE)


def test_a_row_that_is_no_object_is_refused() -> None:
    with pytest.raises(SignatureMismatchError, match="row 0"):
        columns_from_rows([[1, 2]], SIGNATURE)


def test_no_rows_are_refused_by_every_decoder() -> None:
    with pytest.raises(EmptyBatchError):
        columns_from_rows([], SIGNATURE)
    with pytest.raises(EmptyBatchError):
        columns_from_lists({name: [] for name in ROW}, SIGNATURE)


def test_columns_of_different_lengths_are_refused() -> None:
    lists = {name: [value] for name, value in ROW.items()}
    with pytest.raises(SignatureMismatchError, match="different numbers of rows"):
        columns_from_lists(lists | {"age": [1, 2]}, SIGNATURE)


def test_a_frame_may_have_more_columns_but_not_fewer() -> None:
    frame = pd.DataFrame([ROW | {"label": 1}])
    assert set(columns_from_frame(frame, SIGNATURE)[0]) == set(ROW)
    with pytest.raises(SignatureMismatchError, match="column 'age': is missing"):
        columns_from_frame(frame.drop(columns="age"), SIGNATURE)
