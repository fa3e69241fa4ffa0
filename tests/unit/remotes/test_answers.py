"""What a server answers, or does not, as predictions or as an error that says why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from remotes.errors import (
    RemoteError,
    RemoteFailedError,
    RemoteMismatchError,
    RemoteRefusedError,
    RemoteTimeoutError,
    RemoteUnavailableError,
)
from remotes.queue import RemoteQueue
from tests.unit.remotes.queues import HTTP, SERVERS, model, queue, rows, serving, telling


@pytest.mark.parametrize("protocol", SERVERS)
def test_rows_are_scored_by_the_server_in_their_order(protocol: str) -> None:
    async def scenario() -> None:
        async with serving(protocol) as (_, made, calls):
            answer = await made.predict(rows(20, 80, 51), 3)
            assert answer.prediction.tolist() == [0, 1, 1]
            if protocol == "mlflow":
                assert answer.probabilities is None
            else:
                assert answer.probabilities is not None
                assert answer.probabilities[:, 1] == pytest.approx([0.2, 0.8, 0.51])
            assert answer.version is None
            assert calls.outcomes == ["answered"]
            assert made.problem is None

    asyncio.run(scenario())


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_server_that_is_down_is_unavailable_and_nothing_answers_for_it(protocol: str) -> None:
    async def scenario() -> None:
        async with SERVERS[protocol]() as fake:
            url = fake.url
        made, started = queue(model(protocol, url)), time.monotonic()
        with pytest.raises(RemoteUnavailableError):
            await made.predict(rows(20), 1)
        assert time.monotonic() - started < 2
        await made.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("protocol", SERVERS)
def test_a_server_that_takes_too_long_is_asked_once(protocol: str) -> None:
    async def scenario() -> None:
        async with serving(protocol, timeout_seconds=0.1) as (fake, made, calls):

            async def hang(_: Any) -> None:
                await asyncio.sleep(5)

            fake.behave = hang
            with pytest.raises(RemoteTimeoutError):
                await made.predict(rows(20), 1)
            assert fake.calls == 1
            assert calls.outcomes == ["timeout"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, RemoteFailedError),
        (502, RemoteFailedError),
        (404, RemoteFailedError),
        (302, RemoteFailedError),
        (429, RemoteUnavailableError),
        (503, RemoteUnavailableError),
        (400, RemoteRefusedError),
        (422, RemoteRefusedError),
    ],
)
@pytest.mark.parametrize("protocol", HTTP)
def test_what_a_server_says_is_translated_and_asked_once(
    protocol: str, status: int, error: type[RemoteError]
) -> None:
    async def scenario() -> None:
        async with serving(protocol) as (fake, made, _):
            fake.behave = telling(status, {"error": "age must not be 20\nsecond line"})
            with pytest.raises(error) as raised:
                await made.predict(rows(20), 1)
            assert type(raised.value) is error
            assert ("age must not be 20" in str(raised.value)) == (error is RemoteRefusedError)
            assert "second line" not in str(raised.value)
            assert fake.calls == 1

    asyncio.run(scenario())


OIP_LABELS = {"name": "prediction", "datatype": "INT64", "shape": [2], "data": [0, 1]}


def oip_answer(**changes: Any) -> dict[str, Any]:
    shown = {"name": "probabilities", "datatype": "FP64", "shape": [2, 2], "data": [0.5, 0.5, 0.2, 0.8]}
    return {"model_name": "m", "model_version": "3", "outputs": [OIP_LABELS, shown | changes]}


@pytest.mark.parametrize(
    ("protocol", "body"),
    [
        ("oip", b"no json"),
        ("oip", b"[]"),
        ("oip", {"outputs": []}),
        ("oip", {"outputs": [OIP_LABELS]}),
        ("oip", {"outputs": [{"name": "prediction"}]}),
        ("oip", oip_answer(shape=[1, 2], data=[0.5, 0.5])),
        ("oip", oip_answer(shape=[2, 3], data=[0.5, 0.5, 0, 0.2, 0.8, 0])),
        ("oip", oip_answer(data=[0.5, 0.5, 0.2])),
        ("oip", oip_answer(data=[0.5, 0.5, 0.2, None])),
        ("oip", oip_answer(data=[0.5, 0.5, 0.2, "x"])),
        ("oip", oip_answer(data=[0.5, 0.5, 0.2, True])),
        ("oip", oip_answer(data=[0.5, 0.5, 0.2, 0.9])),
        ("oip", oip_answer(data=[0.5, 0.5, -0.2, 1.2])),
        ("oip", oip_answer(datatype="BYTES", data=["a", "b", "c", "d"])),
        ("oip", oip_answer(datatype="WHAT")),
        ("oip", oip_answer(name="prediction", datatype="INT64", shape=[2], data=[0, 2])),
        ("mlflow", {"predictions": [1]}),
        ("mlflow", {"predictions": [1, 0, 1]}),
        ("mlflow", {"predictions": [1, None]}),
        ("mlflow", {"predictions": [1, 7]}),
        ("mlflow", {"predictions": "no"}),
        ("mlflow", {"prediction": [1, 0]}),
        ("mlflow", b'{"predictions": [1, NaN]}'),
        ("kserve-v1", {"predictions": [[0.5, 0.5], [0.5]]}),
        ("kserve-v1", {"predictions": [[0.5, 0.5], ["a", "b"]]}),
        ("kserve-v1", {"predictions": [{"a": 1}, {"b": 2}]}),
        ("kserve-v1", {"predictions": [0.5, 0.5]}),
    ],
)
def test_an_answer_that_does_not_fit_is_no_prediction(protocol: str, body: Any) -> None:
    async def scenario() -> None:
        async with serving(protocol) as (fake, made, calls):
            fake.behave = telling(200, body)
            with pytest.raises(RemoteMismatchError):
                await made.predict(rows(20, 80), 2)
            assert calls.outcomes == ["mismatch"]

    asyncio.run(scenario())


def test_an_answer_that_is_too_large_is_not_read() -> None:
    async def scenario() -> None:
        async with serving("mlflow", max_answer_bytes=1_000) as (fake, made, _):
            fake.behave = telling(200, {"predictions": ["x" * 2_000]})
            with pytest.raises(RemoteMismatchError, match="1,000 bytes"):
                await made.predict(rows(20), 1)

    asyncio.run(scenario())


@asynccontextmanager
async def raw_server(*replies: bytes) -> AsyncIterator[tuple[RemoteQueue, list[bytes]]]:
    """Yield a queue whose server answers each connection with the next reply and ends it; and what it was sent."""
    seen: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"]]}}"))
        writer.write(replies[len(seen) - 1])
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        made = queue(model("mlflow", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
        yield made, seen
        await made.close()


def test_a_connection_that_ends_before_an_answer_is_tried_once_more() -> None:
    async def scenario() -> None:
        body = b'{"predictions": [1]}'
        async with raw_server(b"", b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n" + body) as (made, seen):
            assert (await made.predict(rows(20), 1)).prediction.tolist() == [1]
            assert len(seen) == 2

    asyncio.run(scenario())


def test_a_connection_that_ends_twice_is_given_up() -> None:
    async def scenario() -> None:
        async with raw_server(b"", b"") as (made, seen):
            with pytest.raises(RemoteUnavailableError, match="ended the connection"):
                await made.predict(rows(20), 1)
            assert len(seen) == 2

    asyncio.run(scenario())


def test_an_answer_that_breaks_off_is_not_asked_for_again() -> None:
    async def scenario() -> None:
        async with raw_server(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf") as (made, seen):
            with pytest.raises(RemoteFailedError, match="broke off"):
                await made.predict(rows(20), 1)
            assert len(seen) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("protocol", SERVERS)
def test_the_token_is_sent_and_read_from_the_environment(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setenv("REMOTE_TOKEN_CREDIT", "s3cret")
        async with serving(protocol, token_env="REMOTE_TOKEN_CREDIT") as (fake, made, _):
            await made.predict(rows(20), 1)
            assert fake.headers[0]["authorization"] == "Bearer s3cret"

    asyncio.run(scenario())
