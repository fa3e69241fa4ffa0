import asyncio
from pathlib import Path
from typing import ClassVar

import pytest

from loadtests.bench.client import JSON_TYPE, read_load, requests_of, write_load
from loadtests.bench.closed_loop import closed_loop
from loadtests.bench.open_loop import open_loop


class Answering(asyncio.Protocol):
    """Answers every request; every fifth one with 503, and then it hangs up if it is told to."""

    asked = 0
    hangs_up_after_refusals = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"POST /predict HTTP/1.1\r\n")
        assert data.endswith(b"\r\n\r\n{}")
        Answering.asked += 1
        refused = Answering.asked % 5 == 0
        closing = refused and self.hangs_up_after_refusals
        self.transport.write(
            b"HTTP/1.1 "
            + (b"503 Busy" if refused else b"200 OK")
            + (b"\r\nConnection: close" if closing else b"")
            + b"\r\nContent-Length: 2\r\n\r\nok"
        )
        if closing:
            self.transport.close()


class AnsweringAndHangingUp(Answering):
    hangs_up_after_refusals = True


class HangingUp(asyncio.Protocol):
    """Closes the connection instead of answering."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.close()


class Slow(Answering):
    """Answers after 50 ms, one request at a time however many connections there are."""

    busy: asyncio.Lock

    def data_received(self, data: bytes) -> None:
        self.task = asyncio.ensure_future(self.answer(data))

    async def answer(self, data: bytes) -> None:
        async with Slow.busy:
            await asyncio.sleep(0.05)
        super().data_received(data)


REQUESTS = requests_of("/predict", [b"{}"], JSON_TYPE)


async def load(protocol: type[asyncio.Protocol], connections: int, rate: float | None = None) -> dict[str, object]:
    Slow.busy = asyncio.Lock()
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        if rate is None:
            return await closed_loop(port, REQUESTS, connections, 0.2)
        return await asyncio.to_thread(open_loop, port, REQUESTS, rate=rate, seconds=0.5, connections=connections)


@pytest.mark.parametrize("protocol", [Answering, AnsweringAndHangingUp])
@pytest.mark.parametrize("rate", [None, 400.0])
def test_every_answer_is_counted_once_with_its_status(protocol: type[Answering], rate: float | None) -> None:
    Answering.asked = 0
    result = asyncio.run(load(protocol, 4, rate))
    assert result["requests"] == Answering.asked > 20
    assert result["statuses"] == {"200": Answering.asked - Answering.asked // 5, "503": Answering.asked // 5}
    assert result["failures"] == Answering.asked // 5
    assert result["lost"] == result["unanswered"] == 0
    assert 0 < result["p50"] <= result["p95"] <= result["p99"] <= result["largest"]  # type: ignore[operator]


class Listening(asyncio.Protocol):
    """Answers, and keeps what it was asked."""

    heard: ClassVar[list[bytes]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard.append(data.rsplit(b"\r\n", 1)[1])
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_connections_of_a_closed_loop_take_turns_so_that_what_they_ask_differs() -> None:
    requests = requests_of("/predict", [b"%d" % person for person in range(20)], JSON_TYPE)

    async def ask() -> None:
        server = await asyncio.get_running_loop().create_server(Listening, "127.0.0.1", 0)
        async with server:
            await closed_loop(server.sockets[0].getsockname()[1], requests, 4, 0.1)

    asyncio.run(ask())
    heard = Listening.heard
    assert len(heard) > 40
    # Of any 20 in a row, at most those that 4 connections had under way at its ends come twice.
    assert all(len(set(heard[start : start + 20])) >= 20 - 4 for start in range(0, len(heard) - 20, 20))


def test_connections_that_the_server_ends_instead_of_answering_are_failures() -> None:
    result = asyncio.run(load(HangingUp, 3))
    assert result["requests"] == 0
    assert result["failures"] == result["lost"] == 3


def test_in_an_open_loop_requests_that_go_down_with_their_connection_are_failures() -> None:
    result = asyncio.run(load(HangingUp, 3, rate=100.0))
    assert result["requests"] == 0
    assert result["failures"] == result["lost"] == result["due"]


def test_an_open_loop_sends_what_the_schedule_says_however_slow_the_answers_are() -> None:
    Answering.asked = 0
    result = asyncio.run(load(Slow, 1, rate=60.0))
    due = result["due"]
    assert isinstance(due, int)
    assert result["requests"] == Answering.asked == due > 10
    # 20 answers a second for 60 arrivals: a latency that counts from the schedule shows the queue, not the answer.
    assert isinstance(result["largest"], float)
    assert result["largest"] > 0.05 * (due / 2)


def test_bodies_survive_the_file_between_benchmark_and_generator(tmp_path: Path) -> None:
    write_load(tmp_path / "load.json", "/predict", [b"{}", b"\x00\xff"], {"X-Length": "2"})
    first, second = read_load(tmp_path / "load.json")
    assert first == b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Length: 2\r\nContent-Length: 2\r\n\r\n{}"
    assert second.endswith(b"Content-Length: 2\r\n\r\n\x00\xff")
