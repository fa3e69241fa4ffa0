"""Bodies as they come: compressed, and with numbers that JSON has no word for, large ones beside the event loop."""

from __future__ import annotations

import asyncio
import gzip
import math
import threading
import zlib
from typing import Any

import httpx
import orjson
import pytest

from bentos.wire import decoded, parse_json
from bentos.worker import Worker

PREDICT, INFER = "/predict", "/v2/models/credit/infer"
COMPRESSED = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "Identity": bytes}


@pytest.mark.parametrize("encoding", COMPRESSED)
def test_predict_reads_compressed_bodies(service: Any, credit: Any, encoding: str) -> None:
    service.serve(credit)
    content = COMPRESSED[encoding](orjson.dumps({"instances": credit.instances(3)}))

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.post(PREDICT, content=content, headers={"Content-Encoding": encoding})
        assert response.status_code == 200, response.text
        found = [one["probability"] for one in response.json()["predictions"]]
        assert found == pytest.approx(credit.probabilities(3), abs=1e-9)

    service.run(scenario)


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_an_encoding_that_is_not_taken_is_415_and_says_which_are(service: Any, credit: Any, path: str) -> None:
    service.serve(credit)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        for encoding in ("br", "zstd", "gzip, gzip"):
            response = await client.post(path, content=b"{}", headers={"Content-Encoding": encoding})
            assert (response.status_code, "gzip and deflate" in response.text) == (415, True), response.text

    service.run(scenario)


def test_what_a_small_body_of_predict_becomes_counts_against_the_limit(service: Any, credit: Any) -> None:
    service.serve(credit)
    service.serving = service.serving.model_copy(update={"max_body_bytes": 100_000})

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        content = gzip.compress(bytes(10_000_000))
        response = await client.post(PREDICT, content=content, headers={"Content-Encoding": "gzip"})
        assert (response.status_code, "MAX_BODY_BYTES" in response.text) == (413, True)

    service.run(scenario)


def test_a_large_body_that_python_s_own_parser_reads_holds_nobody_up() -> None:
    threads: list[str] = []

    def decode(body: bytes) -> Any:
        threads.append(threading.current_thread().name)
        return parse_json(body)

    numbers = b"1.5, -7, " * 200_000
    small, large, plain = b"[NaN, 1]", b"[" + numbers + b"-Infinity, NaN]", b"[" + numbers + b"2]"
    loop = threading.current_thread().name
    for body, is_beside in ((small, False), (plain, False), (large, True)):
        value = asyncio.run(decoded(body, decode, body))
        assert (threads.pop() != loop) is is_beside
        assert len(value) == body.count(b",") + 1
    assert value[:2] == [1.5, -7]
    assert value[-2] == -math.inf
    assert math.isnan(value[-1])


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_a_large_body_with_bare_nan_is_answered_like_a_small_one(
    service: Any, credit: Any, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.serve(credit)
    monkeypatch.setattr("bentos.wire._LARGE", 100)
    rows = credit.frame.head(40)
    missing = rows.assign(age=[math.nan, *rows["age"][1:]])
    if path == PREDICT:
        body: dict[str, Any] = {"instances": [{"features": row} for row in missing.to_dict("records")]}
    else:
        kinds = {"age": "FP64", "amount": "FP64", "job": "BYTES"}
        body = {
            "inputs": [
                {"name": name, "datatype": kinds[name], "shape": [40], "data": missing[name].tolist()}
                for name in kinds
            ]
        }
    content = orjson.dumps(body).replace(b"null", b"NaN")
    assert content.count(b"NaN") == 1

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        response = await client.post(path, content=content)
        assert response.status_code == 200, response.text
        answer = response.json()
        if path == PREDICT:
            found = [one["probability"] for one in answer["predictions"]]
        else:
            (probabilities,) = [one["data"] for one in answer["outputs"] if one["name"] == "probabilities"]
            found = probabilities[1::2]
        assert found == pytest.approx(list(credit.model.predict_proba(missing)[:, 1]), abs=1e-9)

    service.run(scenario)
