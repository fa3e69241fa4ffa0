"""`grpc.health.v1.Health`: whether this worker can answer. Open to everybody and never refused for overload."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bentos.worker import Worker
from inference.grpc_messages import SERVICE

_LOOK_SECONDS: Final = 0.25
_SERVICES: Final = frozenset({"", SERVICE})
_Status: Final = health_pb2.HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # gRPC's classes carry no types
    """Health of the server as a whole and of the inference service, which are the same.

    Serving begins with the first loaded model and ends for good with `drain`.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._draining, self._ended = asyncio.Event(), asyncio.Event()

    def drain(self) -> None:
        """Say from now on, and at once to those who watch, that nothing is served."""
        self._draining.set()

    def end(self) -> None:
        """End the streams of those who watch."""
        self._ended.set()

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802 - the interface's name
        """Answer the status of a service."""
        if request.service not in _SERVICES:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("this server has no service of that name")
            return _Status()
        return _Status(status=self._status())

    async def Watch(self, request: Any, _context: Any) -> AsyncIterator[Any]:  # noqa: N802 - the interface's name
        """Answer the status of a service, and again whenever it changes."""
        if request.service not in _SERVICES:
            yield _Status(status=_Status.SERVICE_UNKNOWN)
            await self._ended.wait()
            return
        told = None
        while True:
            status = self._status()
            if status != told:
                told = status
                yield _Status(status=status)
            if self._ended.is_set():
                return
            # Once it drains nothing changes any more: only the end is waited for.
            awaited = self._ended if self._draining.is_set() else self._draining
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(awaited.wait(), _LOOK_SECONDS)

    async def List(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - the interface's name
        """Answer the status of all services."""
        status = _Status(status=self._status())
        return health_pb2.HealthListResponse(statuses=dict.fromkeys(_SERVICES, status))

    def _status(self) -> int:
        is_serving = bool(self._worker.models) and not self._draining.is_set()
        return int(_Status.SERVING if is_serving else _Status.NOT_SERVING)
