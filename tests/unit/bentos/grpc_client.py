"""A worker's gRPC server on a free port, asked over a real channel, and models that are as slow as a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np

from access.keyring import Keyring
from bentos import forwarding
from bentos.admission import Admission
from bentos.edge import FrontDoor
from bentos.grpc_server import GrpcServer
from bentos.served import Served, Variant
from bentos.settings import BatchingSettings
from bentos.worker import Worker
from inference.batching import Batcher, BatchingPolicy
from inference.cost import CostModel
from inference.decision import Decision
from inference.encoded_tensors import raw_tensor
from inference.grpc_messages import SERVICE, ModelInferRequest, message_type
from inference.observer import SilentObserver
from inference.runtime import Columns, Scores
from inference.served_model import ServedModel
from inference.signature import Column, ColumnType, Signature, Task
from monitoring.metrics import ServingMetrics

DTYPES = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}
FIELDS = {"FP64": "fp64_contents", "INT64": "int64_contents", "BOOL": "bool_contents", "BYTES": "bytes_contents"}


def request(model: str, values: Mapping[str, Any], *, typed: bool = False, **more: Any) -> Any:
    """Return a ModelInferRequest with one tensor per column."""
    message = ModelInferRequest(model_name=model, **more)
    for name, given in values.items():
        array = np.asarray(given)
        if array.dtype.kind in "US":
            array = array.astype(object)
        head, raw = raw_tensor(name, array)
        tensor = message.inputs.add(name=name, datatype=head["datatype"], shape=head["shape"])
        if typed:
            flat = array.reshape(-1).tolist()
            encoded = [value.encode() for value in flat] if head["datatype"] == "BYTES" else flat
            getattr(tensor.contents, FIELDS[head["datatype"]]).extend(encoded)
        else:
            message.raw_input_contents.append(raw)
    return message


def outputs(answer: Any) -> dict[str, np.ndarray]:
    """Return the outputs of an answer, all of which must be raw, as numpy arrays."""
    assert len(answer.outputs) == len(answer.raw_output_contents)
    found = {}
    for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
        assert not output.HasField("contents")
        values = np.frombuffer(raw, dtype=DTYPES[output.datatype])
        found[output.name] = values.reshape(tuple(output.shape))
    return found


@dataclass
class Client:
    """Asks one server."""

    channel: Any
    worker: Worker
    server: GrpcServer
    door: FrontDoor

    def call(self, method: str, message: Any = None, **options: Any) -> Any:
        """Return a call of a method of the inference service; without a message, with an empty one."""
        sent = message_type(f"{method}Request")() if message is None else message
        ask = self.channel.unary_unary(
            f"/{SERVICE}/{method}",
            lambda given: given if isinstance(given, bytes) else given.SerializeToString(),
            message_type(f"{method}Response").FromString,
        )
        return ask(sent, **options)

    async def refused(self, method: str, message: Any = None, **options: Any) -> tuple[str, str]:
        """Return the code and the message with which a call is refused, which it must be."""
        try:
            await self.call(method, message, **options)
        except grpc.aio.AioRpcError as error:
            return error.code().name, error.details()
        raise AssertionError("it was answered")


@contextlib.asynccontextmanager
async def serving_grpc(
    service: Any, *, channel: Callable[[int], Any] | None = None, keys_required: bool = False, **settings: Any
) -> AsyncIterator[Client]:
    """Run a worker with its gRPC server; settings are those of `ServingSettings`."""
    worker = Worker(
        state_file=service.state_file,
        spool=service.home / "spool",
        serving=service.serving.model_copy(update={"grpc_port": 0, **settings}),
        batching=BatchingSettings(),
        monitoring=service.monitoring,
        metrics=ServingMetrics(),
    )
    admission = Admission(Keyring(service.home / "run" / "keys.json"), required=keys_required)
    door = FrontDoor(_no_application, worker, forwarding.Companion(), admission)
    server = GrpcServer(door, worker, admission, host="127.0.0.1")
    await worker.start()
    await server.start()
    made = channel(server.port) if channel else grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
    try:
        async with made as opened:
            yield Client(opened, worker, server, door)
    finally:
        await server.stop()
        await worker.stop()


def run(service: Any, scenario: Callable[[Client], Coroutine[Any, Any, Any]], **options: Any) -> Any:
    """Run a scenario against a server that lives as long as it does."""

    async def live() -> Any:
        async with serving_grpc(service, **options) as client:
            return await scenario(client)

    return asyncio.run(live())


async def _no_application(*_: Any) -> None:
    raise AssertionError("nothing falls through to BentoML here")


@dataclass
class Gate:
    """A model of one column `x` that answers 2x once it is let: `entered` says that a call is under way."""

    calls: list[list[float]] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    let: threading.Event = field(default_factory=threading.Event)

    def run(self, columns: Columns, rows: int) -> Scores:
        self.calls.append(columns["x"].tolist())
        self.entered.set()
        assert self.let.wait(30)
        return Scores(values=columns["x"] * 2)

    def serve(self, worker: Worker, executor: ThreadPoolExecutor) -> None:
        """Serve it as the model `gate` in a worker that has no serving state."""
        signature = Signature(columns=(Column(name="x", type=ColumnType.DOUBLE),), task=Task.REGRESSION)
        batcher = Batcher(
            ServedModel(signature, Decision(), self),
            name="gate",
            version="1",
            policy=BatchingPolicy(inline_seconds=0.0),
            cost=CostModel(fixed=1e-3, per_row=1e-9),
            executor=executor,
            observer=SilentObserver(),
        )
        worker.models = {"gate": Served(model="gate", epoch=1, champion=Variant("champion", "1", batcher))}

    async def until_entered(self) -> None:
        """Return when a call of the model is under way."""
        await asyncio.get_running_loop().run_in_executor(None, self.entered.wait, 30)
