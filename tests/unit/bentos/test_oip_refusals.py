"""Open Inference Protocol: a word for everything that can be wrong with a tensor, and never its value."""

from __future__ import annotations

from typing import Any

import httpx
import orjson
import pytest

from bentos.worker import Worker
from tests.unit.bentos.strict_model import logged

SECRET = "Zaphod-Beeblebrox"
INFER = "/v2/models/credit/infer"


def tensor(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}


AGE = tensor("age", "FP64", [40.0])
AMOUNT = tensor("amount", "FP64", [2500.0])
JOB = tensor("job", "BYTES", ["nurse"])


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in AGE.items() if name != key}


BAD_BODIES: dict[str, tuple[Any, str]] = {
    "not JSON": (b'{"inputs": [', "not JSON"),
    "nothing": (b"", "not JSON"),
    "not an object": ([1], "'inputs'"),
    "no inputs": ({}, "'inputs'"),
    "inputs are empty": ({"inputs": []}, "'inputs'"),
    "inputs are an object": ({"inputs": {"age": 1}}, "'inputs'"),
    "an input is no object": ({"inputs": [AGE, SECRET]}, "every input must be an object with a 'name'"),
    "an input has no name": ({"inputs": [without("name")]}, "every input must be an object with a 'name'"),
    "no datatype": ({"inputs": [without("datatype")]}, "input 'age' has no 'datatype'"),
    "no shape": ({"inputs": [without("shape")]}, "input 'age' has no 'shape'"),
    "shape is no list": ({"inputs": [AGE | {"shape": 1}]}, "input 'age' has no 'shape'"),
    "shape holds text": ({"inputs": [AGE | {"shape": ["1"]}]}, "input 'age' has no 'shape' of whole numbers"),
    "shape holds true": ({"inputs": [AGE | {"shape": [True]}]}, "input 'age' has no 'shape' of whole numbers"),
    "shape is negative": ({"inputs": [AGE | {"shape": [-1]}]}, "input 'age' has no 'shape' of whole numbers"),
    "no dimension": ({"inputs": [AGE | {"shape": []}]}, "input 'age' must have the shape [N] or [N, 1]"),
    "two columns": (
        {"inputs": [AGE | {"shape": [1, 2], "data": [1, 2]}]},
        "input 'age' must have the shape [N] or [N, 1]",
    ),
    "a matrix where there are texts": (
        {"inputs": [{"name": "all", "datatype": "FP64", "shape": [1, 3], "data": [1, 2, 3]}]},
        "one matrix cannot hold all of them: column 'job' is no number",
    ),
    "three dimensions": ({"inputs": [AGE | {"shape": [1, 1, 1]}]}, "input 'age' must have the shape"),
    "no data": ({"inputs": [without("data")]}, "input 'age' has no 'data'"),
    "data is no list": ({"inputs": [AGE | {"data": SECRET}]}, "input 'age' has no 'data' list"),
    "data is short": ({"inputs": [AGE | {"shape": [3]}]}, "input 'age' has 1 values for shape [3]"),
    "data is long": ({"inputs": [AGE | {"data": [1.0, 2.0]}]}, "input 'age' has 2 values for shape [1]"),
    "nested then flat": (
        {"inputs": [AGE | {"shape": [2, 1], "data": [[1.0], 2.0]}, AMOUNT, JOB]},
        "input 'age' mixes nested and flat data",
    ),
    "flat then nested": (
        {
            "inputs": [
                AGE | {"shape": [2], "data": [1.0, [2.0]]},
                tensor("amount", "FP64", [1, 2]),
                tensor("job", "BYTES", ["nurse"] * 2),
            ]
        },
        "column 'age': must be a number, not a list",
    ),
    "twice": ({"inputs": [AGE, AMOUNT, JOB, AGE]}, "input 'age' is there twice"),
    "missing": ({"inputs": [AGE, JOB]}, "column 'amount': is missing"),
    "unknown": ({"inputs": [AGE, AMOUNT, JOB, tensor("shoe", "FP64", [44])]}, "column 'shoe': is not a column"),
    "text for a number": ({"inputs": [AGE | {"data": [SECRET]}, AMOUNT, JOB]}, "column 'age': must be a number"),
    "true for a number": ({"inputs": [AGE | {"data": [True]}, AMOUNT, JOB]}, "column 'age': must be a number"),
    "number for a text": ({"inputs": [AGE, AMOUNT, JOB | {"data": [7]}]}, "column 'job': must be a string"),
    "object for a text": ({"inputs": [AGE, AMOUNT, JOB | {"data": [{"a": 1}]}]}, "column 'job': must be a string"),
    "unknown category": ({"inputs": [AGE, AMOUNT, JOB | {"data": [SECRET]}]}, "column 'job': is a category"),
    "null where required": ({"inputs": [AGE, AMOUNT, JOB | {"data": [None]}]}, "column 'job': is required"),
    "infinite": (
        b'{"inputs": [{"name": "age", "datatype": "FP64", "shape": [1], "data": [Infinity]},'
        + orjson.dumps(AMOUNT)
        + b","
        + orjson.dumps(JOB)
        + b"]}",
        "column 'age': may not be infinite",
    ),
    "BYTES for a number": (
        {"inputs": [AGE | {"datatype": "BYTES"}, AMOUNT, JOB]},
        "input 'age' must be FP64, not BYTES",
    ),
    "BOOL for a number": (
        {"inputs": [AGE | {"datatype": "BOOL"}, AMOUNT, JOB]},
        "input 'age' must be FP64, not BOOL",
    ),
    "FP64 for a text": (
        {"inputs": [AGE, AMOUNT, JOB | {"datatype": "FP64"}]},
        "input 'job' must be BYTES, not FP64",
    ),
    "unknown datatype": (
        {"inputs": [AGE | {"datatype": "BF16"}, AMOUNT, JOB]},
        "input 'age' must be FP64, not BF16",
    ),
    "no rows": ({"inputs": [one | {"shape": [0], "data": []} for one in (AGE, AMOUNT, JOB)]}, "no rows"),
    "different rows": (
        {"inputs": [tensor("age", "FP64", [1, 2]), AMOUNT, JOB]},
        "input 'amount' has 1 rows, input 'age' has 2",
    ),
    "parameters are a list": ({"inputs": [AGE, AMOUNT, JOB], "parameters": [1]}, "'parameters' must be an object"),
    "unit is a number": ({"inputs": [AGE, AMOUNT, JOB], "parameters": {"unit": 7}}, "the unit must be a string"),
    "unit is empty": ({"inputs": [AGE, AMOUNT, JOB], "parameters": {"unit": ""}}, "the unit must be a string"),
    "unit is long": (
        {"inputs": [AGE, AMOUNT, JOB], "parameters": {"unit": "u" * 201}},
        "the unit must be a string",
    ),
    "outputs is an object": ({"inputs": [AGE, AMOUNT, JOB], "outputs": {"name": "prediction"}}, "'outputs'"),
    "outputs are texts": ({"inputs": [AGE, AMOUNT, JOB], "outputs": ["prediction"]}, "'outputs'"),
    "unknown output": ({"inputs": [AGE, AMOUNT, JOB], "outputs": [{"name": "shap"}]}, "no output 'shap'"),
    "id is a number": ({"id": 7, "inputs": [AGE, AMOUNT, JOB]}, "'id' must be a string"),
    "id is long": ({"id": "i" * 201, "inputs": [AGE, AMOUNT, JOB]}, "'id' must be a string"),
    "half a surrogate beside NaN": (
        b'{"parameters": {"unit": "\\ud800"}, "inputs": [%b, %b, {"name": "age", "datatype": "FP64", "shape": [1], '
        b'"data": [NaN]}]}' % (orjson.dumps(AMOUNT), orjson.dumps(JOB)),
        "not JSON",
    ),
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_what_is_wrong_is_400_naming_the_input_and_never_its_value(
    service: Any, credit: Any, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    service.serve(credit)
    body, words = BAD_BODIES[case]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        response = await client.post(INFER, content=content)
        assert response.status_code == 400, response.text
        assert set(response.json()) == {"error"}
        assert words in response.json()["error"]
        assert SECRET not in response.text
        assert SECRET not in caplog.text
        assert logged(service.home) == []

    service.run(scenario)


def test_a_number_too_large_for_64_bits_is_answered_and_logged_beside_nan_as_it_is_without(
    service: Any, credit: Any
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for age in (b"40", b"NaN"):
            body = b'{"instances": [{"features": {"age": %b, "amount": 1%b, "job": "nurse"}}]}' % (age, b"0" * 30)
            assert (await client.post("/predict", content=body)).status_code == 200
        assert len(logged(service.home)) == 2

    service.run(scenario)


def test_a_unit_in_a_header_that_is_not_utf8_is_400(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        headers = {"X-Fairmind-Unit": b"\xff"}
        response = await client.post(INFER, json={"inputs": [AGE, AMOUNT, JOB]}, headers=headers)
        assert (response.status_code, "X-Fairmind-Unit" in response.json()["error"]) == (400, True)

    service.run(scenario)


def test_too_many_tensors_are_413_whatever_they_are(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.serving = service.serving.model_copy(update={"max_columns": 3})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.post(INFER, json={"inputs": [AGE, AMOUNT, JOB]})).status_code == 200
        response = await client.post(INFER, json={"inputs": [AGE, AMOUNT, JOB, None]})
        assert (response.status_code, "MAX_COLUMNS" in response.json()["error"]) == (413, True)

    service.run(scenario)


def test_too_many_rows_are_413(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.serving = service.serving.model_copy(update={"max_rows": 5})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.post(
            INFER,
            json={
                "inputs": [
                    tensor("age", "FP64", [40.0] * 6),
                    tensor("amount", "FP64", [1] * 6),
                    tensor("job", "BYTES", ["nurse"] * 6),
                ]
            },
        )
        assert response.status_code == 413
        assert "MAX_ROWS" in response.json()["error"]

    service.run(scenario)
