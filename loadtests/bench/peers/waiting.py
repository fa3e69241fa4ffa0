"""A remote model that costs its server nothing but time: any rows are answered alike, after `BENCH_WAIT_MS`.

It stands for a model on a GPU: calls wait beside each other, and what a call through the service takes more than
one made directly is the service's own. It speaks the Open Inference Protocol; `BENCH_METADATA` is what it says of
its model. Served by uvicorn on uvloop and httptools.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

WAIT_SECONDS = float(os.environ["BENCH_WAIT_MS"]) / 1e3
METADATA = os.environ["BENCH_METADATA"].encode()
_READY = b'{"ready":true,"live":true}'
_DESCRIBED = orjson.loads(METADATA)
_ANSWER = orjson.dumps(
    {
        "model_name": _DESCRIBED["name"],
        "model_version": _DESCRIBED["versions"][0],
        "outputs": [
            {"name": "prediction", "datatype": "INT64", "shape": [1], "data": [1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [1, 2], "data": [0.25, 0.75]},
        ],
    }
)

Message = dict[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer a POST after a while, and a GET at once: with the metadata where it ends in the model's name."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    while (await receive()).get("more_body"):
        pass
    if scope["method"] == "POST":
        await asyncio.sleep(WAIT_SECONDS)
        answer = _ANSWER
    else:
        answer = METADATA if scope["path"].endswith(f"/{_DESCRIBED['name']}") else _READY
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


async def _live(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
