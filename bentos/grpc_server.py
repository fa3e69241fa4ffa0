"""The gRPC server of one worker: on the worker's event loop, beside HTTP, on a port that all workers share.

The kernel gives each new connection to one of the workers. A connection stays with its worker: after a few minutes
it is asked to end, so that clients spread again when workers have come or gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from bentos.admission import Admission
from bentos.grpc_call import Calls, Door
from bentos.grpc_health import Health
from bentos.grpc_inference import InferenceService
from bentos.settings import ServingSettings
from bentos.worker import Worker
from inference.grpc_messages import POOL, SERVICE

_log = logging.getLogger(__name__)
_HEALTH: Final = "grpc.health.v1.Health"
_SPARE_STREAMS: Final = 16
_POLL_SECONDS: Final = 0.01
_QUIET_SECONDS: Final = 0.1
_LONGEST_UNREST: Final = 1.0
_LAST_SECONDS: Final = 0.1
_PING_MILLISECONDS: Final = 10_000
_WINDOW_BYTES: Final = 2**20
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class GrpcServer:
    """Serves gRPC from `start` until `stop`, or until the process is asked to end.

    Args:
        door: Shared with HTTP.
        worker: What serves.
        host: Address to listen on.
        admission: Who may do what; health is for everybody.
    """

    def __init__(self, door: Door, worker: Worker, admission: Admission, *, host: str) -> None:
        self._worker, self._host, self._serving = worker, host, worker.serving
        self.calls = Calls(door, worker, admission)
        self._ending: asyncio.Task[None] | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self.port = 0

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port cannot be had, or a TLS file cannot be read.
        """
        serving = self._serving
        self._health = Health(self._worker)
        with _begun_threads_give_way():
            self._server = grpc.aio.server(options=_options(serving))
        self._server.add_generic_rpc_handlers((InferenceService(self._worker, self.calls),))
        generic = _GenericOnly(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, generic)
        _reflect(generic)
        address = (
            f"[{self._host}]:{serving.grpc_port}" if ":" in self._host else f"{self._host}:{serving.grpc_port}"
        )
        credentials = _credentials(serving)
        try:
            if credentials is None:
                self.port = self._server.add_insecure_port(address)
            else:
                self.port = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            raise OSError(f"gRPC cannot listen on {address} (FAIRMIND_BENTOS_GRPC_PORT)") from None
        await self._server.start()
        self._listen_to_signals()
        _log.info("gRPC is served on %s%s", address, "" if credentials is None else " with TLS")

    async def stop(self) -> None:
        """Take nothing new, answer what was taken, end. As often as one likes."""
        self._drain()
        if self._ending is not None:
            await self._ending
        for number, before in self._handlers.items():
            signal.signal(number, before)
        self._handlers.clear()

    def _drain(self) -> None:
        if self._ending is None:
            self.calls.is_draining = True
            self._health.drain()
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def _end(self) -> None:
        began = time.monotonic()
        while self.calls.under_way and time.monotonic() - began < self._serving.timeout_seconds:
            await asyncio.sleep(_POLL_SECONDS)
        # gRPC cancels, without a word, what arrives while it closes: clients are to hear UNAVAILABLE before that.
        answered = time.monotonic()
        while (now := time.monotonic()) - max(began, self.calls.refused_at) < _QUIET_SECONDS:
            if now - answered > _LONGEST_UNREST:
                break
            await asyncio.sleep(_POLL_SECONDS)
        self._health.end()
        await self._server.stop(_LAST_SECONDS)

    def _listen_to_signals(self) -> None:
        """Drain as soon as the process is asked to end: HTTP would end first, and gRPC take calls meanwhile."""
        if threading.current_thread() is not threading.main_thread():
            return
        loop = asyncio.get_running_loop()

        def end(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._drain)
            before = self._handlers.get(signal.Signals(number))
            if callable(before):
                before(number, frame)
            elif before == signal.SIG_DFL:  # nobody else waits for it, and what it does by default is to end
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)

        for number in _SIGNALS:
            self._handlers[number] = signal.signal(number, end)


class _GenericOnly:
    """A server to add services to, whose methods are not registered one by one.

    For each registered method gRPC keeps a task that waits for its next call, and at every call of any method it
    waits for all these tasks anew: calls of health and reflection are too rare to be worth that.
    """

    def __init__(self, server: Any) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, _service: str, _handlers: Mapping[str, Any]) -> None:
        """Leave the methods to the generic handlers, which have them too."""


@contextlib.contextmanager
def _begun_threads_give_way() -> Iterator[None]:
    """Have the threads that begin meanwhile not push the event loop aside whenever something wakes them.

    gRPC's polling thread is woken several times a call. As a batch thread it takes what has come by the time the
    event loop waits, where there is no other core for it: a seventh of a call's CPU.
    """
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        # Not on every system; and a sandbox may forbid it.
        with contextlib.suppress(AttributeError, OSError):
            os.sched_setscheduler(thread.native_id or 0, os.SCHED_BATCH, os.sched_param(0))


def _options(serving: ServingSettings) -> list[tuple[str, int]]:
    age = int(1e3 * serving.grpc_connection_seconds)
    return [
        ("grpc.so_reuseport", 1),
        ("grpc.max_receive_message_length", serving.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        # A client with more to ask waits at its own end before anything of it is read here.
        ("grpc.max_concurrent_streams", serving.max_in_flight + _SPARE_STREAMS),
        # A window that is always wide instead of one that grows with what probes, which cost 3 % of a call, tell.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        ("grpc.max_connection_age_ms", age),
        ("grpc.max_connection_age_grace_ms", int(2e3 * serving.timeout_seconds)),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_MILLISECONDS),
        ("grpc.keepalive_permit_without_calls", 1),
    ]


def _credentials(serving: ServingSettings) -> Any:
    """Return the credentials of a server with TLS, None where no certificate is set."""
    if serving.tls_certificate is None or serving.tls_key is None:
        return None
    authority = serving.tls_client_ca
    return grpc.ssl_server_credentials(
        [(serving.tls_key.read_bytes(), serving.tls_certificate.read_bytes())],
        root_certificates=None if authority is None else authority.read_bytes(),
        require_client_auth=authority is not None,
    )


def _reflect(server: Any) -> None:
    for file in (health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR):
        POOL.AddSerializedFile(file.serialized_pb)
    reflection.enable_server_reflection((SERVICE, _HEALTH, reflection.SERVICE_NAME), server, pool=POOL)
