"""A row's answer is found again to the last bit, whatever batch it was in."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier

from compilation.anatomy import dissect
from compilation.candidates import candidates_of
from inference.columns import columns_from_rows
from inference.crossover import CrossoverRuntime
from inference.served_model import ServedModel
from replay.same_bits import rescore, same
from tests.fakes.pipelines import fitted, labels, people

FRAME = people(300)
MODELS: dict[str, tuple[Any, Any]] = {
    "linear": (LogisticRegression(), labels(FRAME)),
    "linear of three classes": (LogisticRegression(), labels(FRAME, 3)),
    "regression": (LinearRegression(), FRAME["age"].fillna(40).to_numpy() * 1.1),
    "forest": (RandomForestClassifier(20, random_state=0), labels(FRAME)),
    "boosting": (GradientBoostingClassifier(n_estimators=20, random_state=0), labels(FRAME, 3)),
}


def candidates(estimator: Any, target: Any) -> dict[str, ServedModel]:
    found = candidates_of(dissect(fitted(estimator, FRAME, target), FRAME))
    return {one.name: one.compiled.served() for one in found if one.compiled is not None and one.in_worker}


def rows(count: int, seed: int = 3) -> list[dict[str, Any]]:
    records = people(count, seed=seed).to_dict("records")
    return [{str(name): None if pd.isna(value) else value for name, value in row.items()} for row in records]


def logged(model: ServedModel, batch: list[dict[str, Any]]) -> list[tuple[Any, Any]]:
    answered = model.predict(columns_from_rows(batch, model.signature), len(batch))
    scores = answered.scores(model.signature)
    assert scores is not None
    return list(zip(answered.prediction.tolist(), scores.tolist(), strict=True))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_linear_models_and_trees_answer_a_row_alike_in_any_company(name: str) -> None:
    estimator, target = MODELS[name]
    found = candidates(estimator, target)
    for kind in found.keys() & {"linear", "treelite", "onnx-trees"}:
        model = found[kind]
        for size in (1, 2, 7, 20):
            batch = rows(20)[:size]
            for row, (prediction, score) in zip(batch, logged(model, batch), strict=True):
                again = rescore(model, row, prediction, score)
                assert (again.is_same, again.rows) == (True, 1), (kind, size)


@pytest.fixture(scope="module")
def network() -> ServedModel:
    """A model of matrix products, which sum in another order for one row than for several."""
    estimator = MLPClassifier((32, 16), max_iter=20, random_state=0)
    with pytest.warns(match="iterations"):
        return candidates(estimator, labels(FRAME))["onnx-float64"]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 17, 100])
def test_a_matrix_product_is_found_again_in_the_company_that_gives_the_same_bits(
    network: ServedModel, size: int
) -> None:
    batch = rows(size)
    for row, (prediction, score) in zip(batch, logged(network, batch), strict=True):
        assert rescore(network, row, prediction, score).is_same


def test_of_two_runtimes_the_one_that_answered_is_found(network: ServedModel) -> None:
    linear = candidates(*MODELS["linear"])["linear"]
    both = ServedModel(
        linear.signature, linear.decision, CrossoverRuntime((linear.runtime, network.runtime), (1, 30))
    )
    batch = rows(30)
    prediction, score = logged(both, batch)[0]
    again = rescore(both, batch[0], prediction, score)
    assert again.is_same
    assert again.rows >= 30


def test_an_answer_that_the_row_does_not_get_is_not_the_same() -> None:
    model = candidates(*MODELS["linear"])["linear"]
    row = rows(1)[0]
    ((prediction, score),) = logged(model, [row])
    again = rescore(model, row, prediction, float(np.nextafter(score, 1.0)))
    assert not again.is_same
    assert (again.answer.prediction, again.answer.score, again.rows) == (prediction, score, 1)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_floats_are_the_same_where_all_their_bits_are(one: float, other: float) -> None:
    assert same(one, other) == (struct.pack("<d", one) == struct.pack("<d", other))
    assert same([{"a": one}], [{"a": one}])
