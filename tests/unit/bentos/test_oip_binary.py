"""Open Inference Protocol with raw tensors and compressed bodies, as Triton's and KServe's clients send them."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from bentos.worker import Worker
from inference.encoded_tensors import raw_tensor
from inference.raw_texts import raw_from_texts, texts_from_raw
from monitoring.feature_table import feature_tables_of
from monitoring.predictions import BULK_ROWS
from monitoring.rows import decode

INFER = "/v2/models/credit/infer"
LENGTH = "Inference-Header-Content-Length"
SECRET = "Zaphod-Beeblebrox"


def binary(inputs: dict[str, Any], **more: Any) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request whose tensors are all raw."""
    parts = [raw_tensor(name, np.asarray(values)) for name, values in inputs.items()]
    head = orjson.dumps({"inputs": [tensor for tensor, _ in parts]} | more)
    return head + b"".join(raw for _, raw in parts), {LENGTH: str(len(head))}


def columns(credit: Any, count: int) -> dict[str, Any]:
    rows = credit.frame.head(count)
    return {"job": rows["job"].to_numpy(dtype=object), "amount": rows["amount"], "age": rows["age"]}


def outputs(response: httpx.Response) -> dict[str, np.ndarray]:
    """Return the outputs of an answer, binary ones among them, as numpy arrays."""
    assert response.status_code == 200, response.text
    length = int(response.headers.get(LENGTH, len(response.content)))
    raw = response.content[length:]
    found = {}
    for output in orjson.loads(response.content[:length])["outputs"]:
        dtype = {"FP64": "<f8", "INT64": "<i8"}[output["datatype"]]
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = np.array(output["data"], dtype=dtype)
        else:
            assert "data" not in output
            values, raw = np.frombuffer(raw[:size], dtype=dtype), raw[size:]
        found[output["name"]] = values.reshape(output["shape"])
    assert raw == b""
    return found


def test_the_extension_is_announced(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert (await client.get("/v2")).json()["extensions"] == ["binary_tensor_data", "model_repository"]

    service.run(scenario)


@pytest.mark.parametrize("rows", [1, 50, BULK_ROWS + 1])
def test_raw_tensors_are_answered_and_logged_as_json_ones_are(service: Any, credit: Any, rows: int) -> None:
    service.serve(credit)
    frame = credit.frame.sample(rows, replace=True, random_state=1)
    inputs = {name: frame[name].to_numpy(dtype=object if name == "job" else float) for name in frame}

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body, headers = binary(inputs, parameters={"binary_data_output": True})
        response = await client.post(INFER, content=body, headers=headers)
        assert response.headers["content-type"] == "application/octet-stream"
        found = outputs(response)
        np.testing.assert_array_equal(found["prediction"], credit.model.predict(frame))
        np.testing.assert_allclose(found["probabilities"], credit.model.predict_proba(frame), rtol=0, atol=1e-9)
        datatypes = {"job": "BYTES"}
        as_json = [
            {"name": name, "datatype": datatypes.get(name, "FP64"), "shape": [rows, 1], "data": values.tolist()}
            for name, values in inputs.items()
        ]
        response = await client.post(INFER, json={"inputs": as_json})
        assert response.headers["content-type"] == "application/json"
        np.testing.assert_array_equal(outputs(response)["probabilities"], found["probabilities"])

    service.run(scenario)
    lines = [line for path in (service.home / "spool").iterdir() for line in path.read_bytes().splitlines()]
    raw, json = (decode(line).rows for line in lines)
    assert raw is not None
    assert json is not None
    for line in lines:
        (table,) = feature_tables_of([line])[0].values()
        assert {name: table.column(name).to_pylist() for name in inputs} == {
            name: values.tolist() for name, values in inputs.items()
        }
    assert len(raw.predictions) == len(json.predictions) == rows


@pytest.mark.parametrize(
    ("parameters", "asked", "raw"),
    [
        ({}, None, set()),
        ({"binary_data_output": False}, None, set()),
        ({"binary_data_output": True}, None, {"prediction", "probabilities"}),
        (
            {},
            [{"name": "prediction", "parameters": {"binary_data": True}}, {"name": "probabilities"}],
            {"prediction"},
        ),
        (
            {"binary_data_output": True},
            [{"name": "prediction", "parameters": {"binary_data": False}}, {"name": "probabilities"}],
            {"probabilities"},
        ),
        ({"binary_data_output": True}, [{"name": "probabilities"}], {"probabilities"}),
    ],
)
def test_each_output_comes_raw_or_as_json_as_it_was_asked_for(
    service: Any, credit: Any, parameters: dict[str, Any], asked: Any, raw: set[str]
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body, headers = binary(columns(credit, 3), parameters=parameters, outputs=asked)
        response = await client.post(INFER, content=body, headers=headers)
        found = outputs(response)
        assert set(found) == ({output["name"] for output in asked} if asked else {"prediction", "probabilities"})
        answer = orjson.loads(response.content[: int(response.headers.get(LENGTH, len(response.content)))])
        sizes = {
            output["name"] for output in answer["outputs"] if "binary_data_size" in output.get("parameters", {})
        }
        assert sizes == raw
        assert (LENGTH in response.headers) == bool(raw)

    service.run(scenario)


def test_json_and_raw_tensors_may_be_mixed(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        given = columns(credit, 2)
        amount, raw = raw_tensor("amount", given["amount"].to_numpy())
        job = {"name": "job", "datatype": "BYTES", "shape": [2], "data": list(given["job"])}
        age = {"name": "age", "datatype": "FP64", "shape": [2], "data": list(given["age"])}
        head = orjson.dumps({"inputs": [job, amount, age]})
        response = await client.post(INFER, content=head + raw, headers={LENGTH: str(len(head))})
        expected = credit.model.predict_proba(credit.frame.head(2))
        np.testing.assert_allclose(outputs(response)["probabilities"], expected, rtol=0, atol=1e-9)

    service.run(scenario)


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
        ("deflate", zlib.compress),
        ("deflate", lambda body: zlib.compress(body, wbits=-15)),
        ("identity", bytes),
    ],
)
def test_compressed_bodies_are_read(service: Any, credit: Any, encoding: str, compress: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body, headers = binary(columns(credit, 4))
        headers["Content-Encoding"] = encoding
        response = await client.post(INFER, content=compress(body), headers=headers)
        expected = credit.model.predict_proba(credit.frame.head(4))
        np.testing.assert_allclose(outputs(response)["probabilities"], expected, rtol=0, atol=1e-9)

    service.run(scenario)


def test_what_a_small_body_becomes_counts_against_the_limit(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.serving = service.serving.model_copy(update={"max_body_bytes": 100_000})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for content in (gzip.compress(bytes(10_000_000)), gzip.compress(bytes(99_000)) * 2):
            assert len(content) < 100_000
            response = await client.post(INFER, content=content, headers={"Content-Encoding": "gzip"})
            assert (response.status_code, "MAX_BODY_BYTES" in response.json()["error"]) == (413, True)

    service.run(scenario)


@pytest.mark.parametrize(
    ("encoding", "content", "status", "words"),
    [
        ("br", b"{}", 415, "gzip and deflate"),
        ("gzip, gzip", b"{}", 415, "gzip and deflate"),
        ("gzip", b"{}", 400, "not gzip"),
        ("gzip", gzip.compress(b"{}" * 50, mtime=0)[:-9], 400, "cut short"),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"rest", 400, "not gzip"),
        ("deflate", b"\xff\xff", 400, "not deflate"),
        ("gzip", b"", 400, "not JSON"),
    ],
)
def test_a_body_that_is_not_what_its_encoding_says_is_refused(
    service: Any, credit: Any, encoding: str, content: bytes, status: int, words: str
) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.post(INFER, content=content, headers={"Content-Encoding": encoding})
        assert (response.status_code, words in response.json()["error"]) == (status, True), response.text

    service.run(scenario)


def one(**changes: Any) -> dict[str, Any]:
    return {"name": "age", "datatype": "FP64", "shape": [1], "parameters": {"binary_data_size": 8}} | changes


JOB = {"name": "job", "datatype": "BYTES", "shape": [1], "data": ["nurse"]}
AMOUNT = {"name": "amount", "datatype": "FP64", "shape": [1], "data": [2500.0]}
AGE = np.array([40.0]).tobytes()
WRONG: dict[str, tuple[dict[str, Any], bytes, str]] = {
    "too few bytes": (one(), AGE[:7], "input 'age' has more bytes than the body has left"),
    "too many bytes": (one(), AGE + b"\0", "1 bytes that belong to no input"),
    "another size than the shape's": (one(shape=[2]), AGE, "input 'age' has 8 bytes, FP64 of shape [2] has 16"),
    "a negative size": (one(parameters={"binary_data_size": -1}), AGE, "'binary_data_size' of input 'age'"),
    "a size that is text": (one(parameters={"binary_data_size": "8"}), AGE, "'binary_data_size' of input 'age'"),
    "a size that is true": (one(parameters={"binary_data_size": True}), AGE, "'binary_data_size' of input 'age'"),
    "parameters are a list": (one(parameters=[8]), AGE, "the 'parameters' of input 'age' must be an object"),
    "data as well": (one(data=[40.0]), AGE, "input 'age' has both 'data' and 'binary_data_size'"),
    "data is null": (one(parameters={}, data=None), b"", "input 'age' has no 'data' list"),
    "an unknown datatype": (one(datatype="BF16"), AGE, "input 'age' has the unknown datatype BF16"),
    "text for a number": (
        one(datatype="BYTES", parameters={"binary_data_size": 4 + len(SECRET)}),
        raw_from_texts([SECRET]),
        "input 'age' must be FP64, not BYTES",
    ),
    "infinite": (one(), np.array([np.inf]).tobytes(), "column 'age': may not be infinite"),
}


@pytest.mark.parametrize("case", WRONG)
def test_raw_bytes_that_do_not_fit_are_400_naming_the_input(
    service: Any, credit: Any, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    service.serve(credit)
    tensor, raw, words = WRONG[case]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        head = orjson.dumps({"inputs": [tensor, JOB, AMOUNT]})
        response = await client.post(INFER, content=head + raw, headers={LENGTH: str(len(head))})
        assert (response.status_code, set(response.json())) == (400, {"error"}), response.text
        assert words in response.json()["error"]
        assert SECRET not in response.text + caplog.text

    service.run(scenario)


@pytest.mark.parametrize("length", ["", "0", "-1", "ten", "1e2", "99999", "9" * 400, "²"])
def test_a_header_length_that_is_none_is_400(service: Any, credit: Any, length: str) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body, _ = binary(columns(credit, 1))
        response = await client.post(INFER, content=body, headers={LENGTH: length.encode()})
        assert (response.status_code, LENGTH in response.json()["error"]) == (400, True), response.text

    service.run(scenario)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"parameters": {"binary_data_output": "yes"}}, "'binary_data_output' must be true or false"),
        ({"outputs": [{"name": "prediction", "parameters": {"binary_data": 1}}]}, "'binary_data' must be true"),
        ({"outputs": [{"name": "prediction", "parameters": [1]}]}, "'parameters' of output 'prediction'"),
    ],
)
def test_outputs_asked_for_in_another_way_are_400(service: Any, credit: Any, more: Any, words: str) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body, headers = binary(columns(credit, 1), **more)
        response = await client.post(INFER, content=body, headers=headers)
        assert (response.status_code, words in response.json()["error"]) == (400, True), response.text

    service.run(scenario)


def test_an_empty_tensor_whose_data_is_null_has_no_rows(service: Any, credit: Any) -> None:
    """KServe's client writes null for it."""
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        inputs = [tensor | {"shape": [0], "data": None, "parameters": None} for tensor in (one(), JOB, AMOUNT)]
        response = await client.post(INFER, json={"inputs": inputs})
        assert (response.status_code, "no rows" in response.json()["error"]) == (400, True), response.text

    service.run(scenario)


def test_mlservers_content_types_are_taken(service: Any, credit: Any) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        answers = []
        for job in (
            JOB | {"parameters": {"content_type": "str"}},
            JOB | {"parameters": {"content_type": "base64"}, "data": ["bnVyc2U="]},
        ):
            age = one(data=[40.0], parameters={"content_type": "np"})
            answers.append(outputs(await client.post(INFER, json={"inputs": [age, AMOUNT, job]})))
        assert answers[0].keys() == answers[1].keys()
        np.testing.assert_array_equal(answers[0]["probabilities"], answers[1]["probabilities"])

    service.run(scenario)


def test_labels_that_are_texts_travel_as_raw_strings(service: Any, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    from compilation.compile import compile_model
    from tests.fakes.pipelines import fitted, labels, people

    frame = people(missing=False)
    names = np.array(["schlecht", "gut", "weiß nicht"], dtype=object)
    model = fitted(LogisticRegression(), frame, names[labels(frame, 3)])
    compile_model(model, frame).save(tmp_path / "model" / "fairmind")
    service.serve(tmp_path / "model")

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        inputs = {
            name: frame[name].to_numpy(dtype=object if name in {"city", "job"} else frame[name].dtype)
            for name in frame
        }
        body, headers = binary(inputs, outputs=[{"name": "prediction"}], parameters={"binary_data_output": True})
        response = await client.post(INFER, content=body, headers=headers)
        assert response.status_code == 200, response.text
        length = int(response.headers[LENGTH])
        (output,) = orjson.loads(response.content[:length])["outputs"]
        assert (output["datatype"], output["shape"]) == ("BYTES", [len(frame)])
        found = texts_from_raw(response.content[length:], len(frame), "prediction").array()
        np.testing.assert_array_equal(found, model.predict(frame))

    service.run(scenario)
