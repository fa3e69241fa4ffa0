"""Calls of a remote model: what it answers, what becomes of its failures, and who is called when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import numpy as np
import pytest

from inference.errors import DeadlineExceededError, DrainingError, QueueFullError
from inference.observer import SilentObserver
from inference.signature import Column, ColumnType, Signature, Task
from remotes.breaker import Breaker
from remotes.clients import open_client
from remotes.definition import RemoteDefinition, RemoteModel
from remotes.errors import (
    RemoteError,
    RemoteFailedError,
    RemoteMismatchError,
    RemoteRefusedError,
    RemoteTimeoutError,
    RemoteUnavailableError,
)
from remotes.queue import RemoteQueue
from tests.fakes.remote_servers import Answered, FakeRemote, grpc_server, kserve_v1, mlflow, oip, remote_server
from tests.waiting import soon

SIGNATURE = Signature(
    columns=(
        Column(name="age", type=ColumnType.DOUBLE, nullable=True),
        Column(name="income", type=ColumnType.DOUBLE, nullable=True),
    ),
    task=Task.BINARY,
    classes=(0, 1),
)
TENSORS = ({"name": "prediction", "reading": "label"}, {"name": "probabilities", "reading": "probabilities"})
OUTPUTS: dict[str, tuple[dict[str, Any], ...]] = {
    "oip": TENSORS,
    "oip-grpc": TENSORS,
    "mlflow": ({"reading": "label"},),
    "kserve-v1": ({"reading": "probabilities"},),
}
SERVERS: dict[str, Callable[[], AbstractAsyncContextManager[FakeRemote]]] = {
    "oip": lambda: remote_server(oip),
    "oip-grpc": grpc_server,
    "mlflow": lambda: remote_server(mlflow),
    "kserve-v1": lambda: remote_server(kserve_v1),
}
HTTP = ("oip", "mlflow", "kserve-v1")


class Calls:
    """Keeps what a `RemoteObserver` hears."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.open = 0

    def called(self, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.outcomes.append(outcome)

    def rested(self) -> None:
        self.outcomes.append("rested")

    def breaker_changed(self, *, is_open: bool) -> None:
        self.open += 1 if is_open else -1


def model(protocol: str, url: str, **changes: Any) -> RemoteModel:
    url = url.replace("http://", "grpc://") if protocol == "oip-grpc" else url
    named = None if protocol == "mlflow" else "m"
    values = {"url": url, "protocol": protocol, "model": named, "version": "3", "outputs": OUTPUTS[protocol]}
    return RemoteModel(definition=RemoteDefinition.model_validate(values | changes), signature=SIGNATURE)


def queue(remote: RemoteModel, calls: Calls | None = None, **more: Any) -> RemoteQueue:
    return RemoteQueue(
        remote,
        open_client(remote),
        name="credit",
        version="7",
        max_queue_rows=100,
        batches=SilentObserver(),
        calls=calls or Calls(),
        **more,
    )


@asynccontextmanager
async def serving(protocol: str, **changes: Any) -> AsyncIterator[tuple[FakeRemote, RemoteQueue, Calls]]:
    calls, more = Calls(), {}
    if "breaker" in changes:
        more["breaker"] = changes.pop("breaker")
    async with SERVERS[protocol]() as fake:
        made = queue(model(protocol, fake.url, **changes), calls, **more)
        try:
            yield fake, made, calls
        finally:
            await made.close()


def rows(*ages: float) -> dict[str, Any]:
    return {"age": np.array(ages, dtype=float), "income": np.full(len(ages), 10.0)}


def telling(status: Any, body: Any) -> Callable[[Any], Awaitable[Answered]]:
    async def behave(_: Any) -> Answered:
        return status, body

    return behave


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


@pytest.mark.parametrize("protocol", ["oip", "oip-grpc"])
def test_another_version_in_an_answer_is_told_of_and_of_the_answer(protocol: str) -> None:
    async def scenario() -> None:
        async with serving(protocol) as (fake, made, _):
            fake.version = "4"
            answer = await made.predict(rows(20), 1)
            assert answer.version == "7@4"
            assert made.problem is not None
            assert "reports version 4, and was registered with version 3" in made.problem
            fake.version = "3"
            assert (await made.predict(rows(20), 1)).version is None
            assert made.problem is None

    asyncio.run(scenario())


@pytest.mark.parametrize("protocol", ["oip", "oip-grpc", "mlflow"])
def test_a_check_finds_another_version_and_a_server_that_is_not_ready(protocol: str) -> None:
    async def scenario() -> None:
        told = []
        async with SERVERS[protocol]() as fake:
            fake.version = "4"
            registered = "mlflow-3" if protocol == "mlflow" else "3"
            made = queue(model(protocol, fake.url, version=registered), changed=lambda: told.append(made.problem))
            made.watch()
            await soon(lambda: bool(told))
            assert "version" in (told[0] or "")
            await made.close()
            fake.version, fake.ready = "3", False
            told.clear()
            made = queue(model(protocol, fake.url, version=registered), changed=lambda: told.append(made.problem))
            made.watch()
            await soon(lambda: bool(told))
            assert told[0] is not None
            await made.close()

    asyncio.run(scenario())


def test_a_connection_that_ends_before_an_answer_is_tried_once_more() -> None:
    async def scenario() -> None:
        seen = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal seen
            seen += 1
            await reader.readuntil(b"]]}}")
            if seen > 1:
                body = b'{"predictions": [1]}'
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            made = queue(model("mlflow", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
            assert (await made.predict(rows(20), 1)).prediction.tolist() == [1]
            assert seen == 2
            await made.close()

    asyncio.run(scenario())


def test_an_answer_that_breaks_off_is_not_asked_for_again() -> None:
    async def scenario() -> None:
        seen = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal seen
            seen += 1
            await reader.readuntil(b"]]}}")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        async with server:
            made = queue(model("mlflow", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
            with pytest.raises(RemoteFailedError, match="broke off"):
                await made.predict(rows(20), 1)
            assert seen == 1
            await made.close()

    asyncio.run(scenario())


def test_after_several_failures_a_server_is_left_alone_until_it_has_rested() -> None:
    async def scenario() -> None:
        now = [0.0]
        breaker = Breaker(failures=3, rest=1.0, clock=lambda: now[0])
        async with serving("oip", breaker=breaker) as (fake, made, calls):
            fake.behave = telling(500, {})
            for _ in range(3):
                with pytest.raises(RemoteFailedError):
                    await made.predict(rows(20), 1)
            with pytest.raises(RemoteUnavailableError) as raised:
                await made.predict(rows(20), 1)
            assert 0 < raised.value.retry_after <= 1.0
            assert (fake.calls, calls.open) == (3, 1)
            assert made.problem is not None
            fake.behave, now[0] = None, 1.1
            assert (await made.predict(rows(20), 1)).prediction.tolist() == [0]
            assert calls.outcomes == ["error"] * 3 + ["rested", "answered"]
            assert (calls.open, made.problem) == (0, None)

    asyncio.run(scenario())


def test_a_caller_without_patience_does_not_open_the_breaker() -> None:
    async def scenario() -> None:
        async with serving("oip", breaker=Breaker(failures=1)) as (fake, made, _):

            async def slow(_: Any) -> None:
                await asyncio.sleep(0.2)

            fake.behave = slow
            with pytest.raises(DeadlineExceededError):
                await made.predict(rows(20), 1, deadline=time.perf_counter() + 0.02)
            assert (await made.predict(rows(20), 1)).prediction.tolist() == [0]

    asyncio.run(scenario())


def test_calls_run_side_by_side_and_what_is_too_much_is_joined() -> None:
    async def scenario() -> None:
        async with serving("oip", max_in_flight=2, max_batch_rows=3) as (fake, made, _):
            gate = asyncio.Event()

            async def wait(_: Any) -> None:
                await gate.wait()

            fake.behave = wait
            asked = [asyncio.create_task(made.predict(rows(age), 1)) for age in (10, 90, 20, 80, 70, 30)]
            await soon(lambda: fake.calls == 2)
            assert made.queued_rows == 4
            gate.set()
            answers = await asyncio.gather(*asked)
            assert [answer.prediction.tolist() for answer in answers] == [[0], [1], [0], [1], [1], [0]]
            sizes = [len(body["inputs"][0]["data"]) for body in fake.bodies]
            assert sizes == [1, 1, 3, 1]

    asyncio.run(scenario())


def test_one_refused_request_of_a_joined_call_does_not_fail_the_others() -> None:
    async def scenario() -> None:
        async with serving("oip", max_in_flight=1) as (fake, made, _):

            async def refuse(body: Any) -> Answered | None:
                return (400, {"error": "no"}) if 13.0 in body["inputs"][0]["data"] else None

            fake.behave = refuse
            asked = [made.predict(rows(age), 1) for age in (10, 90, 13, 80)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(answer) is RemoteRefusedError for answer in answers] == [False, False, True, False]

    asyncio.run(scenario())


def test_more_than_may_wait_is_refused_and_a_queue_that_drains_takes_nothing() -> None:
    async def scenario() -> None:
        async with serving("oip", max_in_flight=1) as (fake, made, _):
            gate = asyncio.Event()

            async def wait(_: Any) -> None:
                await gate.wait()

            fake.behave = wait
            first = asyncio.create_task(made.predict(rows(20), 1))
            await soon(lambda: fake.calls == 1)
            with pytest.raises(QueueFullError):
                await made.predict(rows(*range(101)), 101)
            draining = asyncio.create_task(made.drain())
            await asyncio.sleep(0)
            with pytest.raises(DrainingError):
                await made.predict(rows(20), 1)
            gate.set()
            await asyncio.gather(first, draining)

    asyncio.run(scenario())


@pytest.mark.parametrize("protocol", SERVERS)
def test_the_token_is_sent_and_read_from_the_environment(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setenv("CREDIT_TOKEN", "s3cret")
        async with serving(protocol, token_env="CREDIT_TOKEN") as (fake, made, _):
            await made.predict(rows(20), 1)
            assert fake.headers[0]["authorization"] == "Bearer s3cret"

    asyncio.run(scenario())
