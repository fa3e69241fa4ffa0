"""Tables as columns of a test: quick forms of the same labels, and the model asked in parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assessment.columns import BiasTestColumns, compact, measure_columns
from assessment.errors import MissingColumnError, NoProtectedAttributeError
from assessment.options import MeasuringOptions
from assessment.table import labels, score, table_columns
from inference.served_model import Predictions
from inference.signature import Column, ColumnType, Signature, Task

ANY_ROWS = MeasuringOptions(minimum_rows=1)


class Doubling:
    """A model that decides 1 where its feature is odd."""

    signature = Signature(columns=(Column(name="x", type=ColumnType.LONG),), task=Task.BINARY, classes=(0, 1))

    def predict(self, columns: Any, rows: int) -> Predictions:
        assert len(columns["x"]) == rows
        return Predictions(columns["x"] % 2, None)


def test_rows_are_scored_in_order_and_parts_are_told() -> None:
    told: list[int] = []
    frames = [pd.DataFrame({"x": range(start, start + 3), "other": "a"}) for start in (0, 3)]
    assert list(score(frames, Doubling(), told.append)) == [0, 1, 0, 1, 0, 1]
    assert told == [3, 6]
    assert len(score([], Doubling())) == 0


@given(st.lists(st.sampled_from(["yes", "no", None]), min_size=4, max_size=60).filter(lambda v: "yes" in v))
def test_labels_in_any_form_measure_the_same(outcomes: list[str | None]) -> None:
    groups = ["ab"[index % 2] for index in range(len(outcomes))]
    decided = ["yes", "no"] * (len(outcomes) // 2) + ["yes"] * (len(outcomes) % 2)
    frame = pd.DataFrame({"outcome": outcomes, "group": groups, "decided": decided})
    as_numbers = {"yes": 1, "no": 0, None: None}
    numbers = frame.assign(
        outcome=[as_numbers[outcome] for outcome in outcomes], decided=[as_numbers[label] for label in decided]
    )

    def measured(table: pd.DataFrame, favourable: Any) -> Any:
        columns = table_columns(table, labels(table["decided"]), label="outcome", protected=["group"])
        return measure_columns(columns, favourable=favourable, options=ANY_ROWS)[0]

    lists = BiasTestColumns(decided, outcomes, {"group": groups})
    expected = measure_columns(lists, favourable="yes", options=ANY_ROWS)[0]
    assert measured(frame, "yes") == measured(numbers, 1) == expected


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 0], "i"),
        ([1.0, None], "f"),
        (["a", "b"], "U"),
        ([True, False], "b"),
        (["a", None], None),
        (["a" * 65], None),
        (["a\0"], None),
        ([2**70, 1], None),
        ([1, "a"], None),
    ],
)
def test_labels_take_the_quickest_form_that_says_the_same(values: list[Any], kind: str | None) -> None:
    found = labels(pd.Series(values))
    if kind is None:
        assert found == values
    else:
        assert isinstance(found, np.ndarray)
        assert found.dtype.kind == kind
        assert compact(list(found)[:1])[0] == values[0]


def test_columns_that_are_not_there_are_named() -> None:
    frame = pd.DataFrame({"a": [1], "b": [1]})
    with pytest.raises(MissingColumnError, match=r"no column 'c'; it has a, b"):
        table_columns(frame, [1], label="a", protected=["c"])
    with pytest.raises(MissingColumnError, match="no column 'y'"):
        table_columns(frame, [1], label="y", protected=["a"])
    with pytest.raises(NoProtectedAttributeError):
        table_columns(frame, [1], label="a", protected=[])
