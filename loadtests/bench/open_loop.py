"""An open loop: requests leave on a schedule that no answer can slow down, as the requests of many strangers do.

A latency counts from the moment the schedule says, so that a request that had to wait for the client or for a free
connection is as late as its sender would have found it (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import Any, cast

import httptools

from loadtests.bench.tally import Tally, percentiles

MOST_CONNECTIONS = 512
PATIENCE_SECONDS = 15.0


def poisson_schedule(rate: float, seconds: float, seed: int = 0) -> list[float]:
    """Return the arrival times of a Poisson process, in seconds from its start, ascending, all below `seconds`.

    Gaps are exponential with mean 1 / `rate`; the same seed gives the same schedule.
    """
    draw = random.Random(seed)
    times: list[float] = []
    now = draw.expovariate(rate)
    while now < seconds:
        times.append(now)
        now += draw.expovariate(rate)
    return times


class Connection(asyncio.Protocol):
    """One keep-alive connection, idle or with one request under way."""

    def __init__(self, load: OpenLoop) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._due: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Offer itself."""
        self._transport = cast("asyncio.Transport", transport)
        self._load.opened(self)

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at `due`."""
        assert self._transport is not None  # noqa: S101 - only an open connection offers itself
        self._due = due
        self._transport.write(request)

    def abort(self) -> None:
        """Give the connection up."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; it calls `on_message_complete`."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Note the answer and be free again."""
        if self._due is not None:
            self._load.answered(self._parser.get_status_code(), self._due)
            self._due = None
        if self._parser.should_keep_alive():
            self._load.offer(self)
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whether a request went down with the connection."""
        self._load.closed(self, lost=self._due is not None)


class OpenLoop:
    """The schedule, the connections and what came back."""

    def __init__(self, port: int, requests: Sequence[bytes], arrivals: Sequence[float], started: float) -> None:
        self.tally = Tally()
        self.lags: list[float] = []
        self.done = asyncio.Event()
        self._port, self._requests = port, cycle(requests)
        self._arrivals: Iterator[float] = (started + arrival for arrival in arrivals)
        self.next_due = next(self._arrivals, None)
        self._waiting: deque[float] = deque()
        self._free: list[Connection] = []
        self._connections: set[Connection] = set()
        self._opening = self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def unanswered(self) -> int:
        """Requests that were due and have no answer."""
        return self._under_way + len(self._waiting)

    def send_due(self) -> None:
        """Send whatever the schedule says, over free connections, else over a new one."""
        now = time.perf_counter()
        while self.next_due is not None and self.next_due <= now:
            self.lags.append(now - self.next_due)
            self._waiting.append(self.next_due)
            self.next_due = next(self._arrivals, None)
        while self._waiting and self._free:
            due = self._waiting.popleft()
            self._under_way += 1
            self._free.pop().send(next(self._requests), due)
        while len(self._waiting) > self._opening and len(self._connections) + self._opening < MOST_CONNECTIONS:
            self.open_one()
        if self.next_due is None and not self.unanswered:
            self.done.set()

    def open_one(self) -> None:
        """Open one more connection."""
        self._opening += 1
        task = asyncio.ensure_future(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def opened(self, connection: Connection) -> None:
        """Take a new connection."""
        self._opening -= 1
        self._connections.add(connection)
        self.offer(connection)

    def give_up(self) -> None:
        """End all connections and whatever they wait for."""
        for task in self._tasks:
            task.cancel()
        for connection in list(self._connections):
            connection.abort()

    def offer(self, connection: Connection) -> None:
        """Take a connection that is free."""
        self._free.append(connection)
        self.send_due()

    def answered(self, status: int, due: float) -> None:
        """Note an answer."""
        self._under_way -= 1
        self.tally.note(status, time.perf_counter() - due)

    def closed(self, connection: Connection, *, lost: bool) -> None:
        """Note that a connection ended."""
        self._connections.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if lost:
            self._under_way -= 1
            self.tally.lost += 1
        self.send_due()

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(partial(Connection, self), "127.0.0.1", self._port)
        except OSError:
            self._opening -= 1
            if self._waiting:
                self._waiting.popleft()
                self.tally.lost += 1
            self.send_due()


async def open_loop(
    port: int, requests: Sequence[bytes], *, rate: float, seconds: float, connections: int, seed: int = 0
) -> dict[str, Any]:
    """Send `rate` requests a second for `seconds`, beginning with `connections` connections, and return what came.

    `lag` in the result is how late the client itself was to look at its schedule: a latency not large against it
    is one of the client. Waiting for one of `MOST_CONNECTIONS` to be free is no lag: the server holds them.
    """
    loop = asyncio.get_running_loop()
    arrivals = poisson_schedule(rate, seconds, seed)
    # Time to open the first connections before the first request is due.
    started = time.perf_counter() + 0.5
    load = OpenLoop(port, requests, arrivals, started)
    for _ in range(connections):
        load.open_one()
    stop = threading.Event()
    # The event loop's own timers have a grain of one millisecond: a thread sleeps more finely and wakes it.
    clock = threading.Thread(
        target=_wake, args=(loop, load, [started + due for due in arrivals], stop), daemon=True
    )
    clock.start()
    try:
        await asyncio.wait_for(load.done.wait(), 0.5 + seconds + PATIENCE_SECONDS)
    except TimeoutError:
        pass
    finally:
        stop.set()
    result = load.tally.summary(time.perf_counter() - started, unanswered=load.unanswered)
    load.give_up()
    return {**result, "due": len(arrivals), "scheduled_seconds": seconds, "lag": percentiles(sorted(load.lags))}


def _wake(loop: asyncio.AbstractEventLoop, load: OpenLoop, due: Sequence[float], stop: threading.Event) -> None:
    for moment in due:
        time.sleep(max(0.0, moment - time.perf_counter()))
        if stop.is_set():
            return
        if load.next_due is not None and load.next_due <= moment:  # else an answer's turn has sent it
            loop.call_soon_threadsafe(load.send_due)
