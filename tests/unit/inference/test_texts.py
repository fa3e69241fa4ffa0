"""Strings by reference: wherever they go, the answers are those that arrays get."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from compilation.compile import compile_model
from inference.arrays import Texts
from inference.columns import columns_from_lists, concatenate, encoded_columns
from inference.crossover import CrossoverRuntime
from inference.errors import SignatureMismatchError
from inference.raw_texts import raw_from_texts, texts_from_raw
from inference.runtime import Columns, Scores, plain_columns, run_encoded
from inference.signature import Column, ColumnType, Signature, Task
from tests.fakes.pipelines import CITIES, fitted, labels, people

ENOUGH = people(rows=150, seed=3, missing=False)
SIGNATURE = Signature(columns=(Column(name="job", type=ColumnType.STRING),), task=Task.REGRESSION)
CLOSED = Column(name="job", type=ColumnType.STRING, categories=("nurse", "smith"))


def texts(values: list[str | None]) -> Texts:
    """Return strings by reference, each distinct one twice, beside one that is in no row."""
    distinct = [*dict.fromkeys(values), "nobody's", *dict.fromkeys(values)]
    places = {value: [place for place, other in enumerate(distinct) if other == value] for value in values}
    codes = [places[value][row % len(places[value])] for row, value in enumerate(values)]
    return Texts(np.array(distinct, dtype=object), np.array(codes, dtype=np.intp))


@pytest.fixture(
    scope="module",
    params=[LogisticRegression(), RandomForestClassifier(5), HistGradientBoostingClassifier(max_iter=5)],
    ids=lambda estimator: type(estimator).__name__,
)
def compiled(request: pytest.FixtureRequest) -> Any:
    return compile_model(fitted(request.param, ENOUGH, labels(ENOUGH)), ENOUGH).served()


@given(
    jobs=st.lists(st.sampled_from(["a", "b", "c", "", "of no kind"]), min_size=1, max_size=9),
    cities=st.lists(st.sampled_from([*CITIES, "Jena"]), min_size=1, max_size=9),
    rows=st.integers(2, 90),
)
def test_a_model_answers_as_it_does_for_arrays(
    compiled: Any, jobs: list[str], cities: list[str], rows: int
) -> None:
    frame = people(rows, seed=5, missing=False)
    numbers = {name: frame[name].to_numpy() for name in ("age", "income", "member")}
    encoded = numbers | {"job": texts((jobs * rows)[:rows]), "city": texts((cities * rows)[:rows])}
    found, expected = compiled.predict(encoded, rows), compiled.predict(plain_columns(encoded), rows)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.prediction, expected.prediction)


class Listening:
    """A runtime that keeps what it was given."""

    def __init__(self, *, takes_texts: bool | None = None) -> None:
        self.given: Any = None
        if takes_texts is not None:
            self.takes_texts = takes_texts

    def run(self, columns: Columns, rows: int) -> Scores:
        self.given = columns["job"]
        return Scores(values=np.zeros(rows))


@pytest.mark.parametrize(("takes", "kind"), [(None, np.ndarray), (False, np.ndarray), (True, Texts)])
@pytest.mark.parametrize("many", [False, True])
def test_a_runtime_that_does_not_take_references_gets_arrays(takes: bool | None, kind: type, many: bool) -> None:
    inner = Listening(takes_texts=takes)
    run_encoded(CrossoverRuntime([inner, Listening()], [1, 5]) if many else inner, {"job": texts(["a", "b"])}, 2)
    assert type(inner.given) is kind
    assert (inner.given.array() if kind is Texts else inner.given).tolist() == ["a", "b"]


@given(values=st.lists(st.sampled_from(["a", "b", "Köln", "a\0"]), min_size=1, max_size=200))
def test_strings_that_repeat_stay_references_and_others_become_an_array(values: list[str]) -> None:
    sent = {"job": texts_from_raw(raw_from_texts(values), len(values), "job")}
    kept = encoded_columns(sent, SIGNATURE)[0]["job"]
    assert isinstance(kept, Texts) == (2 * len(set(values)) <= len(values))
    assert plain_columns({"job": kept})["job"].tolist() == values
    assert columns_from_lists(sent, SIGNATURE)[0]["job"].tolist() == values


def test_requests_that_are_joined_become_arrays_in_their_order() -> None:
    parts = [{"job": texts(["a", "b", "a"])}, {"job": np.array(["c"], dtype=object)}]
    joined = concatenate(parts)["job"]
    assert isinstance(joined, np.ndarray)
    assert joined.tolist() == ["a", "b", "a", "c"]
    assert concatenate(parts[:1]) is parts[0]


@pytest.mark.parametrize(
    ("column", "odd", "words"),
    [
        (CLOSED, "pilot", "is a category the model does not know"),
        (SIGNATURE.columns[0], None, "is required and may not be null"),
        (Column(name="job", type=ColumnType.LONG), "pilot", "must be an integer, not a string"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_row(column: Column, odd: str | None, words: str) -> None:
    signature = Signature(columns=(column,), task=Task.REGRESSION)
    with pytest.raises(SignatureMismatchError, match=words) as refusal:
        encoded_columns({"job": texts(["nurse", "smith"] * 40 + [odd])}, signature)
    assert refusal.value.row == (0 if column.type is ColumnType.LONG else 80)


def test_what_is_in_no_row_is_not_refused() -> None:
    signature = Signature(columns=(CLOSED,), task=Task.REGRESSION)
    kept = encoded_columns({"job": texts(["nurse"] * 8)}, signature)[0]["job"]
    assert plain_columns({"job": kept})["job"].tolist() == ["nurse"] * 8
