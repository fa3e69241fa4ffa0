"""What no client should send, by every protocol: a 4xx that names the place, no value anywhere, nothing logged."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bentos.worker import Worker
from inference.compile import compile_model
from inference.raw_texts import raw_from_texts
from monitoring.predictions import BULK_ROWS

PREDICT, INFER = "/predict", "/v2/models/strict/infer"
LENGTH = "Inference-Header-Content-Length"
SECRET = "Zaphod-Beeblebrox"
GOOD: dict[str, Any] = {"age": 41.5, "count": 3, "member": True, "job": "nurse"}
DATATYPES = {"age": "FP64", "count": "INT64", "member": "BOOL", "job": "BYTES"}
DTYPES = {"age": "<f8", "count": "<i8", "member": "?"}
PLACE = "@here@"


@dataclass(frozen=True)
class Strict:
    """A model with a column of each type, none of which may be missing, and one of numbers alone."""

    folder: Path
    numbers: Path


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Strict:
    folder = tmp_path_factory.mktemp("strict")
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": random.normal(40, 10, 300),
            "count": random.integers(0, 9, 300),
            "member": random.random(300) < 0.5,
            "job": random.choice(["nurse", "smith"], 300),
        }
    ).astype({"job": "str"})
    label = (frame["age"] + frame["count"] > 44).astype(int)
    steps = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age", "count"]),
            ("flags", OneHotEncoder(drop="if_binary"), ["member"]),
            ("texts", OneHotEncoder(handle_unknown="error"), ["job"]),
        ]
    )
    model = make_pipeline(steps, LogisticRegression()).fit(frame, label)
    compile_model(model, frame).save(folder / "strict" / "fairmind")
    numbers = frame[["age", "count"]].astype(float)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, label)
    compile_model(model, numbers).save(folder / "numbers" / "fairmind")
    return Strict(folder / "strict", folder / "numbers")


@pytest.fixture
def serving(service: Any, strict: Strict) -> Any:
    service.serve(strict.folder, model="strict")
    service.serve(strict.numbers, model="numbers")
    return service


def logged(home: Path) -> list[bytes]:
    return [line for path in sorted((home / "spool").glob("*")) for line in path.read_bytes().splitlines()]


def with_value(body: Any, value: bytes) -> bytes:
    """Return a body as JSON with `value`, which need not be JSON, in the place held for it."""
    return orjson.dumps(body).replace(f'"{PLACE}"'.encode(), value)


def rows_body(row: int, rows: int, column: str, value: bytes) -> bytes:
    instances = [{"features": dict(GOOD)} for _ in range(rows)]
    instances[row]["features"][column] = PLACE
    return with_value({"model": "strict", "instances": instances}, value)


def tensors_body(row: int, rows: int, column: str, value: bytes) -> bytes:
    data = {name: [good] * rows for name, good in GOOD.items()}
    data[column][row] = PLACE
    inputs = [
        {"name": name, "datatype": DATATYPES[name], "shape": [rows], "data": values}
        for name, values in data.items()
    ]
    return with_value({"inputs": inputs}, value)


def raw_of(column: str, values: list[Any]) -> bytes:
    return raw_from_texts(values) if column == "job" else np.array(values, dtype=DTYPES[column]).tobytes()


def binary_body(
    rows: int, raw: dict[str, bytes] | None = None, **changed: dict[str, Any]
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a raw request, with other bytes or another head for some of its tensors."""
    raws = {name: raw_of(name, [good] * rows) for name, good in GOOD.items()} | (raw or {})
    inputs = [
        {
            "name": name,
            "datatype": DATATYPES[name],
            "shape": [rows],
            "parameters": {"binary_data_size": len(raws[name])},
        }
        | changed.get(name, {})
        for name in GOOD
    ]
    head = orjson.dumps({"inputs": inputs})
    return head + b"".join(raws.values()), {LENGTH: str(len(head))}


def said(response: httpx.Response, path: str, status: int = 0) -> str:
    """Return the message of a refusal, which must have the shape that the route's protocol gives it."""
    assert 400 <= response.status_code < 500, (response.status_code, response.text)
    assert not status or response.status_code == status, response.text
    error = response.json()["error"]
    if path.endswith("/infer"):
        assert set(response.json()) == {"error"}
        assert type(error) is str
        return str(error)
    assert set(error) == {"code", "message", "request_id"}
    return str(error["message"])


def test_what_is_good_is_answered(serving: Any) -> None:
    """Without this nothing below would mean anything."""

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for rows in (1, 3):
            assert (await client.post(PREDICT, content=rows_body(0, rows, "age", b"41.5"))).status_code == 200
            assert (await client.post(INFER, content=tensors_body(0, rows, "age", b"41.5"))).status_code == 200
            body, headers = binary_body(rows)
            assert (await client.post(INFER, content=body, headers=headers)).status_code == 200
        assert len(logged(serving.home)) == 6

    serving.run(scenario)


# ---- values that do not fit their column ----

QUOTED = f'"{SECRET}"'.encode()
VALUES: dict[str, tuple[str, bytes, str]] = {
    "NaN where none may be missing": ("age", b"NaN", "is required and may not be NaN"),
    "null where none may be missing": ("age", b"null", "is required and may not be null"),
    "infinity": ("age", b"Infinity", "may not be infinite"),
    "minus infinity": ("age", b"-Infinity", "may not be infinite"),
    "a number that no sum survives": ("age", b"-8675309e200", "is too large for a number"),
    "true for a number": ("age", b"true", "must be a number, not true/false"),
    "text for a number": ("age", QUOTED, "must be a number, not a string"),
    "a list for a number": ("age", b"[41.5]", "must be a number, not a list"),
    "an object for a number": ("age", b'{"a": 41.5}', "must be a number, not an object"),
    "a fraction for an integer": ("count", b"8675309.5", "must be an integer, not a number"),
    "an integer beyond 64 bits": ("count", b"9223372036854775808", "does not fit "),
    "an integer far beyond 64 bits": ("count", b"8675309" + b"0" * 30, "must be an integer, not a number"),
    "NaN for an integer": ("count", b"NaN", "must be an integer, not a number"),
    "null for an integer": ("count", b"null", "is required and may not be null"),
    "text for an integer": ("count", b'"3"', "must be an integer, not a string"),
    "a number for a truth value": ("member", b"8675309", "must be true or false, not a number"),
    "text for a truth value": ("member", b'"true"', "must be true or false, not a string"),
    "null for a truth value": ("member", b"null", "is required and may not be null"),
    "a number for a text": ("job", b"8675309", "must be a string, not a number"),
    "null for a text": ("job", b"null", "is required and may not be null"),
    "a list for a text": ("job", b"[" + QUOTED + b"]", "must be a string, not a list"),
    "a category nobody knows": ("job", QUOTED, "is a category the model does not know"),
    "a known category and a zero byte": ("job", b'"nurse\\u0000"', "is a category the model does not know"),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_that_does_not_fit_is_refused_by_row_and_column_however_it_is_sent_and_among_however_many(
    serving: Any, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    column, value, words = VALUES[case]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for row, rows in ((0, 1), (2, 3), (BULK_ROWS + 1, BULK_ROWS + 2)):
            for path, body in (
                (PREDICT, rows_body(row, rows, column, value)),
                (INFER, tensors_body(row, rows, column, value)),
            ):
                message = said(await client.post(path, content=body), path, 422 if path == PREDICT else 400)
                assert message.startswith(f"row {row}, column '{column}': "), message
                assert words in message
                assert SECRET not in message
                assert "8675309" not in message
        assert SECRET not in caplog.text
        assert "8675309" not in caplog.text
        assert logged(serving.home) == []

    serving.run(scenario)


RAW_VALUES: dict[str, tuple[str, Any, str]] = {
    "NaN": ("age", np.nan, "is required and may not be NaN"),
    "infinity": ("age", -np.inf, "may not be infinite"),
    "a number that no sum survives": ("age", 8675309e200, "is too large for a number"),
    "a category nobody knows": ("job", SECRET, "is a category the model does not know"),
    "an empty text": ("job", "", "is a category the model does not know"),
    "a text of half a megabyte": ("job", SECRET * 30_000, "is a category the model does not know"),
}


@pytest.mark.parametrize("case", RAW_VALUES)
def test_a_raw_value_that_does_not_fit_is_refused_by_row_and_column(
    serving: Any, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    column, value, words = RAW_VALUES[case]

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for row, rows in ((0, 1), (2, 3), (BULK_ROWS + 1, BULK_ROWS + 2)):
            values = [GOOD[column]] * rows
            values[row] = value
            body, headers = binary_body(rows, {column: raw_of(column, values)})
            message = said(await client.post(INFER, content=body, headers=headers), INFER, 400)
            assert message == f"row {row}, column '{column}': {words}"
        assert SECRET not in caplog.text
        assert logged(serving.home) == []

    serving.run(scenario)


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
    "too deep": ({"data": [[[1, 2]], [[3, 4]]]}, "column 'age'"),
    "text in it": ({"data": [[1, 2], [3, SECRET]]}, "row 1, column 'count': must be a number"),
    "of texts": ({"datatype": "BYTES", "data": ["1", "2", "3", "4"]}, "input 'all' must be FP64, not BYTES"),
    "of truth values": ({"datatype": "BOOL", "data": [True] * 4}, "input 'all' must be FP64, not BOOL"),
    "no rows": ({"shape": [0, 2], "data": []}, "no rows"),
}


@pytest.mark.parametrize("case", MATRICES)
def test_a_matrix_that_does_not_fit_is_refused(
    serving: Any, case: str, caplog: pytest.LogCaptureFixture
) -> None:
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
                body = make(0, 1, column, number).replace(
                    b":41.5" if other == "age" else b":3", b":" + beside, 1
                )
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


@pytest.mark.parametrize("path", ["/v2/models/%ff/infer", "/v2/models/x%2Fy/infer", "/v2/models//infer", "/v2/x/infer"])
def test_a_path_that_names_no_model_is_404(serving: Any, path: str) -> None:
    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        said(await client.post(path, content=tensors_body(0, 1, "age", b"1")), path, 404)

    serving.run(scenario)


# ---- anything at all ----

Ask = Callable[[str, bytes, dict[str, str]], httpx.Response]
FUZZ = settings(
    max_examples=150,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    database=None,
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([SECRET, "strict", "\ud800", "\0", "FP64", "BYTES", "-1", 1e308, 2**63, 2**64]),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
PREDICT_BODY: dict[str, Any] = {
    "model": "strict",
    "instances": [
        {"features": GOOD, "unit": "u-1", "protected": {"sex": "f"}, "id": "mine"},
        {"features": GOOD | {"job": "smith"}},
    ],
}
INFER_BODY: dict[str, Any] = {
    "id": "mine",
    "parameters": {"unit": "u-1", "binary_data_output": False},
    "inputs": [
        {"name": name, "datatype": DATATYPES[name], "shape": [2], "data": [good, good], "parameters": {}}
        for name, good in GOOD.items()
    ],
    "outputs": [{"name": "prediction", "parameters": {"binary_data": True}}],
}


def places(body: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value in a body."""
    if above:
        yield above
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in inner:
        yield from places(value, (*above, key))


@st.composite
def changed(draw: st.DrawFn, body: dict[str, Any]) -> bytes:
    """Draw the body with one to three values replaced, left out or moved."""
    made = copy.deepcopy(body)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(list(places(made))))
        holder = made
        for key in way:
            holder = holder[key]
        match draw(st.sampled_from(["replace", "remove", "double"])):
            case "replace":
                holder[last] = draw(ANYTHING)
            case "remove":
                del holder[last]
            case "double" if isinstance(holder, list):
                holder.append(copy.deepcopy(holder[last]))
            case _:
                holder[draw(st.text(max_size=5))] = copy.deepcopy(holder[last])
    return json.dumps(made).encode()


@st.composite
def bent(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw the bytes with some of them changed, cut out or put in."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(made)))
        match draw(st.sampled_from(["change", "cut", "insert"])):
            case "change" if at < len(made):
                made[at] = draw(st.integers(0, 255))
            case "cut":
                del made[at : at + draw(st.integers(1, 30))]
            case _:
                made[at:at] = draw(st.binary(max_size=8))
    return bytes(made)


def fuzz(serving: Any, attack: Callable[[Ask], None]) -> None:
    """Run an attack against a served model; whatever it sends, no answer is a 5xx and no exception comes out."""

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        loop = asyncio.get_running_loop()

        def ask(path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
            sending: Coroutine[Any, Any, httpx.Response] = client.post(path, content=body, headers=headers)
            response = asyncio.run_coroutine_threadsafe(sending, loop).result(60)
            if response.status_code != 200:
                said(response, path)
            return response

        # Hypothesis calls plain functions: they run beside the loop and hand it what they send.
        await asyncio.to_thread(attack, ask)
        good = await client.post(PREDICT, content=rows_body(0, 1, "age", b"41.5"))
        assert good.status_code == 200

    serving.run(scenario)


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_random_bytes_are_never_a_5xx(serving: Any, path: str) -> None:
    def attack(ask: Ask) -> None:
        @FUZZ
        @given(st.binary(max_size=300), st.sampled_from([None, "0", "5", "300", "x"]))
        def sent(body: bytes, length: str | None) -> None:
            ask(path, body, {} if length is None else {LENGTH: length})

        sent()

    fuzz(serving, attack)


@pytest.mark.parametrize(("path", "body"), [(PREDICT, PREDICT_BODY), (INFER, INFER_BODY)])
def test_a_good_body_with_some_of_it_replaced_is_never_a_5xx(
    serving: Any, path: str, body: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def attack(ask: Ask) -> None:
        assert ask(path, orjson.dumps(body), {}).status_code == 200

        @FUZZ
        @given(changed(body))
        def sent(content: bytes) -> None:
            ask(path, content, {})

        sent()

    fuzz(serving, attack)
    assert SECRET not in caplog.text


def test_a_raw_body_with_some_bytes_changed_is_never_a_5xx(serving: Any) -> None:
    content, headers = binary_body(3)
    length = int(headers[LENGTH])

    def attack(ask: Ask) -> None:
        assert ask(INFER, content, headers).status_code == 200

        @FUZZ
        @given(bent(content[:length]), st.just(content[length:]) | bent(content[length:]), st.integers(-1, 1))
        def sent(head: bytes, raw: bytes, off: int) -> None:
            ask(INFER, head + raw, {LENGTH: str(len(head) + off)})

        @FUZZ
        @given(bent(content[length:]))
        def sent_with_a_good_head(raw: bytes) -> None:
            ask(INFER, content[:length] + raw, headers)

        sent()
        sent_with_a_good_head()

    fuzz(serving, attack)


def test_a_value_shows_in_no_answer_and_no_log_line_wherever_it_is_put(
    serving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Names (of columns, models, outputs, datatypes) are quoted: they are no values."""
    named = {"model", "name", "datatype"}

    def attack(ask: Ask) -> None:
        for path, body in ((PREDICT, PREDICT_BODY), (INFER, INFER_BODY)):
            for way in places(body):
                for secret in (SECRET, [SECRET], {"a": SECRET}):
                    if way[-1] in named:
                        continue
                    made = copy.deepcopy(body)
                    holder: Any = made
                    for key in way[:-1]:
                        holder = holder[key]
                    holder[way[-1]] = secret
                    response = ask(path, orjson.dumps(made), {})
                    # A client's own `id` comes back to it, as the protocol says.
                    assert SECRET not in response.text or way == ("id",), (way, response.text)

    fuzz(serving, attack)
    assert SECRET not in caplog.text
