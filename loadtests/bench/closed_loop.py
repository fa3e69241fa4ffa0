"""A closed loop: C keep-alive connections, each sending its next request when it has its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import Any, cast

import httptools

from loadtests.bench.tally import Tally

PATIENCE_SECONDS = 30.0


class Caller(asyncio.Protocol):
    """One connection in a closed loop; one that the server ends after an answer is made anew."""

    def __init__(self, load: ClosedLoop, requests: Iterator[bytes]) -> None:
        self._load, self._requests = load, requests
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._sent = 0.0
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; it calls `on_message_complete`."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Note the answer and send the next request, or hang up when the time is over."""
        now = time.perf_counter()
        self._waiting = False
        self._load.tally.note(self._parser.get_status_code(), now - self._sent)
        if now < self._load.stop_at and self._parser.should_keep_alive():
            self._send()
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Connect again while there is time, unless the server left a request unanswered: that one is lost."""
        self._load.ended(self._requests, lost=self._waiting)

    def _send(self) -> None:
        if self._transport is not None:
            self._sent = time.perf_counter()
            self._waiting = True
            self._transport.write(next(self._requests))


class ClosedLoop:
    """All connections of one load."""

    def __init__(self, port: int, stop_at: float, connections: int) -> None:
        self.tally = Tally()
        self.stop_at = stop_at
        self.done = asyncio.Event()
        self.open = connections
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, requests: Iterator[bytes]) -> None:
        """Open one connection; a refused one is lost."""
        try:
            await asyncio.get_running_loop().create_connection(
                partial(Caller, self, requests), "127.0.0.1", self._port
            )
        except OSError:
            self.ended(requests, lost=True)

    def ended(self, requests: Iterator[bytes], *, lost: bool) -> None:
        """Note that a connection ended."""
        self.tally.lost += lost
        if lost or time.perf_counter() >= self.stop_at:
            self.open -= 1
            if not self.open:
                self.done.set()
            return
        task = asyncio.ensure_future(self.connect(requests))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def closed_loop(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> dict[str, Any]:
    """Send requests for `seconds` over `connections` connections, and return what came back."""
    started = time.perf_counter()
    load = ClosedLoop(port, started + seconds, connections)
    # All connections draw from one cycle, so that no two ask about the same person at once.
    shared = cycle(requests)
    for _ in range(connections):
        await load.connect(shared)
    try:
        await asyncio.wait_for(load.done.wait(), seconds + PATIENCE_SECONDS)
    except TimeoutError:
        return load.tally.summary(time.perf_counter() - started, unanswered=load.open)
    return load.tally.summary(time.perf_counter() - started)
