"""Bodies that are not what they say they are: a 4xx in the protocol's shape, and nothing logged."""

from __future__ import annotations

import gzip
import struct
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from bentos.worker import Worker
from inference.raw_texts import raw_from_texts
from tests.unit.bentos.strict_model import (
    INFER,
    LENGTH,
    PREDICT,
    SECRET,
    binary_body,
    logged,
    rows_body,
    said,
    tensors_body,
)

# ---- raw bytes that are not what they say ----

TWO = {"parameters": {"binary_data_size": 18}}
NURSES = raw_from_texts(["nurse"] * 2)
RAW_BYTES: dict[str, tuple[dict[str, bytes], dict[str, dict[str, Any]], str]] = {
    "a text's length runs past the end": ({"job": NURSES[:9] + struct.pack("<I", 6) + b"nurse"}, {}, "input 'job'"),
    "a text's length is 4 GB": ({"job": NURSES[:9] + b"\xff\xff\xff\xffnurse"}, {}, "input 'job'"),
    "the last text is cut short": ({"job": NURSES[:-1]}, {}, "input 'job'"),
    "the last text has no bytes at all": ({"job": NURSES[:9] + b"\x05\0\0\0"}, {}, "input 'job'"),
    "half a length": ({"job": NURSES[:11]}, {}, "input 'job'"),
    "bytes after the last text": ({"job": NURSES + b"\0"}, {}, "input 'job'"),
    "a text too many": ({"job": raw_from_texts(["nurse"] * 3)}, {}, "input 'job'"),
    "a text too few": ({"job": NURSES[:9]}, {}, "input 'job'"),
    "only zeros": ({"job": bytes(18)}, {}, "'job'"),
    "no UTF-8": ({"job": NURSES[:13] + b"\xff\xfe\xff\xfe\xff"}, {}, "input 'job', row 1: is not UTF-8"),
    "half a surrogate pair": ({"job": NURSES[:9] + b"\x03\0\0\0\xed\xa0\x80"}, {}, "input 'job', row 1"),
    "a truth value of 2": ({"member": b"\x01\x02"}, {}, "input 'member' is BOOL"),
    "a truth value of 255": ({"member": b"\xff\x01"}, {}, "input 'member' is BOOL"),
    "a number cut short": ({"age": bytes(15)}, {}, "input 'age' has 15 bytes"),
    "no bytes at all": ({"age": b""}, {}, "input 'age' has 0 bytes"),
    "a size beyond the body": ({}, {"job": {"parameters": {"binary_data_size": 10**18}}}, "more bytes than"),
    "a size beyond 64 bits": ({}, {"job": {"parameters": {"binary_data_size": 2**64 - 1}}}, "more bytes than"),
    "a size that is a float": ({}, {"job": {"parameters": {"binary_data_size": 18.0}}}, "'binary_data_size'"),
    "a size of the tensor before": ({}, {"age": {"parameters": {"binary_data_size": 17}}}, "input 'age' has 17"),
    "texts as numbers": ({}, {"job": {"datatype": "FP64"}}, "input 'job' has 18 bytes"),
    "numbers as texts": ({}, {"age": {"datatype": "BYTES"}}, "'age'"),
    "as many rows as no memory holds": ({}, {"age": {"shape": [2**62]}}, "input 'age' has 16 bytes"),
    "as many texts as no memory holds": ({}, {"job": {"shape": [2**62]}}, "input 'job' does not hold"),
    "a product beyond 64 bits": ({}, {"age": {"shape": [2**40, 2**40]}}, "input 'age' has 16 bytes"),
    "no rows and bytes": ({}, {"age": {"shape": [0]}}, "input 'age' has 16 bytes"),
    "no rows of one column": ({"age": b""}, {"age": {"shape": [0]}}, "input 'count' has 2 rows, input 'age' has 0"),
    "a column of two": ({"age": bytes(32)}, {"age": {"shape": [2, 2]}}, "input 'age' must have the shape"),
}


@pytest.mark.parametrize("case", RAW_BYTES)
def test_raw_bytes_that_are_not_what_they_say_are_refused_naming_the_input(serving: Any, case: str) -> None:
    raw, changed, words = RAW_BYTES[case]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body, headers = binary_body(2, raw, **changed)
        message = said(await client.post(INFER, content=body, headers=headers), INFER, 400)
        assert words in message, message
        assert logged(serving.home) == []

    serving.run(scenario)


@pytest.mark.parametrize("off", [-200, -1, 1, 7])
def test_a_header_length_that_is_off_is_400(serving: Any, off: int) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body, headers = binary_body(2)
        headers[LENGTH] = str(int(headers[LENGTH]) + off)
        assert "not JSON" in said(await client.post(INFER, content=body, headers=headers), INFER, 400)
        del headers[LENGTH]
        assert "not JSON" in said(await client.post(INFER, content=body, headers=headers), INFER, 400)
        assert logged(serving.home) == []

    serving.run(scenario)


def test_no_rows_in_raw_tensors_are_no_rows(serving: Any) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        body, headers = binary_body(0)
        assert "no rows" in said(await client.post(INFER, content=body, headers=headers), INFER, 400)

    serving.run(scenario)


# ---- one matrix for all columns ----

MATRICES: dict[str, tuple[dict[str, Any], str]] = {
    "a column short": ({"shape": [2, 1], "data": [1, 2]}, "input 'all' has 1 columns, this model 2"),
    "a column long": ({"shape": [1, 3], "data": [1, 2, 3]}, "input 'all' has 3 columns, this model 2"),
    "no column": ({"shape": [2, 0], "data": []}, "input 'all' has 0 columns, this model 2"),
    "ragged": ({"data": [[1, 2], [3]]}, "input 'all'"),
    "ragged with the right sum": ({"data": [[1, 2, 3], [4]]}, "input 'all'"),
    "too deep": ({"data": [[[1, 2]], [[3, 4]]]}, "rows that do not have 2 values"),
    "text in it": ({"data": [[1, 2], [3, SECRET]]}, "row 1, column 'count': must be a number"),
    "of texts": ({"datatype": "BYTES", "data": ["1", "2", "3", "4"]}, "input 'all' must be FP64, not BYTES"),
    "of truth values": ({"datatype": "BOOL", "data": [True] * 4}, "input 'all' must be FP64, not BOOL"),
    "no rows": ({"shape": [0, 2], "data": []}, "no rows"),
}


@pytest.mark.parametrize("case", MATRICES)
def test_a_matrix_that_does_not_fit_is_refused(serving: Any, case: str, caplog: pytest.LogCaptureFixture) -> None:
    changes, words = MATRICES[case]
    path = "/v2/models/numbers/infer"

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        good = {"name": "all", "datatype": "FP64", "shape": [2, 2], "data": [[1, 2], [3, 4]]}
        assert (await client.post(path, json={"inputs": [good]})).status_code == 200
        message = said(await client.post(path, json={"inputs": [good | changes]}), path, 400)
        assert words in message, message
        assert SECRET not in message + caplog.text
        assert len(logged(serving.home)) == 1

    serving.run(scenario)


# ---- bodies that are nothing at all, or too much ----

DEEP = 200_000
BODIES: dict[str, bytes] = {
    "nothing": b"",
    "a space": b" ",
    "a zero byte": b"\0",
    "no UTF-8": b'{"instances": "\xff\xfe", "inputs": "\xff\xfe"}',
    "UTF-16": '{"instances": []}'.encode("utf-16"),
    "half a surrogate pair": b'{"instances": [{"features": {"job": "\\ud800"}}]}',
    "the other half": b'{"inputs": [{"name": "job", "data": ["\\udfff"]}]}',
    "two values": b"{} {}",
    "a comma at the end": b'{"instances": [],}',
    "lists to the bottom of the sea": b"[" * DEEP,
    "lists there and back": b"[" * DEEP + b"]" * DEEP,
    "lists there and back beside NaN": b"[NaN, " + b"[" * DEEP + b"]" * DEEP + b"]",
    "objects there and back": b'{"instances":' * DEEP + b"1" + b"}" * DEEP,
    "deep features": b'{"instances": [{"features": {"age": ' + b"[" * DEEP + b"NaN" + b"]" * DEEP + b"}}]}",
    "an exponent that never ends": b'{"instances": 1e' + b"9" * 4_000 + b"}",
    "form data": b"instances=1&model=strict",
}


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_a_body_that_is_no_request_is_400(serving: Any, path: str, case: str) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        said(await client.post(path, content=BODIES[case]), path, 400)
        assert logged(serving.home) == []

    serving.run(scenario)


@pytest.mark.parametrize("digits", [400, 5_000, 100_000])
@pytest.mark.parametrize("beside", [b"41.5", b"NaN"])
def test_a_number_of_very_many_digits_is_a_4xx(serving: Any, digits: int, beside: bytes) -> None:
    """NaN sends a body to Python's own parser, which has bounds and numbers of its own."""
    number = b"8675309" * (digits // 7)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for path, make in ((PREDICT, rows_body), (INFER, tensors_body)):
            for column in ("count", "age"):
                other = "age" if column == "count" else "count"
                body = make(0, 1, column, number).replace(b":41.5" if other == "age" else b":3", b":" + beside, 1)
                assert "8675309" not in said(await client.post(path, content=body), path)
        assert logged(serving.home) == []

    serving.run(scenario)


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_a_body_over_the_limit_is_refused_when_it_is_declared_and_where_it_is_not_once_it_has_come_so_far(
    serving: Any, path: str
) -> None:
    serving.serving = serving.serving.model_copy(update={"max_body_bytes": 10_000})
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1_000_000:
            sent += 1_000
            yield b" " * 1_000

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        assert "MAX_BODY_BYTES" in said(await client.post(path, content=b" " * 10_001), path, 413)
        assert "MAX_BODY_BYTES" in said(await client.post(path, content=endless()), path, 413)
        bomb = gzip.compress(bytes(5_000_000))
        headers = {"Content-Encoding": "gzip"}
        said(await client.post(path, content=bomb, headers=headers), path)
        assert logged(serving.home) == []

    serving.run(scenario)


@pytest.mark.parametrize("path", ["/v2/models/%ff/infer", "/v2/models/x%2Fy/infer", "/v2/models//infer"])
def test_a_path_that_names_no_model_is_404(serving: Any, path: str) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        said(await client.post(path, content=tensors_body(0, 1, "age", b"1")), path, 404)

    serving.run(scenario)
