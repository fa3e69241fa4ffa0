"""MLflow's scoring protocol: what `mlflow models serve` answers to the same bodies, and refusals in its words."""

from __future__ import annotations

import gzip
import json
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bentos.worker import Worker
from compilation.compile import compile_model
from monitoring.metrics import REQUESTS

INVOCATIONS = "/invocations"
CSV = {"content-type": "text/csv"}


@pytest.fixture(scope="session")
def mlflows_answer(credit: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes, str], Any]:
    """What MLflow's own server, over the same model, answers to a body of a media type."""
    folder = tmp_path_factory.mktemp("mlflow") / "model"
    with warnings.catch_warnings(action="ignore"):
        import mlflow.pyfunc
        from mlflow.pyfunc import scoring_server

        signature = mlflow.models.infer_signature(credit.frame, credit.model.predict(credit.frame))
        mlflow.sklearn.save_model(
            credit.model,
            folder,
            signature=signature,
            serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
        )
        model = mlflow.pyfunc.load_model(str(folder))

    def answer(body: bytes, media_type: str) -> Any:
        with warnings.catch_warnings(action="ignore"):
            schema = model.metadata.get_input_schema()
            answered = scoring_server.invocations(body.decode(), media_type, model, schema)
        assert answered.status == 200
        return json.loads(answered.response)

    return answer


def bodies(frame: Any) -> dict[str, tuple[bytes, str]]:
    """Return every form in which MLflow's clients send a table."""
    records, lists = frame.to_dict("records"), frame.to_dict("list")
    gap = frame.assign(amount=[float("nan"), *frame["amount"][1:]])
    shapes: dict[str, Any] = {
        "split": {"dataframe_split": frame.to_dict("split")},
        "split, other order": {"dataframe_split": frame[["job", "age", "amount"]].to_dict("split")},
        "split, a column more": {"dataframe_split": frame.assign(label=1).to_dict("split")},
        "records": {"dataframe_records": records},
        "instances as objects": {"instances": records},
        "inputs as lists": {"inputs": lists},
        "inputs as objects": {"inputs": records},
        "params that the model has none of": {"dataframe_records": records, "params": {"warmth": 1}},
        "no params": {"dataframe_records": records, "params": None},
        "bare NaN": {"dataframe_split": gap.to_dict("split")},
        "whole numbers": {"dataframe_records": [row | {"age": int(row["age"])} for row in records]},
    }
    forms = {name: (json.dumps(body).encode(), "application/json") for name, body in shapes.items()}
    forms["charset"] = (forms["split"][0], "application/json; charset=utf-8")
    forms["CSV"] = (frame.to_csv(index=False).encode(), "text/csv")
    forms["CSV with CRLF and gaps"] = (gap.to_csv(index=False, lineterminator="\r\n").encode(), "text/csv")
    return forms


def test_every_form_is_answered_as_mlflows_own_server_answers_it(
    service: Any, credit: Any, mlflows_answer: Callable[[bytes, str], Any]
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for name, (body, media_type) in bodies(credit.frame.head(9)).items():
            response = await client.post(INVOCATIONS, content=body, headers={"content-type": media_type})
            assert (response.status_code, name) == (200, name), response.text
            assert response.json() == mlflows_answer(body, media_type), name

    service.run(scenario)


def test_lists_by_position_are_in_the_signatures_order(service: Any, credit: Any) -> None:
    service.serve(credit)
    frame = credit.frame.head(4)
    expected = {"predictions": credit.model.predict(frame).tolist()}

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for shape in ("instances", "inputs"):
            answer = await client.post(INVOCATIONS, json={shape: frame.values.tolist()})
            assert answer.json() == expected
        answer = await client.post(INVOCATIONS, json={"dataframe_split": {"data": frame.values.tolist()}})
        assert answer.json() == expected
        short = await client.post(INVOCATIONS, json={"instances": [*frame.values.tolist(), [1.0, 2.0]]})
        assert (short.status_code, short.json()["error_code"]) == (400, "BAD_REQUEST")
        assert "row 4: must be a list of 3 values" in short.json()["message"]

    service.run(scenario)


def test_several_values_per_row_are_lists_where_the_model_gives_no_names(
    service: Any, credit: Any, tmp_path: Path
) -> None:
    frame = credit.frame[["age", "amount"]]
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(frame, frame.to_numpy() * [2.0, 0.5])
    compile_model(model, frame).save(tmp_path / "several" / "fairmind")
    service.serve(tmp_path / "several", model="several")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.post(INVOCATIONS, json={"dataframe_split": frame.head(3).to_dict("split")})
        np.testing.assert_allclose(answer.json()["predictions"], model.predict(frame.head(3)), rtol=1e-9)

    service.run(scenario)


def test_a_body_may_be_compressed_and_says_nothing_of_its_type(service: Any, credit: Any) -> None:
    service.serve(credit)
    body = orjson.dumps({"dataframe_records": credit.frame.head(2).to_dict("records")})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        plain = await client.post(INVOCATIONS, content=body)
        assert plain.status_code == 200
        packed = await client.post(INVOCATIONS, content=gzip.compress(body), headers={"content-encoding": "gzip"})
        assert packed.json() == plain.json()

    service.run(scenario)


def test_versions_and_aliases_are_answered_as_asked(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger, weight_bp=5_000)
    body = {"dataframe_split": credit.frame.head(5).to_dict("split")}
    asked = {
        "/invocations": ("1", "champion", credit),
        "/models/credit/invocations": ("1", "champion", credit),
        "/models/credit/versions/2/invocations": ("2", "", credit_challenger),
        "/models/credit@challenger/invocations": ("2", "", credit_challenger),
        "/models/credit@champion/invocations": ("1", "", credit),
    }

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for path, (number, variant, one) in asked.items():
            answer = await client.post(path, json=body)
            assert answer.json() == {"predictions": one.model.predict(credit.frame.head(5)).tolist()}
            told = [answer.headers[f"x-fairmind-{name}"] for name in ("model-version", "variant")]
            assert told == [number, variant]
        assert worker.metrics.value(REQUESTS, "credit", "mlflow", "200") == len(asked)

    service.run(scenario)


def test_with_several_models_one_has_to_be_named(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit)
    service.serve(credit_challenger, model="other")
    body = {"dataframe_split": credit.frame.head(1).to_dict("split")}

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.post(INVOCATIONS, json=body)
        assert answer.status_code == 400
        assert answer.json() == {"error_code": "BAD_REQUEST", "message": "name the model, one of: credit, other"}
        assert (await client.post("/models/other/invocations", json=body)).status_code == 200

    service.run(scenario)


def test_probes_answer_as_mlflows_do(service: Any, credit: Any) -> None:
    async def before(client: httpx.AsyncClient, worker: Worker) -> None:
        for path in ("/ping", "/health"):
            answer = await client.get(path)
            assert (answer.status_code, answer.text) == (503, "\n")
        refused = await client.post(INVOCATIONS, json={"instances": [{"age": 1.0}]})
        assert (refused.status_code, refused.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert int(refused.headers["retry-after"]) >= 1

    async def after(client: httpx.AsyncClient, worker: Worker) -> None:
        for path in ("/ping", "/health"):
            answer = await client.get(path)
            assert (answer.status_code, answer.text) == (200, "\n")
        assert (await client.get("/version")).text == version("mlflow")

    service.run(before)
    service.serve(credit)
    service.run(after)


ROW = {"age": 41.0, "amount": 2.0, "job": "nurse"}
REFUSED: dict[str, tuple[Any, str]] = {
    "no object": ([ROW], "must be an object"),
    "no shape": ({"rows": [ROW]}, "exactly one of"),
    "two shapes": ({"instances": [ROW], "inputs": [ROW]}, "exactly one of"),
    "no rows": ({"dataframe_records": []}, "no rows"),
    "no rows in lists": ({"inputs": {"age": [], "amount": [], "job": []}}, "no rows"),
    "no columns": ({"inputs": {}}, "no rows"),
    "a column is missing": ({"instances": [{"age": 1.0, "job": "nurse"}]}, "column 'amount': is missing"),
    "text for a number": ({"instances": [ROW, ROW | {"age": "old"}]}, "row 1, column 'age': must be a number"),
    "true for a number": ({"instances": [ROW | {"age": True}]}, "row 0, column 'age': must be a number"),
    "a number for text": ({"instances": [ROW | {"job": 3}]}, "row 0, column 'job': must be a string"),
    "an unknown category": ({"instances": [ROW | {"job": "spy"}]}, "row 0, column 'job': is a category"),
    "lists of two lengths": ({"inputs": {"age": [1.0], "amount": [1.0, 2.0], "job": ["nurse"]}}, "numbers of rows"),
    "objects and lists": ({"instances": [ROW, [1.0]]}, "mixes"),
    "no list": ({"instances": ROW}, "'instances' must be a list"),
    "a column twice": ({"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}}, "'age' is there twice"),
    "params of another kind": ({"instances": [ROW], "params": 3}, "'params' must be an object"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_bodies_are_400_in_mlflows_words(service: Any, credit: Any, case: str) -> None:
    service.serve(credit)
    body, words = REFUSED[case]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.post(INVOCATIONS, json=body)
        assert (answer.status_code, set(answer.json())) == (400, {"error_code", "message"})
        assert answer.json()["error_code"] in {"BAD_REQUEST", "INVALID_PARAMETER_VALUE"}
        assert words in answer.json()["message"]
        assert not {"old", "spy"} & set(answer.json()["message"].replace("'", " ").split())

    service.run(scenario)


@pytest.mark.parametrize(
    "content", [b"", b"age,amount,job\n", b"age,age\n1,2\n", b"a,b\n1\n", b"\xff\xfe", b'a\n"x']
)
def test_bad_csv_is_400(service: Any, credit: Any, content: bytes) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answer = await client.post(INVOCATIONS, content=content, headers=CSV)
        assert (answer.status_code, set(answer.json())) == (400, {"error_code", "message"})

    service.run(scenario)


def test_other_refusals_have_the_protocols_shape_too(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.serving = service.serving.model_copy(update={"max_rows": 3, "max_body_bytes": 1_000})
    body = {"instances": [ROW]}
    bomb = {"content": gzip.compress(b" " * 2_000), "headers": {"content-encoding": "gzip"}}
    refused: dict[tuple[int, str], list[tuple[str, str, dict[str, Any]]]] = {
        (415, "BAD_REQUEST"): [
            ("POST", INVOCATIONS, {"json": body, "headers": {"content-type": media_type}})
            for media_type in ("text/plain", "application/json; charset=latin-1", "application/x-parquet")
        ]
        + [("POST", INVOCATIONS, {"json": body, "headers": {"content-encoding": "br"}})],
        (413, "RESOURCE_LIMIT_EXCEEDED"): [
            ("POST", INVOCATIONS, request)
            for request in ({"json": {"instances": [ROW] * 4}}, {"content": b" " * 1_001}, bomb)
        ],
        (404, "RESOURCE_DOES_NOT_EXIST"): [
            ("POST", f"/models/{path}/invocations", {"json": body}) for path in ("nope", "credit/versions/9")
        ],
        (404, "ENDPOINT_NOT_FOUND"): [
            ("POST", f"/models/{path}", {"json": body}) for path in ("credit", "/invocations")
        ],
        (405, "BAD_REQUEST"): [("GET", INVOCATIONS, {}), ("POST", "/ping", {})],
    }

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for expected, requests in refused.items():
            for method, path, request in requests:
                answer = await client.request(method, path, **request)
                assert (answer.status_code, answer.json()["error_code"]) == expected, (path, answer.text)
                assert set(answer.json()) == {"error_code", "message"}

    service.run(scenario)
