"""The front door: answers the hot routes before BentoML sees them, and lets everything else fall through.

BentoML's tracing, metrics, access log and dispatcher cost several times what a prediction costs (docs/adr/0001).
The APIs stay declared on the BentoML service, so that its schema, its clients and its docs page are true.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote

import orjson

from access.errors import AccessError
from bentos import kserve_v1, mlflow_scoring, oip, predict
from bentos.admission import Admission, needed_for
from bentos.docs_page import DocsPage
from bentos.errors import (
    NotReadyError,
    OverloadedError,
    RouteNotFoundError,
    UnsupportedError,
    describe,
    extra_headers,
)
from bentos.forwarding import Companion
from bentos.listening import take_connections_in_bulk
from bentos.routes import HotRoutes
from bentos.wire import App, ClientGoneError, Exchange, Headers, Receive, Scope, Send
from bentos.worker import Worker
from inference.errors import SignatureMismatchError
from monitoring.identifiers import new_request_id
from monitoring.metrics import IN_FLIGHT, IN_FLIGHT_LIMIT

_log = logging.getLogger(__name__)
_access_log = logging.getLogger("fairmind.access")
_ID: Final = b"{request_id}"
_OVERLOAD_LOG_SECONDS: Final = 10.0
_FORWARDED: Final = ("/api/v1/", "/metrics", "/bias_test")

_REFUSALS: Final[Mapping[str, Callable[[int, str, str], tuple[int, bytes]]]] = {
    oip.PROTOCOL: oip.refusal,
    mlflow_scoring.PROTOCOL: mlflow_scoring.refusal,
    kserve_v1.PROTOCOL: kserve_v1.refusal,
}
"""How a protocol says what went wrong, given our status, code and message; ours where it is not here."""
_PREDICTING: Final = (predict.PROTOCOL, *_REFUSALS)

Handler = Callable[[Exchange], Awaitable[None]]


class Beside(Protocol):
    """What serves beside the front door in the same process, on the same event loop."""

    async def start(self) -> None:
        """Begin to serve."""
        ...

    async def stop(self) -> None:
        """Answer what was taken, and end."""
        ...


class FrontDoor:
    """An ASGI application around BentoML's.

    Args:
        app: BentoML's application.
        worker: What serves.
        companion: Where slow routes go.
        admission: Who may do what.
    """

    def __init__(self, app: App, worker: Worker, companion: Companion, admission: Admission) -> None:
        self._app, self._worker, self._companion, self._admission = app, worker, companion, admission
        self._max_in_flight, self._in_flight = worker.serving.max_in_flight, 0
        # Made once: what is refused under overload must cost next to nothing.
        self._overloads = {protocol: _overload(self._max_in_flight, protocol) for protocol in _PREDICTING}
        self._overload_noted_at = -_OVERLOAD_LOG_SECONDS
        self._logs_access = worker.serving.access_log
        if self._logs_access:
            _access_log.setLevel(logging.INFO)
        hot = HotRoutes(worker)
        mlflow = mlflow_scoring.MlflowRoutes(worker)
        self._exact: dict[str, Handler] = {
            "/predict": hot.predict,
            "/v2": hot.v2,
            "/": DocsPage(app),
            "/readyz": hot.readyz,
            "/livez": hot.livez,
            "/invocations": mlflow.invocations,
            "/ping": mlflow.ping,
            "/health": mlflow.ping,
            "/version": mlflow.version,
        }
        self._below: dict[str, Handler] = {
            "/v2/": hot.v2,
            "/models/": mlflow.invocations,
            "/v1/": kserve_v1.KServeV1Routes(worker),
        }
        self._beside: list[Beside] = []
        worker.metrics.watch(IN_FLIGHT, lambda: self._in_flight)
        worker.metrics.watch(IN_FLIGHT_LIMIT, lambda: self._max_in_flight)

    def accompany(self, beside: Beside) -> None:
        """Have something else serve for as long as the worker does: it starts after it and stops before it."""
        self._beside.append(beside)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, new_request_id(), time.perf_counter())
        handler = self._handler(exchange.path)
        if handler is None:
            if await self._admits(exchange):
                await self._app(scope, receive, send)
        elif not predicts(exchange.path):
            await self._answer(handler, exchange)
        elif self.enter():
            # A slot is held until the answer is out: a client that sends or takes nothing must not keep it.
            exchange.patience = self._worker.serving.timeout_seconds
            await self.answer_entered(exchange)
        else:
            status, body, headers = self.overload(exchange)
            await exchange.reply(status, body, headers=headers)

    def enter(self) -> bool:
        """Take one more prediction request, if as many are not under way as one worker can answer in time."""
        if self._in_flight >= self._max_in_flight:
            return False
        self._in_flight += 1
        return True

    def leave(self) -> None:
        """Give the place of one prediction request back."""
        self._in_flight -= 1

    async def answer_entered(self, exchange: Exchange) -> None:
        """Answer a prediction request for which there was room."""
        try:
            await self._answer(self._handler(exchange.path) or _refuse_route, exchange)
        finally:
            self.leave()
        if self._logs_access:
            took = 1e3 * (time.perf_counter() - exchange.started)
            # Escaped again: a line end in a path would begin a line of the caller's own making.
            where, request = f"{exchange.method} {quote(exchange.path, safe='/@~')}", exchange.request_id
            _access_log.info("%s %d %.1f ms request %s", where, exchange.status, took, request)

    def overload(self, exchange: Exchange) -> tuple[int, bytes, Headers]:
        """Return the refusal of a prediction request for which there was no room: status, body, headers."""
        self._note_overload()
        exchange.protocol = predicts(exchange.path) or predict.PROTOCOL
        status, body, headers = self._overloads[exchange.protocol]
        self._worker.metrics.request(exchange.model, exchange.protocol, str(status))
        return status, body.replace(_ID, exchange.request_id.encode()), headers

    async def _answer(self, handler: Handler, exchange: Exchange) -> None:
        try:
            # Before the body is read: who may not ask is not listened to.
            exchange.principal = self._admission.admit(
                exchange.header(b"authorization"), needed_for(exchange.method, exchange.path)
            )
            await handler(exchange)
        except ClientGoneError:
            return
        except Exception as error:
            status, body, headers = self._refusal(error, exchange)
            await exchange.reply(status, body, headers=headers)
        else:
            if exchange.model:
                self._worker.metrics.request(exchange.model, exchange.protocol, "200")

    async def _admits(self, exchange: Exchange) -> bool:
        """Return whether a request may go on to BentoML's application; one that may not is answered."""
        try:
            needed = needed_for(exchange.method, exchange.path)
            exchange.principal = self._admission.admit(exchange.header(b"authorization"), needed)
        except AccessError as error:
            status, body, headers = self._refusal(error, exchange)
            await exchange.reply(status, body, headers=headers)
            return False
        return True

    def _handler(self, path: str) -> Handler | None:
        exact = self._exact.get(path)
        if exact is not None:
            return exact
        for start, handler in self._below.items():
            if path.startswith(start):
                return handler
        return self._forward if path.startswith(_FORWARDED) else None

    async def _forward(self, exchange: Exchange) -> None:
        # In parts: joined and sent in one piece, the rows of a bias test kept predictions waiting for milliseconds.
        answer = await self._companion.forward(
            exchange.scope,
            exchange.parts(self._worker.serving.max_body_bytes),
            exchange.request_id,
            principal=exchange.principal.id,
            callers_id=exchange.callers_id(),
        )
        await exchange.reply(*answer)

    def note(self, error: Exception, named: str, model: str) -> tuple[int, str, str]:
        """Return HTTP status, code and message of an error, and log one that somebody has to look after.

        `named` is how the log names the request; `model` is what it asked for, "" where that is not known.
        """
        status, code, message = describe(error)
        if isinstance(error, SignatureMismatchError):
            self._worker.metrics.mismatched(model, error.kind)
            if model:
                self._worker.refused.note(model, error.kind, time.time())
        if status == 500:
            # A model's own message may hold a feature value: where it failed is logged, what it said is not.
            cause = error.__cause__ or error
            places = "".join(traceback.format_tb(cause.__traceback__))
            _log.error("request %s: %s (%s)\n%s", named, code, type(cause).__name__, places)
        elif code == "overloaded":
            self._note_overload()
        elif status > 500 and not isinstance(error, (NotReadyError, UnsupportedError)):
            _log.warning("request %s: %s", named, code)
        return status, code, message

    def _refusal(self, error: Exception, exchange: Exchange) -> tuple[int, bytes, Headers]:
        status, code, message = self.note(error, _named(exchange), exchange.model)
        if isinstance(error, AccessError):  # nobody has looked at the request yet
            exchange.protocol = _protocol(exchange.path)
        headers = extra_headers(error, status)
        status, body = _said(exchange.protocol, status, code, message, exchange.request_id)
        self._worker.metrics.request(exchange.model, exchange.protocol, str(status))
        return status, body, headers

    def _note_overload(self) -> None:
        """Say that requests are refused, now and then: a line for each would cost more than answering it."""
        now = time.monotonic()
        if now - self._overload_noted_at > _OVERLOAD_LOG_SECONDS:
            self._overload_noted_at = now
            _log.warning("overloaded: requests are refused; fairmind_requests_total counts them")

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_started(message: Any) -> None:
            if message["type"] == "lifespan.startup.complete":
                take_connections_in_bulk(asyncio.get_running_loop())  # before uvicorn begins to listen
                await self._worker.start()
                for beside in self._beside:
                    await beside.start()
            await send(message)
            if message["type"] == "lifespan.shutdown.complete":
                for beside in self._beside:
                    await beside.stop()
                await self._worker.stop()
                await self._companion.close()

        await self._app(scope, receive, send_started)


def _protocol(path: str) -> str:
    """Return the protocol of a path, by which its errors are shaped and counted."""
    protocol = predicts(path)
    if protocol is not None:
        return protocol
    if path == "/v2" or path.startswith("/v2/"):
        return oip.PROTOCOL
    if path.startswith("/v1/"):
        return kserve_v1.PROTOCOL
    return mlflow_scoring.PROTOCOL if path == "/version" or path.startswith("/models/") else "api"


def _named(exchange: Exchange) -> str:
    """Return how the log names a request: by our id, and by the caller's where there is one."""
    callers_id = exchange.callers_id()
    return exchange.request_id if callers_id is None else f"{exchange.request_id} ({callers_id.decode()})"


def _said(protocol: str, status: int, code: str, message: str, request_id: str) -> tuple[int, bytes]:
    """Return status and body of an error, in the shape of the protocol."""
    refusal = _REFUSALS.get(protocol)
    if refusal is not None:
        return refusal(status, code, message)
    return status, orjson.dumps({"error": {"code": code, "message": message, "request_id": request_id}})


def _overload(limit: int, protocol: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Return the refusal of a request too many, with `_ID` where its id belongs."""
    error = OverloadedError(limit)
    status, code, message = describe(error)
    return *_said(protocol, status, code, message, _ID.decode()), extra_headers(error, status)


def predicts(path: str) -> str | None:
    """Return the protocol of a prediction request to `path`, None where requests to it are none.

    Of predictions a worker answers a bounded number at a time.
    """
    if path == "/predict":
        return predict.PROTOCOL
    if path.startswith("/v2/") and path.endswith("/infer"):
        return oip.PROTOCOL
    if path == "/invocations" or (path.startswith("/models/") and path.endswith("/invocations")):
        return mlflow_scoring.PROTOCOL
    return kserve_v1.PROTOCOL if path.startswith("/v1/") and path.endswith(":predict") else None


async def _refuse_route(_exchange: Exchange) -> None:
    raise RouteNotFoundError
