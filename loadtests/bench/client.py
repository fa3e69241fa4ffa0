"""The load generator: a process of its own, in a closed or an open loop, that prints one JSON object.

`python -m loadtests.bench.client --port P --load FILE --seconds S [--connections C] [--rate R]`. It costs
10 to 35 microseconds per request, so that on two cores the server is what is measured.
"""

from __future__ import annotations

import argparse
import base64
import gc
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import uvloop

from loadtests.bench.closed_loop import closed_loop
from loadtests.bench.open_loop import open_loop

JSON_TYPE = {"Content-Type": "application/json"}


def requests_of(path: str, bodies: Sequence[bytes], headers: Mapping[str, str]) -> list[bytes]:
    """Return whole HTTP requests for bodies."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}Content-Length: "
    return [f"{head}{len(body)}\r\n\r\n".encode() + body for body in bodies]


def write_load(file: Path, path: str, bodies: Sequence[bytes], headers: Mapping[str, str]) -> None:
    """Write what the generator is to send into a file that it reads."""
    texts = [base64.b64encode(body).decode() for body in bodies]
    file.write_text(json.dumps({"path": path, "headers": dict(headers), "bodies": texts}), encoding="utf-8")


def read_load(file: Path) -> list[bytes]:
    """Return the requests of such a file."""
    load = json.loads(file.read_text(encoding="utf-8"))
    return requests_of(load["path"], [base64.b64decode(text) for text in load["bodies"]], load["headers"])


def main() -> None:
    """Read the arguments, send, and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--load", type=Path, required=True, help="what `write_load` wrote")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, help="requests a second, in an open loop with Poisson arrivals")
    parser.add_argument("--seed", type=int, default=0, help="of the arrivals")
    options = parser.parse_args()
    requests = read_load(options.load)
    # A collection is a pause of the client, and what a few seconds leave behind is little.
    gc.disable()
    if options.rate is None:
        result = uvloop.run(closed_loop(options.port, requests, options.connections, options.seconds))
    else:
        result = open_loop(
            options.port,
            requests,
            rate=options.rate,
            seconds=options.seconds,
            connections=options.connections,
            seed=options.seed,
        )
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
