"""Open Inference Protocol over other models: every column type, every kind of class, regressors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from bentos.worker import Worker
from compilation.compile import compile_model

MODEL = "/v2/models/credit"
PLANS = ["basic", "gold", "zürich"]


@pytest.fixture
def frame() -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "count": random.integers(0, 9, 90),
            "member": random.random(90) < 0.5,
            "plan": random.choice(PLANS, 90),
        }
    )


def fit(folder: Path, estimator: Any, frame: pd.DataFrame, target: Any) -> Pipeline:
    """Fit a pipeline on the three columns and store it as a worker loads it."""
    columns = ColumnTransformer(
        [
            ("count", "passthrough", ["count"]),
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["plan"]),
            ("member", OneHotEncoder(drop="if_binary", sparse_output=False), ["member"]),
        ]
    )
    model = Pipeline([("columns", columns), ("model", estimator)]).fit(frame, target)
    compile_model(model, frame).save(folder / "fairmind")
    return model


def tensors(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": datatype, "shape": [len(frame)], "data": frame[name].tolist()}
        for name, datatype in (("count", "INT64"), ("member", "BOOL"), ("plan", "BYTES"))
    ]


def outputs(response: httpx.Response) -> dict[str, dict[str, Any]]:
    assert response.status_code == 200, response.text
    return {output["name"]: output for output in response.json()["outputs"]}


CLASSES: dict[str, tuple[list[Any], str]] = {
    "integers": ([0, 1], "INT64"),
    "booleans": ([False, True], "BOOL"),
    "strings": (["bad", "good"], "BYTES"),
    "floats": ([1.0, 2.0], "FP64"),
    "three integers": ([1, 2, 3], "INT64"),
    "three strings": (["no", "perhaps", "yes"], "BYTES"),
}


@pytest.mark.parametrize("kind", CLASSES)
def test_classes_of_every_kind_are_described_and_answered(
    service: Any, frame: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    classes, datatype = CLASSES[kind]
    target = np.array(classes)[np.arange(len(frame)) % len(classes)]
    model = fit(tmp_path / "model", LogisticRegression(max_iter=500), frame, target)
    service.serve(tmp_path / "model")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        described = (await client.get(MODEL)).json()
        assert [(one["name"], one["datatype"]) for one in described["inputs"]] == [
            ("count", "INT64"),
            ("member", "BOOL"),
            ("plan", "BYTES"),
        ]
        prediction, probabilities = described["outputs"]
        assert prediction == {"name": "prediction", "datatype": datatype, "shape": [-1]}
        assert probabilities["shape"] == [-1, len(classes)]
        assert probabilities["parameters"] == {"classes": classes}
        found = outputs(await client.post(f"{MODEL}/infer", json={"inputs": tensors(frame)}))
        assert found["prediction"]["datatype"] == datatype
        assert found["prediction"]["data"] == model.predict(frame).tolist()
        assert found["probabilities"]["shape"] == [len(frame), len(classes)]
        expected = model.predict_proba(frame).reshape(-1).tolist()
        assert found["probabilities"]["data"] == pytest.approx(expected, abs=1e-9)

    service.run(scenario)


def test_a_regressor_answers_values_and_no_probabilities(service: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
    target = frame["count"] * 1.5 + frame["member"]
    model = fit(tmp_path / "model", LinearRegression(), frame, target)
    service.serve(tmp_path / "model")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        described = (await client.get(MODEL)).json()
        assert described["outputs"] == [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]
        for asked in (None, [{"name": "prediction"}, {"name": "probabilities"}]):
            body = {"inputs": tensors(frame), "outputs": asked}
            found = outputs(await client.post(f"{MODEL}/infer", json=body))
            assert set(found) == {"prediction"}
            assert found["prediction"]["data"] == pytest.approx(model.predict(frame).tolist(), abs=1e-9)

    service.run(scenario)


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "a fraction for an integer": ("count", {"data": [1.5]}, "column 'count': must be an integer"),
    "an FP64 tensor for an integer": ("count", {"datatype": "FP64"}, "input 'count' must be INT64, not FP64"),
    "true for an integer": ("count", {"data": [True]}, "column 'count': must be an integer"),
    "an integer beyond 64 bits": ("count", {"data": [2**63]}, "column 'count': does not fit 64 bits"),
    "null for an integer": ("count", {"data": [None]}, "column 'count': is required"),
    "two for true": ("member", {"data": [2]}, "column 'member': must be true or false"),
    "half true": ("member", {"data": [0.5]}, "column 'member': must be true or false"),
    "text for true": ("member", {"data": ["true"]}, "column 'member': must be true or false"),
    "an INT8 tensor for true": ("member", {"datatype": "INT8"}, "input 'member' must be BOOL, not INT8"),
    "null for true": ("member", {"data": [None]}, "column 'member': is required"),
    "a number for a text": ("plan", {"data": [1]}, "column 'plan': must be a string"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_that_would_have_to_be_cast_is_refused(
    service: Any, frame: pd.DataFrame, tmp_path: Path, case: str
) -> None:
    fit(tmp_path / "model", LogisticRegression(max_iter=500), frame, frame["count"] > 4)
    service.serve(tmp_path / "model")
    name, change, words = WRONG[case]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        inputs = [one | change if one["name"] == name else one for one in tensors(frame.head(1))]
        response = await client.post(f"{MODEL}/infer", json={"inputs": inputs})
        assert (response.status_code, set(response.json())) == (400, {"error"})
        assert words in response.json()["error"]

    service.run(scenario)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("datatype", ["INT64", "INT8", "UINT16"])
def test_whole_numbers_and_truth_values_may_be_written_as_any_number_is(
    service: Any, frame: pd.DataFrame, tmp_path: Path, rows: int, datatype: str
) -> None:
    """The client that is generated from the protocol's own OpenAPI document writes 3 as 3.0, and true as 1.0."""
    fit(tmp_path / "model", LogisticRegression(max_iter=500), frame, frame["count"] > 4)
    service.serve(tmp_path / "model")
    plain = tensors(frame.head(rows))
    converted = [
        one | {"data": [float(value) for value in one["data"]]} if one["datatype"] in {"INT64", "BOOL"} else one
        for one in plain
    ]
    converted = [one | {"datatype": datatype} if one["datatype"] == "INT64" else one for one in converted]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answers = []
        for inputs in (plain, plain, converted, plain):
            response = await client.post(f"{MODEL}/infer", json={"inputs": inputs})
            assert response.status_code == 200, response.text
            answers.append(response.json()["outputs"])
        assert all(answer == answers[0] for answer in answers)

    service.run(scenario)


def test_narrower_integers_are_taken_for_an_integer_and_unknown_texts_where_the_pipeline_ignores_them(
    service: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    model = fit(tmp_path / "model", LogisticRegression(max_iter=500), frame, frame["count"] > 4)
    service.serve(tmp_path / "model")
    row = pd.DataFrame({"count": [3], "member": [True], "plan": ["unheard of"]})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for datatype in ("INT8", "UINT32", "INT64"):
            inputs = tensors(row)
            inputs[0]["datatype"] = datatype
            found = outputs(await client.post(f"{MODEL}/infer", json={"inputs": inputs}))
            assert found["probabilities"]["data"] == pytest.approx(model.predict_proba(row)[0].tolist(), abs=1e-9)

    service.run(scenario)
