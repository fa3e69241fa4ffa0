"""Explanations add up, know what a linear model is, and come out the same again."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline

from compilation.compile import compile_model
from explanation.background import Background, profile_background
from explanation.errors import ExplanationTimeError, NotExplainableError, NotInstalledError
from explanation.explanation import Explanation, explain
from explanation.policy import ExplanationPolicy
from inference.served_model import Predictions, ServedModel
from inference.signature import Column, ColumnType, Signature, Task
from monitoring.profile import CategoryProfile, NumberProfile, ReferenceProfile
from tests.fakes.pipelines import fitted, labels, people

pytestmark = pytest.mark.long  # shap takes seconds to import

FRAME = people(200)


def rows(count: int, seed: int = 3) -> list[dict[str, Any]]:
    records = people(count, seed=seed).to_dict("records")
    return [{str(name): None if pd.isna(value) else value for name, value in row.items()} for row in records]


def background(count: int = 30) -> Background:
    return Background("logged", tuple(rows(count, seed=11)))


@pytest.fixture(scope="module")
def forest() -> ServedModel:
    estimator = RandomForestClassifier(10, random_state=0)
    return compile_model(fitted(estimator, FRAME, labels(FRAME, 3)), FRAME).served()


@pytest.fixture(scope="module")
def logistic() -> ServedModel:
    return compile_model(fitted(LogisticRegression(), FRAME, labels(FRAME)), FRAME).served()


@pytest.mark.parametrize("columns", [3, 13])
def test_of_a_linear_model_each_value_is_its_coefficient_times_the_distance_from_the_mean(columns: int) -> None:
    random = np.random.default_rng(0)
    names = [f"x{place}" for place in range(columns)]
    frame = pd.DataFrame(random.normal(1e6, 3, (60, columns)), columns=names)
    regression = LinearRegression().fit(frame, frame @ random.normal(size=columns))
    model = Pipeline([("columns", ColumnTransformer([("all", "passthrough", names)])), ("model", regression)])
    served = compile_model(model.fit(frame, frame @ regression.coef_), frame).served()
    others = tuple(frame.iloc[1:].to_dict("records"))
    made = explain(served, frame.iloc[0].to_dict(), Background("logged", others), ExplanationPolicy())
    expected = regression.coef_ * (frame.iloc[0] - frame.iloc[1:].mean()).to_numpy()
    found = {one.feature: one.contribution for one in made.contributions}
    assert [found[name] for name in names] == pytest.approx(expected, abs=1e-6)
    assert made.method == ("exact" if columns == 3 else "permutation")


@settings(max_examples=15)
@given(
    st.integers(0, 199),
    st.integers(1, 20),
    st.booleans(),
    st.sampled_from(["forest", "logistic"]),
)
def test_base_and_contributions_add_up_to_the_score(
    forest: ServedModel, logistic: ServedModel, place: int, count: int, exact: bool, which: str
) -> None:
    model = {"forest": forest, "logistic": logistic}[which]
    policy = ExplanationPolicy(exact_columns=10 if exact else 1, permutations=2)
    made = explain(model, rows(200)[place], background(count), policy)
    total = made.base + sum(one.contribution for one in made.contributions)
    assert total == pytest.approx(made.score, abs=1e-9)
    assert made.additivity_error < 1e-9
    sizes = [abs(one.contribution) for one in made.contributions]
    assert sizes == sorted(sizes, reverse=True)


def test_strings_truths_and_gaps_keep_their_values(logistic: ServedModel) -> None:
    row = {"age": None, "city": "Köln", "member": True, "income": 3000.0, "job": None}
    made = explain(logistic, row, background(), ExplanationPolicy())
    assert {one.feature: one.value for one in made.contributions} == row
    assert made.of == "probability of 1"
    assert (made.background, made.background_rows) == ("logged", 30)


def test_the_seed_decides_and_leaves_numpys_own_generator_alone(logistic: ServedModel) -> None:
    def made(seed: int) -> Explanation:
        policy = ExplanationPolicy(exact_columns=1, permutations=1, seed=seed)
        return explain(logistic, rows(1)[0], background(), policy)

    np.random.seed(5)
    expected = np.random.RandomState(5).rand()
    first = made(1)
    assert np.random.rand() == expected
    assert made(1) == first
    assert made(2) != first


def test_a_row_that_is_its_whole_background_has_nothing_to_say(logistic: ServedModel) -> None:
    row = rows(1)[0]
    made = explain(logistic, row, Background("logged", (row,)), ExplanationPolicy())
    assert {one.contribution for one in made.contributions} == {0.0}
    assert made.base == made.score


def test_of_several_classes_the_answers_own_probability_is_explained(forest: ServedModel) -> None:
    made = explain(forest, rows(1)[0], background(), ExplanationPolicy())
    assert made.of in {"probability of 0", "probability of 1", "probability of 2"}
    assert made.score > 1 / 3


class Opaque:
    """Answers with whatever it was made with."""

    signature = Signature(columns=(Column(name="x", type=ColumnType.DOUBLE),), task=Task.OPAQUE)

    def __init__(self, *answers: Any) -> None:
        self._answers = answers

    def predict(self, columns: Any, rows: int) -> Predictions:
        return Predictions(np.array(self._answers * rows), None)


def test_an_answer_that_is_no_number_is_not_explained() -> None:
    with pytest.raises(NotExplainableError, match="not one number"):
        explain(Opaque("yes"), {"x": 1.0}, Background("logged", ({"x": 2.0},)), ExplanationPolicy())


def test_a_model_that_is_too_slow_is_given_up(logistic: ServedModel) -> None:
    with pytest.raises(ExplanationTimeError, match="too slow"):
        explain(logistic, rows(1)[0], background(), ExplanationPolicy(seconds=1e-9))


def test_without_shap_the_remedy_is_named(logistic: ServedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(NotInstalledError, match="install the extra `explain`"):
        explain(logistic, rows(1)[0], background(), ExplanationPolicy())


def test_rows_like_a_profile_have_its_values_and_its_gaps() -> None:
    columns = (
        Column(name="age", type=ColumnType.DOUBLE, nullable=True),
        Column(name="rooms", type=ColumnType.LONG),
        Column(name="member", type=ColumnType.BOOLEAN),
        Column(name="city", type=ColumnType.STRING, nullable=True),
        Column(name="new", type=ColumnType.STRING, nullable=True),
    )
    profile = ReferenceProfile(
        source="registered",
        feature_rows=100,
        scored_rows=0,
        features={
            "age": NumberProfile(edges=(20.0, 40.0), counts=(0, 50, 0), missing=50, minimum=0.0, maximum=90.0),
            "rooms": NumberProfile(
                edges=(3.0,), values=(2.0, 3.0), counts=(50, 50), missing=0, minimum=2.0, maximum=3.0
            ),
            "member": CategoryProfile(categories=("true", "false"), counts=(50, 50, 0), missing=0),
            "city": CategoryProfile(categories=("Ulm",), counts=(90, 10), missing=0),
        },
    )
    signature = Signature(columns=columns, task=Task.REGRESSION)
    policy = ExplanationPolicy(background_rows=200)
    drawn = profile_background(profile, signature, policy)
    assert len(drawn.rows) == 200
    ages = [row["age"] for row in drawn.rows]
    assert all(age is None or 20 <= age < 40 for age in ages)
    assert 60 < ages.count(None) < 140
    assert {row["rooms"] for row in drawn.rows} == {2, 3}
    assert {(row["member"], row["city"], row["new"]) for row in drawn.rows} == {
        (True, "Ulm", None),
        (False, "Ulm", None),
    }
    assert profile_background(profile, signature, policy) == drawn
