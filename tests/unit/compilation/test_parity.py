"""The proof: given for the same model, refused for any other, and kept with the version."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble, linear_model

from compilation.adversarial import adversarial_rows, raw_thresholds
from compilation.compile import CompiledModel, compile_model
from compilation.parity import Proof, prove
from inference.decision import Decision
from inference.errors import ParityError, RuntimeLoadError
from inference.frames import columns_from_frame
from inference.linear import LinearRuntime
from inference.preprocessing import NumberBlock, Operation
from inference.runtime import Columns, Scores
from inference.signature import Column, ColumnType, Signature, Task
from tests.fakes.pipelines import fitted, labels, people, preprocessing


@pytest.mark.parametrize(
    "estimator",
    [
        linear_model.LogisticRegression(max_iter=500),
        ensemble.RandomForestClassifier(10),
        ensemble.HistGradientBoostingClassifier(max_iter=10),
        ensemble.GradientBoostingClassifier(n_estimators=10),
    ],
    ids=str,
)
@pytest.mark.parametrize("unknown", ["ignore", "error"])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_same_model_is_proven(estimator, unknown: str, classes: int) -> None:
    frame = people()
    model = fitted(estimator, frame, labels(frame, classes), preprocessing(unknown))
    proof = prove(compile_model(model, frame), model, frame)
    assert proof.rows == 120
    assert proof.adversarial_rows > 60
    assert proof.largest_difference < 1e-9
    assert set(proof.microseconds_per_row) == {1, 32, 1024}
    assert all(value > 0 for value in proof.microseconds_per_row.values())
    assert {"python", "scikit-learn", "numpy", "treelite"} <= set(proof.versions)


def test_a_regressor_is_proven_on_its_values() -> None:
    frame = people()
    model = fitted(linear_model.Ridge(), frame, labels(frame, 5))
    assert prove(compile_model(model, frame), model, frame).largest_difference < 1e-9


@pytest.fixture(scope="module")
def pair() -> tuple[object, CompiledModel]:
    frame = people()
    model = fitted(linear_model.LogisticRegression(max_iter=500), frame, labels(frame))
    return model, compile_model(model, frame)


def test_another_model_is_refused_with_the_facts(pair) -> None:
    model, _ = pair
    frame = people()
    other = compile_model(fitted(linear_model.LogisticRegression(C=1e-4), frame, labels(frame)), frame)
    with pytest.raises(ParityError, match="decisions changed") as caught:
        prove(other, model, frame)
    assert caught.value.largest_difference > 1e-3
    assert caught.value.decisions_changed > 0


class WrongOnUnknownCities:
    """Right on everything that the evaluation data holds."""

    def __init__(self, runtime: LinearRuntime, answer: float) -> None:
        self._runtime, self._answer, self.blocks = runtime, answer, runtime.blocks

    def run(self, columns: Columns, rows: int) -> Scores:
        probabilities = self._runtime.run(columns, rows).probabilities
        assert probabilities is not None
        strange = np.array([city not in {"Bonn", "Köln", "Ulm", "Trier", None} for city in columns["city"]])
        probabilities[strange] = self._answer
        return Scores(probabilities=probabilities)


@pytest.mark.parametrize("answer", [0.5, float("nan")])
def test_a_difference_only_on_unknown_categories_is_found(pair, answer: float) -> None:
    model, compiled = pair
    wrong = dataclasses.replace(compiled, runtime=WrongOnUnknownCities(compiled.runtime, answer))
    with pytest.raises(ParityError):
        prove(wrong, model, people())


def test_a_threshold_set_later_is_proven_on_the_probabilities(pair) -> None:
    model, compiled = pair
    strict = dataclasses.replace(compiled, decision=Decision(threshold=0.9))
    assert prove(strict, model, people()).decisions_changed == 0


def test_adversarial_rows_fit_the_signature_and_are_the_same_each_time(pair) -> None:
    _, compiled = pair
    edges = {"age": [30.5, 40.5]}
    hard = adversarial_rows(people(), compiled.signature, edges)
    pd.testing.assert_frame_equal(hard, adversarial_rows(people(), compiled.signature, edges))
    assert columns_from_frame(hard, compiled.signature)[1] == len(hard)
    assert hard["age"].isna().any()
    assert {30.5, np.nextafter(30.5, 31), np.nextafter(30.5, 30), 1e30} <= set(hard["age"])
    single = np.float32(30.5)
    assert {float(np.nextafter(single, np.float32(0))), float(np.nextafter(single, np.float32(99)))} <= {
        *hard["age"]
    }
    assert {"BONN", "Bonnö", "", "a category that was never seen"} <= set(hard["city"])
    assert not set(hard["city"].dropna()) <= set(people()["city"].dropna())


def test_of_many_categories_the_most_and_the_least_frequent_are_tried() -> None:
    names = [f"c{place:03}" for place in range(100)]
    counts = np.repeat(names, np.arange(1, 101))
    frame = pd.DataFrame({"c": counts}).astype({"c": "str"})
    signature = Signature(columns=(Column(name="c", type=ColumnType.STRING),), task=Task.REGRESSION)
    tried = set(adversarial_rows(frame, signature, {})["c"])
    assert {*names[:20], *names[-20:]} <= tried


def test_a_threshold_is_undone_to_the_raw_value() -> None:
    block = NumberBlock("age", 0, ((Operation.SUBTRACT, 40.0), (Operation.DIVIDE, 8.0), (Operation.ADD, 1.0)))
    assert [block.feature(value) for value in raw_thresholds(block, [0.25, 3.0])] == [0.25, 3.0]


def test_a_proof_is_kept_with_its_version(pair, tmp_path: Path) -> None:
    model, compiled = pair
    proof = prove(compiled, model, people())
    proof.save(tmp_path)
    assert Proof.load(tmp_path) == proof
    (tmp_path / "proof.json").write_text("{}")
    with pytest.raises(RuntimeLoadError, match="damaged"):
        Proof.load(tmp_path)
    with pytest.raises(RuntimeLoadError, match="cannot be read"):
        Proof.load(tmp_path / "nowhere")
