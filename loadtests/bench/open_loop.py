"""An open loop: requests leave on a schedule that no answer can slow down, as the requests of many strangers do.

A latency counts from the moment the schedule says, so that a request that had to wait for the client or for a free
connection is as late as its sender would have found it (no coordinated omission).
"""

from __future__ import annotations

import random
import time
from array import array
from collections.abc import Sequence
from itertools import cycle
from typing import Any, Final

from loadtests.bench.connections import Connections
from loadtests.bench.tally import Tally, percentiles

MOST_CONNECTIONS: Final = 512
PATIENCE_SECONDS: Final = 15.0
SLOW_RATE, CALM_RATE = 2_000.0, 10_000.0
SLOW_REST_SECONDS, CALM_REST_SECONDS, REST_SECONDS = 0.001, 0.0002, 0.0005
"""Turns of the client begin at least so far apart: up to the first rate, up to the second, and above it.

To be woken for each answer costs not only the client several times what a request does: it is the server's send
that wakes it. And where a request takes milliseconds, a client that looks 5,000 times a second takes the core that
the model needs.
"""
_AHEAD_SECONDS: Final = 0.2


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


class OpenLoop:
    """The schedule, the connections and what came back."""

    def __init__(self, port: int, requests: Sequence[bytes], arrivals: Sequence[float], started: float) -> None:
        self.tally = Tally()
        self.lags = array("d")
        self.connections = Connections(port, self)
        self._requests = cycle(requests)
        self._due = array("d", [started + arrival for arrival in arrivals])
        self._seen = self._left = self._under_way = 0

    @property
    def unanswered(self) -> int:
        """Requests that were due and have no answer."""
        return self._under_way + self._seen - self._left

    @property
    def is_done(self) -> bool:
        """Whether all that was due has an answer, or none can come."""
        return self._seen == len(self._due) and not self.unanswered

    def send_due(self) -> None:
        """Send what the schedule says over free connections, and open more when they do not suffice."""
        due, lags, seen, now = self._due, self.lags, self._seen, time.perf_counter()
        while seen < len(due) and due[seen] <= now:
            lags.append(now - due[seen])
            seen += 1
        self._seen = seen
        connections = self.connections
        free, send = connections.free, connections.send
        while free and self._left < seen:
            moment = due[self._left]
            # Counted before it is sent: a connection may be found lost in sending.
            self._left += 1
            self._under_way += 1
            send(next(self._requests), moment)
        while seen - self._left > connections.opening and len(connections) < MOST_CONNECTIONS:
            connections.open()

    def answered(self, status: int, since: float) -> None:
        """Note an answer."""
        self._under_way -= 1
        self.tally.note(status, time.perf_counter() - since)

    def lost(self) -> None:
        """Note a request that went down with its connection."""
        self._under_way -= 1
        self.tally.lost += 1

    def refused(self) -> None:
        """Note that the request for which a connection was to be made cannot be sent."""
        if self._left < self._seen:
            self._left += 1
            self.tally.lost += 1


def open_loop(
    port: int, requests: Sequence[bytes], *, rate: float, seconds: float, connections: int, seed: int = 0
) -> dict[str, Any]:
    """Send `rate` requests a second for `seconds`, beginning with `connections` connections, and return what came.

    `lag` in the result is how late the client itself was to look at its schedule: a latency not large against it
    is one of the client. Waiting for one of `MOST_CONNECTIONS` to be free is no lag: the server holds them.
    What falls due and what is answered between two turns is taken in one: lags and latencies are up to that much
    longer than a client with a core of its own would find them.
    """
    arrivals = poisson_schedule(rate, seconds, seed)
    # Time to open the first connections before the first request is due.
    started = time.perf_counter() + _AHEAD_SECONDS
    load = OpenLoop(port, requests, arrivals, started)
    for _ in range(connections):
        load.connections.open()
    give_up = started + seconds + PATIENCE_SECONDS
    rest = SLOW_REST_SECONDS if rate <= SLOW_RATE else CALM_REST_SECONDS if rate <= CALM_RATE else REST_SECONDS
    turn = time.perf_counter()
    while not load.is_done and turn < give_up:
        load.send_due()
        time.sleep(max(0.0, turn + rest - time.perf_counter()))
        turn = time.perf_counter()
        load.connections.handle()
    result = load.tally.summary(time.perf_counter() - started, unanswered=load.unanswered)
    load.connections.close()
    return {**result, "due": len(arrivals), "scheduled_seconds": seconds, "lag": percentiles(sorted(load.lags))}
