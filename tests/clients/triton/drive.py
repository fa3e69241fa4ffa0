"""Triton's clients against a server: JSON on standard input says where and what to ask, JSON comes out."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.grpc.aio as over_grpc_async
import tritonclient.http as over_http
import tritonclient.http.aio as over_http_async
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

ASKED = json.load(sys.stdin)
MODEL, COLUMNS = ASKED["model"], ASKED["columns"]
OUTPUTS = ("prediction", "probabilities")
EVERY_NUMBER = [f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)] + ["FP16", "FP32", "FP64"]


def tensors(library: Any, rows: list[dict[str, Any]], datatypes: dict[str, str], **how: Any) -> list[Any]:
    """Return one tensor per column."""
    made = []
    for name, datatype in datatypes.items():
        dtype = object if datatype == "BYTES" else triton_to_np_dtype(datatype)
        tensor = library.InferInput(name, [len(rows)], datatype)
        tensor.set_data_from_numpy(np.array([row[name] for row in rows], dtype=dtype), **how)
        made.append(tensor)
    return made


def told(result: Any) -> dict[str, Any]:
    """Return labels and P(classes[1]) of an answer."""
    labels = [one.decode() if isinstance(one, bytes) else one for one in result.as_numpy("prediction").tolist()]
    probabilities = result.as_numpy("probabilities")
    return {"labels": labels, "scores": None if probabilities is None else probabilities[:, 1].tolist()}


def refused(call: Any) -> list[str]:
    """Return status and message of a request that the server refuses."""
    try:
        call()
    except InferenceServerException as error:
        return [str(error.status()), str(error.message())]
    return ["200", "nothing was refused"]


def http() -> dict[str, Any]:
    """Return what the HTTP client got."""
    client = over_http.InferenceServerClient(f"127.0.0.1:{ASKED['http']}", network_timeout=60)
    rows = ASKED["rows"]
    found: dict[str, Any] = {
        "health": [client.is_server_live(), client.is_server_ready(), client.is_model_ready(MODEL)],
        "version ready": client.is_model_ready(MODEL, "2"),
        "server": client.get_server_metadata(),
        "model": client.get_model_metadata(MODEL),
        "index": client.get_model_repository_index(),
        "refused": {
            "model": refused(lambda: client.infer("nobody", tensors(over_http, rows, COLUMNS))),
            "version": refused(lambda: client.infer(MODEL, tensors(over_http, rows, COLUMNS), "9")),
            "column": refused(lambda: client.infer(MODEL, tensors(over_http, rows, COLUMNS)[:1])),
            "output": refused(
                lambda: client.infer(
                    MODEL, tensors(over_http, rows, COLUMNS), outputs=[over_http.InferRequestedOutput("nothing")]
                )
            ),
            "load": refused(lambda: client.load_model(MODEL)),
            "unload": refused(lambda: client.unload_model(MODEL)),
        },
    }
    for binary in (True, False):
        kind = "binary" if binary else "JSON"
        inputs = tensors(over_http, rows, COLUMNS, binary_data=binary)
        outputs = [over_http.InferRequestedOutput(name, binary_data=binary) for name in OUTPUTS]
        found[kind] = told(client.infer(MODEL, inputs, outputs=outputs, request_id=f"mine {kind} ü"))
        found[f"{kind}, all outputs"] = told(client.infer(MODEL, inputs))
        for encoding in ("gzip", "deflate"):
            found[f"{kind}, {encoding}"] = told(
                client.infer(
                    MODEL,
                    inputs,
                    headers={},
                    request_compression_algorithm=encoding,
                    response_compression_algorithm=encoding,
                )
            )
    found["version"] = told(client.infer(MODEL, inputs, "1"))
    found["async_infer"] = told(client.async_infer(MODEL, inputs).get_result())
    for datatype in EVERY_NUMBER:
        for binary in (True, False) if datatype != "FP16" else (True,):
            inputs = tensors(over_http, rows, COLUMNS | {"age": datatype}, binary_data=binary)
            found[f"{datatype} {binary}"] = told(client.infer(MODEL, inputs))
    many = (rows * (10_000 // len(rows) + 1))[:10_000]
    found["10,000 rows"] = told(client.infer(MODEL, tensors(over_http, many, COLUMNS)))
    found["one row"] = told(client.infer(MODEL, tensors(over_http, rows[:1], COLUMNS)))
    response = client.infer(MODEL, tensors(over_http, ASKED["units"], ASKED["with_units"])).get_response()
    found["units"] = {"version": response["model_version"], "parameters": response["parameters"]}
    client.close()
    return found


async def http_async() -> dict[str, Any]:
    """Return what the asynchronous HTTP client got."""
    client = over_http_async.InferenceServerClient(f"127.0.0.1:{ASKED['http']}")
    answers = await asyncio.gather(
        *(client.infer(MODEL, tensors(over_http_async, ASKED["rows"], COLUMNS)) for _ in range(8))
    )
    ready = await client.is_server_ready()
    await client.close()
    return {"ready": ready, "answers": [told(answer) for answer in answers]}


def grpc() -> dict[str, Any]:
    """Return what the gRPC client got."""
    client = over_grpc.InferenceServerClient(f"127.0.0.1:{ASKED['grpc']}")
    rows = ASKED["rows"]
    inputs = tensors(over_grpc, rows, COLUMNS)
    found: dict[str, Any] = {
        "health": [client.is_server_live(), client.is_server_ready(), client.is_model_ready(MODEL)],
        "server": client.get_server_metadata(as_json=True),
        "model": client.get_model_metadata(MODEL, as_json=True),
        "index": client.get_model_repository_index(as_json=True),
        "refused": {
            "model": refused(lambda: client.infer("nobody", inputs)),
            "version": refused(lambda: client.infer(MODEL, inputs, "9")),
            "column": refused(lambda: client.infer(MODEL, inputs[:1])),
            "load": refused(lambda: client.load_model(MODEL)),
        },
        "binary": told(client.infer(MODEL, inputs)),
        "version": told(client.infer(MODEL, inputs, "1")),
    }
    for datatype in EVERY_NUMBER:
        found[datatype] = told(client.infer(MODEL, tensors(over_grpc, rows, COLUMNS | {"age": datatype})))
    many = (rows * (10_000 // len(rows) + 1))[:10_000]
    found["10,000 rows"] = told(client.infer(MODEL, tensors(over_grpc, many, COLUMNS)))
    found["one row"] = told(client.infer(MODEL, tensors(over_grpc, rows[:1], COLUMNS)))
    response = client.infer(MODEL, tensors(over_grpc, ASKED["units"], ASKED["with_units"])).get_response()
    found["units"] = {"version": response.model_version}
    client.close()
    return found


async def grpc_async() -> dict[str, Any]:
    """Return what the asynchronous gRPC client got."""
    async with over_grpc_async.InferenceServerClient(f"127.0.0.1:{ASKED['grpc']}") as client:
        inputs = tensors(over_grpc_async, ASKED["rows"], COLUMNS)
        answers = await asyncio.gather(*(client.infer(MODEL, inputs) for _ in range(8)))
        return {"ready": await client.is_server_ready(), "answers": [told(answer) for answer in answers]}


report: dict[str, Any] = {"http": http(), "http async": asyncio.run(http_async())}
report |= {"grpc": grpc(), "grpc async": asyncio.run(grpc_async())}
report["interface"] = base64.b64encode(service_pb2.DESCRIPTOR.serialized_pb).decode()
sys.stdout.write(json.dumps(report) + "\n")
