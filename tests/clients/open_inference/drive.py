"""The Open Inference Protocol's own client, generated from its OpenAPI document: asked in JSON, told in JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from open_inference.openapi.client import AsyncOpenInferenceClient, OpenInferenceClient
from open_inference.openapi.core import ApiError
from open_inference.openapi.types import InferenceRequest, InferenceResponse, RequestInput, RequestOutput

ASKED = json.load(sys.stdin)
MODEL, COLUMNS = ASKED["model"], ASKED["columns"]
URL = f"http://127.0.0.1:{ASKED['http']}"


def request(rows: list[dict[str, Any]], *, names: list[str] | None = None, **more: Any) -> InferenceRequest:
    """Return a request of one tensor per column."""
    inputs = [
        RequestInput(name=name, shape=[len(rows)], datatype=datatype, data=[row[name] for row in rows])
        for name, datatype in COLUMNS.items()
        if names is None or name in names
    ]
    return InferenceRequest(inputs=inputs, **more)


def told(response: InferenceResponse) -> dict[str, Any]:
    """Return labels, P(classes[1]), version and id of an answer."""
    outputs = {output.name: output.data.dict()["__root__"] for output in response.outputs}
    labels = outputs["prediction"]
    scores = outputs.get("probabilities")
    width = 0 if scores is None else len(scores) // len(labels)
    return {
        "labels": labels,
        "scores": None if scores is None else scores[1::width],
        "version": response.model_version,
        "id": response.id,
    }


def refused(call: Any) -> list[Any]:
    """Return the client's exception, the status and the body with which a request is refused."""
    try:
        call()
    except ApiError as error:
        return [type(error).__name__, error.status_code, error.body]
    return ["", 200, "nothing was refused"]


def sync() -> dict[str, Any]:
    """Return what the synchronous client got."""
    client, rows = OpenInferenceClient(base_url=URL, timeout=60), ASKED["rows"]
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness(MODEL)
    client.check_model_version_readiness(MODEL, "2")
    many = (rows * (10_000 // len(rows) + 1))[:10_000]
    only = [RequestOutput(name="prediction")]
    return {
        "server": client.read_server_metadata().dict(),
        "model": client.read_model_metadata(MODEL).dict(),
        "version": client.read_model_version_metadata(MODEL, "2").dict(),
        "answers": {
            "rows": told(client.model_infer(MODEL, request=request(rows, id="mine"))),
            "one row": told(client.model_infer(MODEL, request=request(rows[:1]))),
            "10,000 rows": told(client.model_infer(MODEL, request=request(many))),
            "of a version": told(client.model_version_infer(MODEL, "1", request=request(rows))),
        },
        "only": told(client.model_infer(MODEL, request=request(rows, outputs=only))),
        "refused": {
            "model": refused(lambda: client.check_model_readiness("nobody")),
            "metadata": refused(lambda: client.read_model_metadata("nobody")),
            "column": refused(lambda: client.model_infer(MODEL, request=request(rows, names=["age"]))),
        },
    }


async def at_once() -> list[dict[str, Any]]:
    """Return what the asynchronous client got for several requests under way at the same time."""
    client = AsyncOpenInferenceClient(base_url=URL, timeout=60)
    answers = await asyncio.gather(*(client.model_infer(MODEL, request=request(ASKED["rows"])) for _ in range(8)))
    return [told(answer) for answer in answers]


sys.stdout.write(json.dumps({"sync": sync(), "async": asyncio.run(at_once())}) + "\n")
