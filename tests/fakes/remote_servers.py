"""Servers that a remote variant could be: real sockets on loopback, one per protocol, which do as they are told.

Each scores rows with two columns, `age` and `income`: P(classes[1]) is age / 100. `FakeRemote.behave` makes them
misbehave.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import orjson
from aiohttp import web

from inference.grpc_messages import SERVICE, message_type

Answered = tuple[int, Any]
"""A status and a body: bytes as they are, anything else as JSON."""


@dataclass
class FakeRemote:
    """What a fake server does and what it saw.

    `behave` is called with a decoded request and may answer in place of the model, by status and body; `version` is
    what it reports, None for nothing.
    """

    port: int = 0
    version: str | None = "3"
    ready: bool = True
    calls: int = 0
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    behave: Callable[[Any], Awaitable[Answered | None]] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"


def _json(body: Any, status: int = 200) -> web.Response:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return web.Response(body=content, status=status, content_type="application/json")


@contextlib.asynccontextmanager
async def remote_server(answer: Callable[[FakeRemote, Any], Any], port: int = 0) -> AsyncIterator[FakeRemote]:
    """Serve every POST by `answer`, and what each protocol asks about health and metadata."""
    fake = FakeRemote()

    async def post(request: web.Request) -> web.StreamResponse:
        fake.calls += 1
        fake.headers.append({name.lower(): value for name, value in request.headers.items()})
        body = orjson.loads(await request.read())
        fake.bodies.append(body)
        told = await fake.behave(body) if fake.behave is not None else None
        if told is None:
            return _json(answer(fake, body))
        status, content = told
        headers = {"Location": "/elsewhere"} if 300 <= status < 400 else {}
        response = _json(content, status)
        response.headers.update(headers)
        return response

    async def ready(_: web.Request) -> web.Response:
        return _json({"name": "m", "ready": fake.ready}, 200 if fake.ready else 503)

    async def metadata(_: web.Request) -> web.Response:
        versions = [] if fake.version is None else [fake.version]
        inputs = [{"name": name, "datatype": "FP64", "shape": [-1]} for name in ("age", "income")]
        classes = {"parameters": {"classes": [0, 1]}}
        outputs = [
            {"name": "prediction", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2], **classes},
        ]
        return _json({"name": "m", "versions": versions, "platform": "t", "inputs": inputs, "outputs": outputs})

    async def ping(_: web.Request) -> web.Response:
        return web.Response(text="\n", status=200 if fake.ready else 503)

    async def version(_: web.Request) -> web.Response:
        return web.Response(text=fake.version or "", status=200 if fake.version else 404)

    app = web.Application()
    app.router.add_post("/{tail:.*}", post)
    app.router.add_get("/v2/models/m/ready", ready)
    app.router.add_get("/v2/models/m", metadata)
    app.router.add_get("/v1/models/m", ready)
    app.router.add_get("/ping", ping)
    app.router.add_get("/version", version)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    fake.port = runner.addresses[0][1]
    try:
        yield fake
    finally:
        await runner.cleanup()


def oip(fake: FakeRemote, body: Any) -> Any:
    """Answer as the Open Inference Protocol."""
    age = np.array(next(one["data"] for one in body["inputs"] if one["name"] == "age"), dtype=float) / 100
    outputs = [
        {"name": "prediction", "datatype": "INT64", "shape": [len(age)], "data": (age > 0.5).astype(int).tolist()},
        {
            "name": "probabilities",
            "datatype": "FP64",
            "shape": [len(age), 2],
            "data": np.column_stack([1 - age, age]).reshape(-1).tolist(),
        },
    ]
    answer = {"model_name": "m", "outputs": outputs}
    return answer if fake.version is None else answer | {"model_version": fake.version}


def mlflow(_: FakeRemote, body: Any) -> Any:
    """Answer as `mlflow models serve`, with labels."""
    table = body["dataframe_split"]
    place = table["columns"].index("age")
    return {"predictions": [int(row[place] > 50) for row in table["data"]]}


def kserve_v1(_: FakeRemote, body: Any) -> Any:
    """Answer as KServe V1, with the two probabilities of each row."""
    return {"predictions": [[1 - row["age"] / 100, row["age"] / 100] for row in body["instances"]]}


@contextlib.asynccontextmanager
async def grpc_server(fake: FakeRemote | None = None) -> AsyncIterator[FakeRemote]:
    """Serve the Open Inference Protocol over gRPC; `behave` answers with a gRPC code and details."""
    fake = fake or FakeRemote()
    handlers = {
        "ModelInfer": (_infer, "ModelInferRequest"),
        "ModelReady": (_ready, "ModelReadyRequest"),
        "ModelMetadata": (_metadata, "ModelMetadataRequest"),
    }
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            _bound(handle, fake),
            request_deserializer=message_type(request).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name, (handle, request) in handlers.items()
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    fake.port = server.add_insecure_port(f"127.0.0.1:{fake.port}")
    await server.start()
    try:
        yield fake
    finally:
        await server.stop(0)


def _bound(handle: Any, fake: FakeRemote) -> Any:
    async def handler(request: Any, context: Any) -> Any:
        return await handle(fake, request, context)

    return handler


async def _infer(fake: FakeRemote, request: Any, context: Any) -> Any:
    fake.calls += 1
    fake.bodies.append(request)
    fake.headers.append({name: str(value) for name, value in context.invocation_metadata()})
    told = await fake.behave(request) if fake.behave is not None else None
    if told is not None:
        await context.abort(*told)
    raws = {one.name: raw for one, raw in zip(request.inputs, request.raw_input_contents, strict=True)}
    age = np.frombuffer(raws["age"]) / 100
    answer = message_type("ModelInferResponse")(model_name="m", model_version=fake.version or "")
    answer.outputs.add(name="prediction", datatype="INT64", shape=[len(age)])
    answer.outputs.add(name="probabilities", datatype="FP64", shape=[len(age), 2])
    answer.raw_output_contents.append((age > 0.5).astype("<i8").tobytes())
    answer.raw_output_contents.append(np.column_stack([1 - age, age]).tobytes())
    return answer


async def _ready(fake: FakeRemote, _: Any, __: Any) -> Any:
    await asyncio.sleep(0)
    return message_type("ModelReadyResponse")(ready=fake.ready)


async def _metadata(fake: FakeRemote, _: Any, __: Any) -> Any:
    await asyncio.sleep(0)
    answer = message_type("ModelMetadataResponse")(name="m", versions=[fake.version] if fake.version else [])
    for name in ("age", "income"):
        answer.inputs.add(name=name, datatype="FP64", shape=[-1])
    answer.outputs.add(name="prediction", datatype="INT64", shape=[-1])
    answer.outputs.add(name="probabilities", datatype="FP64", shape=[-1, 2])
    return answer
