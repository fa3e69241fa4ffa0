"""The flip test: only what the attribute itself decides flips, and what cannot flip says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assessment.errors import FlipValueError
from assessment.flips import Flipping
from inference.served_model import Predictions
from inference.signature import Column, ColumnType, Signature, Task


class Favouring:
    """A model that decides 1 where `sex` is the favoured value, or where `x` is positive."""

    def __init__(self, column: Column, favoured: Any) -> None:
        columns = (Column(name="x", type=ColumnType.DOUBLE), column)
        self.signature = Signature(columns=columns, task=Task.BINARY, classes=(0, 1))
        self._favoured = favoured
        self.asked = 0

    def predict(self, columns: Any, rows: int) -> Predictions:
        assert {len(values) for values in columns.values()} == {rows}
        self.asked += rows
        return Predictions(((columns["sex"] == self._favoured) | (columns["x"] > 0)).astype(int), None)


def text_column(**more: Any) -> Column:
    return Column(name="sex", type=ColumnType.STRING, **more)


def rows_of(x: list[float], sex: list[Any]) -> dict[str, Any]:
    return {"x": np.array(x), "sex": np.array(sex, dtype=object)}


@given(st.lists(st.tuples(st.sampled_from([-1.0, 1.0]), st.sampled_from(["f", "m", "d", None])), max_size=40))
def test_the_favoured_lose_the_others_gain_and_nobody_else_is_asked_twice(people: list[tuple[float, Any]]) -> None:
    served = Favouring(text_column(nullable=True), "m")
    flipping = Flipping(served, {"sex": ("f", "m")}, 1)
    for part in (people[:7], people[7:]):
        if part:
            flipping.predict(rows_of([x for x, _ in part], [sex for _, sex in part]), len(part))
    (report,) = flipping.reports()
    concerned = [(x, sex) for x, sex in people if sex in ("f", "m")]
    assert report.rows == len(concerned)
    assert served.asked == len(people) + len(concerned)
    if not concerned:
        assert (report.groups, report.reason) == ((), "no row has one of the two values")
        return
    women, men = report.groups
    assert (women.group, men.group) == ("f", "m")
    assert (women.gained, women.lost) == (concerned.count((-1.0, "f")), 0)
    assert (men.gained, men.lost) == (0, concerned.count((-1.0, "m")))


def test_what_a_model_answers_of_rows_as_they_are_is_passed_on() -> None:
    served = Favouring(text_column(), "m")
    rows = rows_of([-1.0, -1.0, 1.0], ["f", "m", "f"])
    found = Flipping(served, {"sex": ("f", "m")}, 1).predict(rows, 3)
    assert found.prediction.tolist() == [0, 1, 1]
    assert rows["sex"].tolist() == ["f", "m", "f"]


def test_a_model_that_does_not_read_the_attribute_cannot_flip_and_is_not_asked_again() -> None:
    served = Favouring(text_column(), "m")
    flipping = Flipping(served, {"race": ("1", "2")}, 1)
    flipping.predict(rows_of([1.0], ["f"]), 1)
    (report,) = flipping.reports()
    assert (report.rows, report.groups, served.asked) == (0, (), 1)
    assert report.reason == "the model has no feature of this name, so it cannot read it"


@pytest.mark.parametrize(
    ("kind", "given_", "meant"),
    [
        (ColumnType.STRING, (1, 2), ("1", "2")),
        (ColumnType.LONG, ("1", 2.0), (1, 2)),
        (ColumnType.DOUBLE, ("1", 2), (1.0, 2.0)),
        (ColumnType.BOOLEAN, ("true", 0), (True, False)),
        (ColumnType.ANY, ("f", 2), ("f", 2)),
    ],
)
def test_values_are_meant_as_the_column_has_them(kind: ColumnType, given_: Any, meant: Any) -> None:
    dtype = {ColumnType.LONG: np.int64, ColumnType.DOUBLE: np.float64, ColumnType.BOOLEAN: np.bool_}.get(
        kind, object
    )
    flipping = Flipping(Favouring(Column(name="sex", type=kind), meant[0]), {"sex": given_}, 1)
    flipping.predict({"x": np.array([-1.0, -1.0]), "sex": np.array(meant, dtype=dtype)}, 2)
    (report,) = flipping.reports()
    assert [group.flip_rate.value for group in report.groups] == [1.0, 1.0]
    assert [group.group for group in report.groups] == [str(value) for value in given_]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (Column(name="sex", type=ColumnType.LONG), ("f", "m")),
        (Column(name="sex", type=ColumnType.LONG), (1.5, 2)),
        (Column(name="sex", type=ColumnType.LONG), (2**64, 2)),
        (Column(name="sex", type=ColumnType.DOUBLE), ("f", 2)),
        (Column(name="sex", type=ColumnType.DOUBLE), (10**400, 2)),
        (Column(name="sex", type=ColumnType.BOOLEAN), (2, 0)),
        (text_column(categories=("f", "m")), ("f", "private")),
    ],
)
def test_a_value_that_the_column_cannot_have_is_refused_without_quoting_it(column: Column, values: Any) -> None:
    with pytest.raises(
        FlipValueError, match=r"flip: column 'sex' of the model .*; name two values that it has"
    ) as told:
        Flipping(Favouring(column, 1), {"sex": values}, 1)
    assert "private" not in str(told.value)
