"""Connections that are waiting are taken several at a time, and none once a server is closed."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest
import uvloop

from bentos.listening import BulkServer, take_connections_in_bulk

CONNECTIONS = 100
PASS_SECONDS = 0.002


class Greeter(asyncio.Protocol):
    """Says hello to whoever connects."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast("asyncio.Transport", transport)
        made.write(b"hello")
        made.close()


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as opened:
        opened.setblocking(False)
        yield opened


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())


async def passes_until_all_are_greeted(listener: socket.socket) -> int:
    """Return how many passes a loop with much to do took until all who connected at once had been taken."""
    server = await asyncio.get_running_loop().create_server(Greeter, sock=listener)
    clients = [socket.create_connection(listener.getsockname()) for _ in range(CONNECTIONS)]
    passes = 0
    for client in clients:
        client.setblocking(False)
    waiting = set(clients)
    while waiting:
        passes += 1
        time.sleep(PASS_SECONDS)
        await asyncio.sleep(0)
        for client in list(waiting):
            try:
                assert client.recv(10) == b"hello"
            except BlockingIOError:
                continue
            waiting.remove(client)
    for client in clients:
        client.close()
    server.close()
    await server.wait_closed()
    return passes


def test_who_waits_is_taken_within_a_few_passes_of_a_busy_loop(listener: socket.socket) -> None:
    async def scenario() -> None:
        take_connections_in_bulk(asyncio.get_running_loop())
        assert await passes_until_all_are_greeted(listener) < CONNECTIONS / 4

    run(scenario)


def test_without_it_uvloop_takes_one_a_pass(listener: socket.socket) -> None:
    async def scenario() -> None:
        # When this fails, uvloop has learnt it, and `bentos.listening` can go.
        assert await passes_until_all_are_greeted(listener) >= CONNECTIONS

    run(scenario)


def test_a_closed_server_takes_nobody(listener: socket.socket) -> None:
    async def scenario() -> None:
        loop, address = asyncio.get_running_loop(), listener.getsockname()
        take_connections_in_bulk(loop)
        server = await loop.create_server(Greeter, sock=listener)
        assert isinstance(server, BulkServer)
        assert server.sockets
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)

    run(scenario)


def test_another_loop_is_left_as_it_is() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        take_connections_in_bulk(loop)
        assert "create_server" not in vars(loop)

    asyncio.run(scenario())
