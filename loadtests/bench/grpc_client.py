"""The load generator for gRPC: calls in a closed loop over a few channels, and one JSON object printed at the end.

`python -m loadtests.bench.grpc_client --port P --load FILE --seconds S --connections C`: `C` calls are in flight.
Messages are sent and taken as bytes, so that what costs is gRPC itself; the load's headers go along as metadata.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import grpc
import uvloop

from loadtests.bench.grpc_bodies import Metadata, metadata_of
from loadtests.bench.tally import OK, Tally

_CHANNELS: Final = 4
_FAILED: Final = 500


async def closed_loop(
    port: int, method: str, messages: Sequence[bytes], *, metadata: Metadata, calls: int, seconds: float
) -> dict[str, Any]:
    """Keep so many calls in flight for some seconds and return what came back."""
    tally, started = Tally(), time.perf_counter()

    async def ask(ask_one: Any, offset: int) -> None:
        for message in cycle([*messages[offset:], *messages[:offset]]):
            sent = time.perf_counter()
            if sent - started >= seconds:
                return
            try:
                await ask_one(message, metadata=metadata)
            except grpc.aio.AioRpcError:
                tally.note(_FAILED, time.perf_counter() - sent)
            else:
                tally.note(OK, time.perf_counter() - sent)

    options = [("grpc.use_local_subchannel_pool", 1)]  # else all channels would share one connection
    channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) for _ in range(_CHANNELS)]
    try:
        methods = [channel.unary_unary(method) for channel in channels]
        offsets = [number * len(messages) // calls for number in range(calls)]
        await asyncio.gather(*(ask(methods[number % _CHANNELS], offset) for number, offset in enumerate(offsets)))
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
    return tally.summary(time.perf_counter() - started)


def main() -> None:
    """Read the arguments, send, and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--load", type=Path, required=True, help="what `loadtests.bench.client.write_load` wrote")
    parser.add_argument("--connections", type=int, default=16, help="calls in flight")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=0, help="not used: a closed loop draws nothing")
    options = parser.parse_args()
    load = json.loads(options.load.read_text(encoding="utf-8"))
    messages = [base64.b64decode(text) for text in load["bodies"]]
    loop = closed_loop(
        options.port,
        load["path"],
        messages,
        metadata=metadata_of(load["headers"]),
        calls=options.connections,
        seconds=options.seconds,
    )
    result = uvloop.run(loop)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
