"""The load generator: one process, C keep-alive connections, each sending its next request when it has its answer.

`python -m loadtests.bench.client --port P --path /predict --bodies FILE --connections C --seconds S` prints one
JSON object. It costs a few tens of microseconds per request, so that on two cores the server is what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import httptools
import uvloop


class Caller(asyncio.Protocol):
    """One connection in a closed loop."""

    def __init__(self, requests: Iterator[bytes], stop_at: float, tally: Tally) -> None:
        self._requests, self._stop_at, self._tally = requests, stop_at, tally
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._sent = 0.0

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
        self._tally.note(self._parser.get_status_code(), now - self._sent)
        if now < self._stop_at:
            self._send()
        elif self._transport is not None:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count a connection that the server ended before its time."""
        self._tally.closed(early=exc is not None or time.perf_counter() < self._stop_at)

    def _send(self) -> None:
        if self._transport is not None:
            self._sent = time.perf_counter()
            self._transport.write(next(self._requests))


class Tally:
    """Answers by status, their latencies, and whether all connections are done."""

    def __init__(self, connections: int) -> None:
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.lost = 0
        self._open = connections
        self.done = asyncio.Event()

    def note(self, status: int, seconds: float) -> None:
        """Note one answer."""
        self.statuses[status] += 1
        self.seconds.append(seconds)

    def closed(self, *, early: bool) -> None:
        """Note a connection's end."""
        self.lost += early
        self._open -= 1
        if not self._open:
            self.done.set()


def requests_of(path: str, bodies: Sequence[str]) -> list[bytes]:
    """Return whole HTTP requests for JSON bodies."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    return [f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in bodies]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the ordered values lie; 0 when there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def call(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> dict[str, Any]:
    """Send requests for `seconds` over `connections` connections, and return what came back."""
    loop = asyncio.get_running_loop()
    tally = Tally(connections)
    started = time.perf_counter()
    for index in range(connections):
        # Each connection starts elsewhere in the rows, so that no two ask about the same person at once.
        offset = index * len(requests) // connections
        turn = cycle([*requests[offset:], *requests[:offset]])
        await loop.create_connection(partial(Caller, turn, started + seconds, tally), "127.0.0.1", port)
    await asyncio.wait_for(tally.done.wait(), seconds + 30.0)
    elapsed = time.perf_counter() - started
    ordered = sorted(tally.seconds)
    return {
        "requests": len(ordered),
        "failures": tally.lost + sum(count for status, count in tally.statuses.items() if status != 200),
        "statuses": {str(status): count for status, count in sorted(tally.statuses.items())},
        "seconds": elapsed,
        "p50": percentile(ordered, 0.50),
        "p95": percentile(ordered, 0.95),
        "p99": percentile(ordered, 0.99),
    }


def main() -> None:
    """Read the arguments, send, and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--bodies", type=Path, required=True, help="a JSON list of bodies")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    requests = requests_of(options.path, json.loads(options.bodies.read_text(encoding="utf-8")))
    result = uvloop.run(call(options.port, requests, options.connections, options.seconds))
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
