"""What a model answers from a process of its own is what it answers here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from inference.runtime import RemoteRuntime
from inference.signature import Column, ColumnType, Signature, Task
from runners.errors import ModelRefusedRowsError, RunnerAnswerError
from runners.process import RunnerProcess
from runners.runtime import RunnerRuntime
from runners.specification import RunnerSpecification
from tests.fakes.mlflow_models import save_code, save_sklearn
from tests.fakes.pipelines import labels, people, preprocessing
from tests.unit.runners.test_process import ODD

Serve = Callable[..., RunnerRuntime]
PEOPLE = [
    {"type": "double", "name": "age"},
    {"type": "string", "name": "city"},
    {"type": "boolean", "name": "member"},
    {"type": "double", "name": "income"},
    {"type": "string", "name": "job"},
]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Makes runtimes from a model folder, a task and what differs from the usual; ends them after the test."""
    with ExitStack() as opened:

        def make(folder: Path, task: Task = Task.OPAQUE, **different: Any) -> RunnerRuntime:
            told = {name: different.pop(name, ()) for name in ("classes", "outputs")}
            known = {"python": sys.executable, "flavour": "sklearn", "model": folder}
            process = RunnerProcess(RunnerSpecification.model_validate({**known, **different}))
            signature = Signature(columns=(Column(name="any", type=ColumnType.ANY),), task=task, **told)
            return opened.enter_context(closing(RunnerRuntime(process, signature)))

        yield make


def columns_of(frame: pd.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    """Return a frame as a worker decodes it: texts as objects with None, everything else as numpy has it."""
    return {
        name: np.array([None if pd.isna(one) else one for one in values], dtype=object)
        if values.dtype in {"str", "object"}
        else values.to_numpy()
        for name, values in frame.items()
    }


@pytest.mark.parametrize("serialization", ["cloudpickle", "skops"])
def test_a_pipeline_with_texts_and_gaps_is_served_equal(serve: Serve, tmp_path: Path, serialization: str) -> None:
    frame = people(300)
    model = make_pipeline(preprocessing(), LogisticRegression()).fit(frame, labels(frame, 3))
    trusted = ("numpy.dtype",)
    folder = save_sklearn(model, tmp_path / "model", serialization)
    runtime = serve(
        folder,
        Task.MULTICLASS,
        classes=(0, 1, 2),
        inputs=PEOPLE,
        serialization=serialization,
        trusted_types=trusted,
    )
    scores = runtime.run(columns_of(frame), len(frame))
    np.testing.assert_array_equal(scores.probabilities, model.predict_proba(frame))
    alone = runtime.run({name: values[1:2] for name, values in columns_of(frame).items()}, 1)
    np.testing.assert_array_equal(alone.probabilities, model.predict_proba(frame[1:2]))
    assert scores.values is None
    assert isinstance(runtime, RemoteRuntime)


def test_without_a_schema_the_columns_are_those_it_was_fitted_on(serve: Serve, tmp_path: Path) -> None:
    frame = people(100)
    model = make_pipeline(preprocessing(), RandomForestRegressor(5)).fit(frame, labels(frame))
    runtime = serve(save_sklearn(model, tmp_path / "model"), Task.REGRESSION)
    columns = {name: np.array(values.tolist(), dtype=object) for name, values in columns_of(frame).items()}
    np.testing.assert_array_equal(runtime.run(columns, 100).values, model.predict(frame))


MATRIX = [{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}]


@pytest.mark.parametrize("inputs", [None, MATRIX])
def test_a_model_without_names_gets_a_matrix(serve: Serve, tmp_path: Path, inputs: Any) -> None:
    random = np.random.default_rng(0)
    matrix = random.normal(size=(50, 3)).astype(np.float32)
    model = RandomForestClassifier(5, random_state=0).fit(matrix, matrix[:, 0] > 0)
    runtime = serve(save_sklearn(model, tmp_path / "model"), Task.BINARY, classes=(False, True), inputs=inputs)
    columns = {str(place): matrix[:, place].astype(np.float64) for place in range(3)}
    np.testing.assert_array_equal(runtime.run(columns, 50).probabilities, model.predict_proba(matrix))
    described = runtime.process.describe()
    assert (described["task"], described["classes"], described["n_features"]) == ("binary", [False, True], 3)


def test_a_model_of_texts_gets_texts(serve: Serve, tmp_path: Path) -> None:
    texts = np.array(["good", "bad", "good good", "bad luck"], dtype=object)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["yes", "no", "yes", "no"])
    inputs = [{"type": "string"}]
    runtime = serve(save_sklearn(model, tmp_path / "model"), Task.BINARY, classes=("no", "yes"), inputs=inputs)
    np.testing.assert_array_equal(runtime.run({"0": texts}, 4).probabilities, model.predict_proba(texts))


def test_every_type_of_the_schema_reaches_the_model(serve: Serve, tmp_path: Path) -> None:
    source = "class Types:\n    def predict(self, frame):\n        both = zip(frame.dtypes, frame.iloc[0])\n"
    source += "        return [[str(dtype), str(value)] for dtype, value in both]\n"
    kinds = ["integer", "long", "float", "double", "boolean", "string", "datetime", "binary"]
    runtime = serve(
        save_code(tmp_path / "model", "types_of", "Types", source),
        inputs=[{"type": kind, "name": kind} for kind in kinds],
        code_paths=("code",),
    )
    sent: dict[str, Any] = {kind: np.ones(8, dtype=np.int64) for kind in ("integer", "long")}
    sent |= {kind: np.full(8, 0.5) for kind in ("float", "double")} | {"boolean": np.ones(8, dtype=bool)}
    sent["string"] = np.array(["x"] * 8, dtype=object)
    sent["datetime"] = np.array(["2024-02-29T12:00:00+01:00"] + [None] * 7, dtype=object)
    sent["binary"] = np.array(["aGk="] * 8, dtype=object)
    answer = dict(zip(kinds, runtime.run(sent, 8).values.tolist(), strict=True))
    assert answer == {
        "integer": ["int32", "1"],
        "long": ["int64", "1"],
        "float": ["float32", "0.5"],
        "double": ["float64", "0.5"],
        "boolean": ["bool", "True"],
        "string": ["str", "x"],
        "datetime": ["datetime64[ns]", "2024-02-29 11:00:00"],
        "binary": ["object", "b'hi'"],
    }
    too_large = sent | {"integer": np.full(8, 2**40)}
    with pytest.raises(ModelRefusedRowsError, match="no 32-bit integer"):
        runtime.run(too_large, 8)


def ask(runtime: RunnerRuntime, what: str, rows: int) -> Any:
    return runtime.run({"0": np.array([what] * rows, dtype=object)}, rows).values


def test_answers_of_any_kind_come_back(serve: Serve, odd_model: Path) -> None:
    runtime = serve(odd_model, **ODD)
    assert ask(runtime, "text", 2).tolist() == ["TEXT", "TEXT"]
    mixed = [1, "two", None, None, 0.5, None, [1, None], {"a": 2}]
    assert ask(runtime, "mixed", 8).tolist() == mixed
    np.testing.assert_array_equal(ask(runtime, "nan", 2), [np.nan, np.inf])
    assert ask(runtime, "many", 2).tolist() == [{"first": 0.0, "second": "x"}, {"first": 1.0, "second": "x"}]
    assert ask(runtime, "matrix", 2).tolist() == [[1.0, 1.0], [1.0, 1.0]]
    with pytest.raises(RunnerAnswerError, match=r"it has \[1\] values for 3 rows"):
        ask(runtime, "short", 3)


def test_named_outputs_come_back_as_columns(serve: Serve, odd_model: Path) -> None:
    runtime = serve(odd_model, outputs=("first", "second"), **ODD)
    answer = ask(runtime, "many", 2)
    assert answer.shape == (2, 2)
    assert answer.tolist() == [[0.0, "x"], [1.0, "x"]]
    assert ask(runtime, "matrix", 2).dtype == np.float64
    with pytest.raises(RunnerAnswerError, match="1 values per row, the signature names 2"):
        ask(runtime, "text", 2)


@pytest.mark.parametrize("package", ["inference", "registry", "runners"])
def test_a_model_whose_own_package_is_named_as_ours_gets_its_own(
    serve: Serve, tmp_path: Path, package: str
) -> None:
    source = "class Own:\n    def predict(self, matrix): return [__name__] * len(matrix)\n"
    inputs = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 1]}}]
    folder = save_code(tmp_path / "model", f"{package}.own", "Own", source)
    before = sorted(folder.rglob("*"))
    runtime = serve(folder, inputs=inputs, code_paths=("code",))
    assert runtime.run({"0": np.zeros(1)}, 1).values.tolist() == [f"{package}.own"]
    assert sorted(folder.rglob("*")) == before, "nothing is written into the model's folder"
