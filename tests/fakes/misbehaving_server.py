"""A server of somebody else's on real sockets, that can be told to misbehave.

It speaks the Open Inference Protocol (REST and gRPC), MLflow's scoring protocol and KServe V1 for one model, and
runs in threads of this process.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import grpc

from cli.children import free_port
from tests.fakes.remote_grpc import grpc_server
from tests.fakes.remote_model import Fault, RemoteModel
from tests.fakes.remote_protocols import described, scored

_HUGE: Final = 2 << 20
_HANG_SECONDS: Final = 600.0
_SCORING: Final = ("/infer", "/invocations", ":predict", "ModelInfer")
_STATUS: Final = {Fault.ERROR: 500, Fault.BUSY: 503, Fault.REFUSAL: 400, Fault.REDIRECT: 307}


class RemoteServer:
    """The server; a context manager, up inside of it.

    The version that it reports is `model.version`, which may be changed while it runs.

    Args:
        model: What it serves.
        raw: Whether gRPC outputs go out as bytes, as Triton's do, or typed, as MLServer's.
    """

    def __init__(self, model: RemoteModel, *, raw: bool = True) -> None:
        self.model, self._raw = model, raw
        self.port, self.grpc_port = free_port(), free_port()
        self.is_healthy = True
        """Whether its health routes say so; it scores either way."""
        self.seconds = 0.5
        """What `Fault.SLOW` takes."""
        self.requests: Counter[str] = Counter()
        """How often each path or gRPC method was asked."""
        self.headers: dict[str, str] = {}
        """Of the last scoring request, their names in small letters."""
        self.connections = 0
        """How many HTTP connections were made since the beginning."""
        self._fault: Fault | None = None
        self._times: int | None = None
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._http: _HttpServer | None = None
        self._grpc: grpc.Server | None = None

    @property
    def url(self) -> str:
        """Where it speaks HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def target(self) -> str:
        """Where it speaks gRPC."""
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def scored(self) -> int:
        """How many calls asked it to score, whatever came of them."""
        return sum(count for path, count in self.requests.items() if path.endswith(_SCORING))

    def misbehave(self, fault: Fault | None, times: int | None = None) -> None:
        """Do `fault` when it is to score, for so many calls or until told otherwise; None is to behave.

        Calls that are slow or hang are let go.
        """
        with self._lock:
            self._fault, self._times = fault, times
        self._released.set()
        self._released = threading.Event()

    @contextlib.contextmanager
    def misbehaving(self, fault: Fault) -> Iterator[RemoteServer]:
        """Do `fault` while the block runs."""
        self.misbehave(fault)
        try:
            yield self
        finally:
            self.misbehave(None)

    def begin(self, what: str, headers: dict[str, str]) -> Fault | None:
        """Note a request and return what is to go wrong with it; where it is late, that was waited for."""
        with self._lock:
            self.requests[what] += 1
            if not what.endswith(_SCORING):
                return None
            self.headers = {name.lower(): value for name, value in headers.items()}
            fault = self._fault
            if fault is not None and self._times is not None:
                self._times -= 1
                if self._times <= 0:
                    self._fault = self._times = None
            released = self._released
        if fault is Fault.SLOW:
            released.wait(self.seconds)
            return None
        if fault is Fault.HANG:
            released.wait(_HANG_SECONDS)
            return Fault.RESET
        return fault

    def up(self) -> None:
        """Listen, on the same ports as before."""
        self._released = threading.Event()
        self._http = _HttpServer(self)
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        self._grpc = grpc_server(
            self.model, self.begin, self.grpc_port, is_healthy=lambda: self.is_healthy, raw=self._raw
        )

    def down(self) -> None:
        """Refuse connections and end those there are, as a process does that is killed."""
        self._released.set()
        if self._grpc is not None:
            self._grpc.stop(0).wait()
            self._grpc = None
        if self._http is not None:
            self._http.end()
            self._http = None

    def __enter__(self) -> RemoteServer:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, remote: RemoteServer) -> None:
        self.remote = remote
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", remote.port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self.remote.connections += 1
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: callers hang up, and so does `end`."""

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet

    def do_GET(self) -> None:
        remote = self.server.remote
        remote.begin(self.path, {})
        page = described(remote.model, self.path)
        is_health = self.path.endswith(("/ready", "/ping", "/health", "/live"))
        if page is None:
            self._answer(404, {"error": "there is no such page"})
        else:
            self._answer(503 if is_health and not remote.is_healthy else 200, page)

    def do_POST(self) -> None:
        remote = self.server.remote
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = remote.begin(self.path, dict(self.headers))
        if fault is Fault.RESET:
            self._hang_up()
        elif fault in _STATUS:
            self._answer(_STATUS[fault], {"error": f"it {fault}"}, fault)
        elif fault is Fault.NOT_JSON:
            self._answer(200, "<html>Maintenance</html>")
        elif fault is Fault.HUGE:
            self._answer(200, {"predictions": " " * _HUGE})
        else:
            try:
                found = scored(remote.model, self.path, body, fault)
            except (KeyError, ValueError, TypeError) as error:
                self._answer(400, {"error": str(error)})
                return
            self._answer(404 if found is None else 200, found or {"error": "it has no outputs"}, fault)

    def _answer(self, status: int, content: dict[str, Any] | str, fault: Fault | None = None) -> None:
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(content, str) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        if fault is Fault.BUSY:
            self.send_header("Retry-After", "1")
        if fault is Fault.REDIRECT:
            self.send_header("Location", f"{self.server.remote.url}/elsewhere")
        self.end_headers()
        if fault is Fault.CUT:
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self._hang_up()
            return
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        # Not politely: with a reset, as from a process that was killed.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
        """Say nothing."""
