"""KServe's clients against a server: JSON on standard input says where and what to ask, JSON comes out."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2

ASKED = json.load(sys.stdin)
MODEL, COLUMNS, ROWS = ASKED["model"], ASKED["columns"], ASKED["rows"]
URL = f"http://127.0.0.1:{ASKED['http']}"
DTYPES = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}


def request(rows: list[dict[str, Any]], *, binary: bool, request_id: str | None = None) -> InferRequest:
    """Return a request of one tensor per column."""
    inputs = []
    for name, datatype in COLUMNS.items():
        tensor = InferInput(name, [len(rows)], datatype)
        tensor.set_data_from_numpy(
            np.array([row[name] for row in rows], dtype=DTYPES[datatype]), binary_data=binary
        )
        inputs.append(tensor)
    return InferRequest(MODEL, inputs, request_id=request_id)


def told(response: Any) -> dict[str, Any]:
    """Return labels, P(classes[1]) and id of an answer."""
    outputs = {output.name: output for output in response.outputs}
    labels = [one.decode() if isinstance(one, bytes) else one for one in outputs["prediction"].as_numpy().tolist()]
    probabilities = outputs["probabilities"].as_numpy().reshape(len(labels), -1)
    return {"labels": labels, "scores": probabilities[:, 1].tolist(), "id": response.id}


async def refused(call: Any) -> list[str]:
    """Return status and body of a request that the server refuses."""
    try:
        await call
    except httpx.HTTPStatusError as error:
        return [str(error.response.status_code), error.response.text]
    return ["200", "nothing was refused"]


async def v2() -> dict[str, Any]:
    """Return what the REST client got over the Open Inference Protocol."""
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    found: dict[str, Any] = {
        "health": [
            await client.is_server_live(URL),
            await client.is_server_ready(URL),
            await client.is_model_ready(URL, MODEL),
        ],
        "no model": await client.is_model_ready(URL, "nobody"),
        "refused": await refused(client.infer(URL, request(ROWS, binary=True), "nobody")),
    }
    for binary in (True, False):
        kind = "binary" if binary else "JSON"
        answer = await client.infer(URL, request(ROWS, binary=binary, request_id="mine"), MODEL)
        found[kind] = told(answer)
        many = (ROWS * (10_000 // len(ROWS) + 1))[:10_000]
        found[f"{kind}, 10,000 rows"] = told(await client.infer(URL, request(many, binary=binary), MODEL))
        found[f"{kind}, one row"] = told(await client.infer(URL, request(ROWS[:1], binary=binary), MODEL))
    await client.close()
    return found


async def v1() -> dict[str, Any]:
    """Return what the REST client got over KServe's first protocol."""
    client = InferenceRESTClient(RESTConfig(protocol="v1", timeout=60))
    found = {
        "ready": await client.is_model_ready(URL, MODEL),
        "answer": await client.infer(URL, {"instances": ROWS}, MODEL),
        "refused": await refused(client.infer(URL, {"instances": [{"age": 1.0}]}, MODEL)),
    }
    await client.close()
    return found


async def grpc() -> dict[str, Any]:
    """Return what the gRPC client got."""
    client = InferenceGRPCClient(f"127.0.0.1:{ASKED['grpc']}")
    many = (ROWS * (10_000 // len(ROWS) + 1))[:10_000]
    found: dict[str, Any] = {
        "health": [
            await client.is_server_live(),
            await client.is_server_ready(),
            await client.is_model_ready(MODEL),
        ],
        "binary": told(await client.infer(request(ROWS, binary=True, request_id="mine"))),
        "binary, one row": told(await client.infer(request(ROWS[:1], binary=True))),
        "binary, 10,000 rows": told(await client.infer(request(many, binary=True))),
    }
    await client.close()
    return found


async def main() -> dict[str, Any]:
    """Return what all clients got."""
    report = {"v2": await v2(), "v1": await v1()}
    interface = base64.b64encode(grpc_predict_v2_pb2.DESCRIPTOR.serialized_pb).decode()
    return report | {"grpc": await grpc(), "interface": interface}


sys.stdout.write(json.dumps(asyncio.run(main())) + "\n")
