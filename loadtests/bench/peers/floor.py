"""The floor: a bare ASGI app that decodes, runs the compiled model and encodes; no assignment, no log, no metrics.

Served by uvicorn on uvloop and httptools. Nothing that speaks HTTP from Python on this stack costs much less.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson

from inference.columns import columns_from_rows
from inference.loading import load_model

MODEL = load_model(Path(os.environ["BENCH_MODEL_FOLDER"]) / "fairmind")

Message = dict[str, Any]


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """Answer any POST as POST /predict."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    answer = _predict(bytes(body)) if body else b"{}"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


def _predict(body: bytes) -> bytes:
    rows = [instance["features"] for instance in orjson.loads(body)["instances"]]
    columns = columns_from_rows(rows, MODEL.signature)
    predictions = MODEL.predict(columns, len(rows))
    if predictions.probabilities is None:
        return orjson.dumps({"predictions": [{"prediction": value} for value in predictions.prediction.tolist()]})
    pairs = zip(predictions.prediction.tolist(), predictions.probabilities[:, 1].tolist(), strict=True)
    return orjson.dumps({"predictions": [{"prediction": label, "probability": p} for label, p in pairs]})


async def _live(receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
