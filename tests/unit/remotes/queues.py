"""Queues of remote models whose servers are fakes on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import numpy as np

from inference.observer import SilentObserver
from inference.signature import Column, ColumnType, Signature, Task
from remotes.clients import open_client
from remotes.definition import RemoteDefinition, RemoteModel
from remotes.queue import RemoteQueue
from tests.fakes.remote_servers import Answered, FakeRemote, grpc_server, kserve_v1, mlflow, oip, remote_server

SIGNATURE = Signature(
    columns=(
        Column(name="age", type=ColumnType.DOUBLE, nullable=True),
        Column(name="income", type=ColumnType.DOUBLE, nullable=True),
    ),
    task=Task.BINARY,
    classes=(0, 1),
)
TENSORS = ({"name": "prediction", "reading": "label"}, {"name": "probabilities", "reading": "probabilities"})
OUTPUTS: dict[str, tuple[dict[str, Any], ...]] = {
    "oip": TENSORS,
    "oip-grpc": TENSORS,
    "mlflow": ({"reading": "label"},),
    "kserve-v1": ({"reading": "probabilities"},),
}
SERVERS: dict[str, Callable[[], AbstractAsyncContextManager[FakeRemote]]] = {
    "oip": lambda: remote_server(oip),
    "oip-grpc": grpc_server,
    "mlflow": lambda: remote_server(mlflow),
    "kserve-v1": lambda: remote_server(kserve_v1),
}
HTTP = ("oip", "mlflow", "kserve-v1")


class Calls:
    """Keeps what a `RemoteObserver` hears."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.open = 0

    def called(self, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.outcomes.append(outcome)

    def rested(self) -> None:
        self.outcomes.append("rested")

    def breaker_changed(self, *, is_open: bool) -> None:
        self.open += 1 if is_open else -1


def model(protocol: str, url: str, **changes: Any) -> RemoteModel:
    url = url.replace("http://", "grpc://") if protocol == "oip-grpc" else url
    named = None if protocol == "mlflow" else "m"
    values = {"url": url, "protocol": protocol, "model": named, "version": "3", "outputs": OUTPUTS[protocol]}
    return RemoteModel(definition=RemoteDefinition.model_validate(values | changes), signature=SIGNATURE)


def queue(remote: RemoteModel, calls: Calls | None = None, **more: Any) -> RemoteQueue:
    return RemoteQueue(
        remote,
        open_client(remote),
        name="credit",
        version="7",
        max_queue_rows=100,
        batches=SilentObserver(),
        calls=calls or Calls(),
        **more,
    )


@asynccontextmanager
async def serving(protocol: str, **changes: Any) -> AsyncIterator[tuple[FakeRemote, RemoteQueue, Calls]]:
    calls, more = Calls(), {}
    if "breaker" in changes:
        more["breaker"] = changes.pop("breaker")
    async with SERVERS[protocol]() as fake:
        made = queue(model(protocol, fake.url, **changes), calls, **more)
        try:
            yield fake, made, calls
        finally:
            await made.close()


def rows(*ages: float) -> dict[str, Any]:
    return {"age": np.array(ages, dtype=float), "income": np.full(len(ages), 10.0)}


def telling(status: Any, body: Any) -> Callable[[Any], Awaitable[Answered]]:
    async def behave(_: Any) -> Answered:
        return status, body

    return behave
