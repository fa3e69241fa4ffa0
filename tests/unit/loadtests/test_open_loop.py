import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from loadtests.bench import open_loop as module
from loadtests.bench.client import JSON_TYPE, requests_of
from loadtests.bench.open_loop import open_loop, poisson_schedule

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUESTS = requests_of("/predict", [b"{}"], JSON_TYPE)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
EARLY = b"HTTP/1.1 413 Large\r\ncontent-length: 0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nok, until I hang up"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"HTTP/1.1 422 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"
SHORT = b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\nnot two hundred"


@given(rate=st.floats(1.0, 1_000.0), seconds=st.floats(0.01, 5.0), seed=st.integers(0, 2**32))
def test_arrivals_ascend_within_the_time_and_are_the_same_for_the_same_seed(
    rate: float, seconds: float, seed: int
) -> None:
    schedule = poisson_schedule(rate, seconds, seed)
    assert schedule == sorted(schedule)
    assert all(0 < arrival < seconds for arrival in schedule)
    assert schedule == poisson_schedule(rate, seconds, seed)


def test_gaps_between_arrivals_are_exponential_with_the_rate_asked_for() -> None:
    gaps = np.diff(poisson_schedule(500.0, 60.0, seed=3))
    assert kstest(gaps, "expon", args=(0, 1 / 500.0)).pvalue > 0.01


def test_another_seed_gives_another_schedule() -> None:
    assert poisson_schedule(100.0, 1.0, seed=1) != poisson_schedule(100.0, 1.0, seed=2)


async def body_of(reader: asyncio.StreamReader) -> bytes:
    """Return the body of the next request; empty at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        return await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return b""


def answering(*pieces: bytes, close: bool = False) -> Talk:
    """Return a server's side that gives each request the same answer, in pieces that arrive one by one."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await body_of(reader):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(0.001 * (len(pieces) > 1))
            if close:
                return

    return talk


async def _load(
    talk: Talk, requests: Sequence[bytes], rate: float, seconds: float, connections: int
) -> dict[str, Any]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        return await asyncio.to_thread(
            open_loop, port, requests, rate=rate, seconds=seconds, connections=connections, seed=5
        )


def load(
    talk: Talk,
    *,
    requests: Sequence[bytes] = REQUESTS,
    rate: float = 200.0,
    seconds: float = 0.2,
    connections: int = 3,
) -> dict[str, Any]:
    """Send from a thread, and return what came."""
    return asyncio.run(_load(talk, requests, rate, seconds, connections))


def check_all_answered(result: dict[str, Any], status: int) -> None:
    assert result["statuses"] == {str(status): result["due"]}
    assert result["due"] > 20
    assert result["lost"] == result["unanswered"] == 0


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ([OK[:5], OK[5:20], OK[20:-1], OK[-1:]], 200),
        ([INTERIM + OK], 200),
        ([INTERIM, OK], 200),
        ([CHUNKED[:-4], CHUNKED[-4:]], 422),
    ],
)
def test_an_answer_counts_once_in_whatever_pieces_it_comes(pieces: list[bytes], status: int) -> None:
    check_all_answered(load(answering(*pieces)), status)


@pytest.mark.parametrize("answer", [CLOSING, ENDLESS])
def test_an_answer_after_which_the_server_closes_is_an_answer(answer: bytes) -> None:
    check_all_answered(load(answering(answer, close=True)), 200)


def test_a_connection_that_the_server_says_it_closes_is_not_used_again() -> None:
    asked: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        while await body_of(reader):
            count += 1
            writer.write(CLOSING)
        asked.append(count)

    check_all_answered(load(talk), 200)
    assert set(asked) <= {0, 1}


@pytest.mark.parametrize("answer", [b"", OK[:10], SHORT, INTERIM, b"SSH-2.0-OpenSSH_9.2\r\n"])
@pytest.mark.parametrize("reset", [False, True])
def test_a_connection_that_ends_before_its_answer_does_is_lost(answer: bytes, reset: bool) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await body_of(reader)
        writer.write(answer)
        if reset:
            peer: socket.socket = writer.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    result = load(talk)
    assert result["failures"] == result["lost"] == result["due"] > 20
    assert result["requests"] == result["unanswered"] == 0


def test_a_port_where_nobody_listens_loses_every_request() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        result = open_loop(unheard.getsockname()[1], REQUESTS, rate=200.0, seconds=0.2, connections=3)
    assert result["lost"] == result["due"] > 20
    assert result["unanswered"] == 0


def test_what_is_never_answered_is_told_when_patience_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 5)
    result = load(answering())
    # Those on the five connections, and those that still waited for one.
    assert result["unanswered"] == result["failures"] == result["due"] > 20
    assert result["requests"] == result["lost"] == 0


@pytest.mark.parametrize("rate", [500.0, 15_000.0])
def test_more_arrivals_than_connections_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch, rate: float) -> None:
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 4)
    made = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        while await body_of(reader):
            await asyncio.sleep(0.01 if rate < 1_000 else 0)
            writer.write(OK)

    result = load(talk, rate=rate, seconds=0.4, connections=1)
    check_all_answered(result, 200)
    assert made == 4
    if rate < 1_000:  # four connections carry 400 requests a second at best: what is due waits, and says so
        assert result["largest"] > result["due"] / 400 - 0.4
        assert result["lag"]["p50"] < result["p50"]


def test_a_pause_of_the_server_is_in_the_latency_of_all_that_were_due_meanwhile() -> None:
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await body_of(reader):
            asked += 1
            if asked == 50:
                time.sleep(0.2)
            writer.write(OK)

    result = load(talk, rate=500.0, seconds=0.4)
    check_all_answered(result, 200)
    # Half of the 0.4 seconds' requests were due in the pause: 40 % saw 0.04 seconds of it, 5 % nearly all of it.
    assert result["largest"] > 0.19
    assert result["p95"] > 0.15


def test_large_bodies_arrive_whole_though_the_kernel_takes_them_in_parts() -> None:
    body = bytes(range(256)) * 40_000
    received: list[bool] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while found := await body_of(reader):
            received.append(found == body)
            writer.write(OK)

    result = load(talk, requests=requests_of("/predict", [body], JSON_TYPE), rate=100.0)
    assert result["statuses"] == {"200": result["due"]}
    assert received == [True] * result["due"]


def test_a_refusal_may_come_before_the_body_has_left_and_its_connection_goes_on() -> None:
    body = bytes(4_000_000)
    made = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        while True:
            try:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(EARLY)
                await reader.readexactly(len(body))
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return

    result = load(talk, requests=requests_of("/predict", [body], JSON_TYPE), rate=100.0)
    assert result["statuses"] == {"413": result["due"]}
    assert result["due"] > made
