"""Open Inference Protocol over REST: health, metadata, inference, as its clients send and expect them."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from bentos.worker import Worker
from rollout.assignment import hash_unit, threshold

INFER = "/v2/models/credit/infer"


def tensor(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}


def tensors(credit: Any, count: int) -> list[dict[str, Any]]:
    rows = credit.frame.head(count)
    return [
        tensor("job", "BYTES", rows["job"].tolist()),
        tensor("amount", "FP64", rows["amount"].tolist()),
        tensor("age", "FP64", rows["age"].tolist()),
    ]


def outputs(response: httpx.Response) -> dict[str, dict[str, Any]]:
    assert response.status_code == 200, response.text
    return {output["name"]: output for output in response.json()["outputs"]}


def logged(home: Path) -> list[dict[str, Any]]:
    lines = [line for path in sorted((home / "spool").iterdir()) for line in path.read_bytes().splitlines()]
    records = map(orjson.loads, lines)
    return [record for record in records if record.get("kind") is None]  # of predictions


def test_health_says_live_and_ready(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        ready = await client.get("/v2/health/ready")
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "live": True})

    service.run(scenario)


def test_before_a_model_is_loaded_the_server_lives_and_is_not_ready(service: Any) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.get("/v2/health/live")).status_code == 200
        ready = await client.get("/v2/health/ready")
        assert (ready.status_code, ready.json()) == (503, {"ready": False, "live": True})
        answers = [
            await client.get("/v2/models/credit/ready"),
            await client.post(INFER, json={"inputs": [tensor("age", "FP64", [1.0])]}),
        ]
        for answer in answers:
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
            assert "no model is loaded" in answer.json()["error"]

    service.run(scenario)


def test_the_server_and_its_models_describe_themselves(service: Any, credit: Any, credit_challenger: Any) -> None:
    service.serve(credit, credit_challenger)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for path in ("/v2", "/v2/"):
            server = (await client.get(path)).json()
            assert server["name"] == "fairmind-serving"
            assert set(server) == {"name", "version", "extensions"}
        for path in ("/v2/models/credit", "/v2/models/credit/versions/2"):
            assert (await client.get(path)).json() == {
                "name": "credit",
                "versions": ["1", "2"],
                "platform": "scikit-learn",
                "inputs": [
                    {"name": "age", "datatype": "FP64", "shape": [-1]},
                    {"name": "amount", "datatype": "FP64", "shape": [-1]},
                    {"name": "job", "datatype": "BYTES", "shape": [-1]},
                ],
                "outputs": [
                    {"name": "prediction", "datatype": "INT64", "shape": [-1]},
                    {
                        "name": "probabilities",
                        "datatype": "FP64",
                        "shape": [-1, 2],
                        "parameters": {"classes": [0, 1]},
                    },
                ],
            }
        for path in ("/v2/models/credit/ready", "/v2/models/credit/versions/1/ready"):
            assert (await client.get(path)).json() == {"name": "credit", "ready": True}

    service.run(scenario)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/nope"),
        ("GET", "/v2/models/nope/ready"),
        ("POST", "/v2/models/nope/infer"),
        ("GET", "/v2/models/credit/versions/9"),
        ("GET", "/v2/models/credit/versions/9/ready"),
        ("POST", "/v2/models/credit/versions/9/infer"),
        ("GET", "/v2/models"),
        ("GET", "/v2/models/credit/versions"),
        ("GET", "/v2/models/credit/releases/1"),
        ("POST", "/v2/models/infer"),
        ("GET", "/v2/health"),
        ("GET", "/v2/health/well"),
    ],
)
def test_what_is_not_there_is_404_in_the_protocols_own_words(
    service: Any, credit: Any, method: str, path: str
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.request(
            method, path, json={"inputs": tensors(credit, 1)} if method == "POST" else None
        )
        assert response.status_code == 404
        assert set(response.json()) == {"error"}
        named = "nope" if "nope" in path else "credit/9" if "/9" in path else "no such route"
        assert named in response.json()["error"]

    service.run(scenario)


def test_other_methods_are_405_and_say_which_one(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for method, path, allowed in (
            ("GET", INFER, "POST"),
            ("POST", "/v2/models/credit", "GET"),
            ("PUT", "/v2", "GET"),
        ):
            response = await client.request(method, path)
            assert (response.status_code, response.headers["allow"]) == (405, allowed)
            assert allowed in response.json()["error"]

    service.run(scenario)


def test_where_there_is_no_route_there_is_none_for_any_method(service: Any, credit: Any) -> None:
    service.serve(credit)
    paths = (
        "/v2/x/infer",
        "/v2/infer",
        "/v2/models",
        "/v2/models/a/b/c",
        "/v2/health",
        "/v2/models/credit/rows/infer",
    )

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for method, path in itertools.product(("GET", "POST", "DELETE"), paths):
            response = await client.request(method, path, content=b"{}")
            assert (response.status_code, "no such route" in response.json()["error"]) == (404, True), (
                method,
                path,
            )

    service.run(scenario)


def test_answers_equal_scikit_learns_whatever_the_order_of_the_tensors(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.post(INFER, json={"id": "mine", "inputs": tensors(credit, 50)})
        found = outputs(response)
        expected = credit.model.predict_proba(credit.frame.head(50))
        assert found["prediction"]["data"] == credit.model.predict(credit.frame.head(50)).tolist()
        assert (found["prediction"]["datatype"], found["prediction"]["shape"]) == ("INT64", [50])
        assert (found["probabilities"]["datatype"], found["probabilities"]["shape"]) == ("FP64", [50, 2])
        assert found["probabilities"]["data"] == pytest.approx(expected.reshape(-1).tolist(), abs=1e-9)
        body = response.json()
        assert (body["model_name"], body["model_version"], body["id"]) == ("credit", "1", "mine")
        assert body["parameters"] == {
            "fairmind_prediction_id": response.headers["x-fairmind-prediction-id"],
            "fairmind_variant": "champion",
        }
        told = {key: response.headers[f"x-fairmind-{key}"] for key in ("model-version", "variant")}
        assert told == {"model-version": "1", "variant": "champion"}

    service.run(scenario)


def test_nested_data_of_shape_n_by_one_is_the_same_as_flat_data(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        flat = tensors(credit, 7)
        nested = [one | {"shape": [7, 1], "data": [[value] for value in one["data"]]} for one in flat]
        flat_in_two = [one | {"shape": [7, 1]} for one in flat]
        answers = [
            outputs(await client.post(INFER, json={"inputs": inputs})) for inputs in (flat, nested, flat_in_two)
        ]
        assert answers[0] == answers[1] == answers[2]

    service.run(scenario)


def test_integers_and_narrower_numbers_are_taken_for_a_number(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        job = tensor("job", "BYTES", ["nurse"])
        answers = [
            outputs(
                await client.post(
                    INFER, json={"inputs": [tensor("age", datatype, [40]), tensor("amount", "FP32", [2000]), job]}
                )
            )
            for datatype in ("FP64", "FP32", "FP16", "INT8", "INT64", "UINT16")
        ]
        assert all(answer == answers[0] for answer in answers)

    service.run(scenario)


def test_null_and_nan_are_missing_values_where_the_pipeline_imputes(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body = (
            b'{"inputs": [{"name": "age", "datatype": "FP64", "shape": [1], "data": [NaN]},'
            b'{"name": "amount", "datatype": "FP64", "shape": [1], "data": [null]},'
            b'{"name": "job", "datatype": "BYTES", "shape": [1], "data": ["nurse"]}]}'
        )
        frame = credit.frame.head(1).assign(age=math.nan, amount=math.nan, job="nurse")
        found = outputs(await client.post(INFER, content=body))
        assert found["probabilities"]["data"] == pytest.approx(
            credit.model.predict_proba(frame)[0].tolist(), abs=1e-9
        )

    service.run(scenario)


def test_a_version_asked_for_answers_and_is_in_no_analysis(
    service: Any, credit: Any, credit_challenger: Any
) -> None:
    service.serve(credit, credit_challenger, weight_bp=5000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body = {"inputs": tensors(credit, 3), "parameters": {"unit": "u"}}
        response = await client.post("/v2/models/credit/versions/2/infer", json=body)
        expected = credit_challenger.model.predict_proba(credit.frame.head(3)).reshape(-1).tolist()
        assert outputs(response)["probabilities"]["data"] == pytest.approx(expected, abs=1e-9)
        assert (response.json()["model_version"], response.headers["x-fairmind-variant"]) == ("2", "")
        assert response.json()["parameters"]["fairmind_variant"] == ""
        (record,) = logged(service.home)
        assert (record["model_version"], record["variant"], record["protocol"]) == ("2", None, "oip")

    service.run(scenario)


@pytest.mark.parametrize("travels", ["header", "parameter", "both"])
def test_the_unit_decides_the_variant_by_header_or_parameter_and_the_parameter_wins(
    service: Any, credit: Any, credit_challenger: Any, travels: str
) -> None:
    service.serve(credit, credit_challenger, weight_bp=3000)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        variants = []
        expected = []
        for number in range(40):
            unit = f"Jürgen-{number}"
            body: dict[str, Any] = {"inputs": tensors(credit, 2)}
            headers = {}
            if travels != "parameter":
                headers["X-Fairmind-Unit"] = unit if travels == "header" else "somebody else"
            if travels != "header":
                body["parameters"] = {"unit": unit}
            encoded = {key: value.encode() for key, value in headers.items()}
            response = await client.post(INFER, json=body, headers=encoded)
            variants.append(response.headers["x-fairmind-variant"])
            expected.append("challenger" if hash_unit("r-001", unit) < threshold(3000) else "champion")
        assert variants == expected
        assert set(variants) == {"champion", "challenger"}
        records = logged(service.home)
        assert all(len(set(record["unit_hashes"])) == 1 and len(record["unit_hashes"]) == 2 for record in records)
        assert "rgen-" not in orjson.dumps(records).decode()

    service.run(scenario)


def test_the_callers_id_is_echoed_and_kept_for_a_single_row(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for count in (1, 2):
            response = await client.post(INFER, json={"id": "my-row", "inputs": tensors(credit, count)})
            assert response.json()["id"] == "my-row"
        assert "id" not in (await client.post(INFER, json={"inputs": tensors(credit, 1)})).json()
        assert [record["caller_ids"] for record in logged(service.home)] == [["my-row"], None, None]

    service.run(scenario)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (None, {"prediction", "probabilities"}),
        ([], {"prediction", "probabilities"}),
        ([{"name": "prediction"}], {"prediction"}),
        ([{"name": "probabilities", "parameters": {"binary_data": False}}], {"probabilities"}),
        ([{"name": "probabilities"}, {"name": "prediction"}], {"prediction", "probabilities"}),
    ],
)
def test_the_outputs_asked_for_are_answered(service: Any, credit: Any, asked: Any, answered: set[str]) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body = {"inputs": tensors(credit, 2), "outputs": asked}
        assert set(outputs(await client.post(INFER, json=body))) == answered

    service.run(scenario)


def test_json_without_a_media_type_is_taken(service: Any, credit: Any) -> None:
    """Triton's client does not say what it sends."""
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        content = orjson.dumps({"inputs": tensors(credit, 1)})
        assert (await client.post(INFER, content=content)).status_code == 200

    service.run(scenario)
