"""The front door: answers the hot routes before BentoML sees them, and lets everything else fall through.

BentoML's tracing, metrics, access log and dispatcher cost several times what a prediction costs (docs/adr/0001).
The APIs stay declared on the BentoML service, so that its schema, its clients and its docs page are true.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol
from urllib.parse import quote

import orjson

from bentos import oip, predict
from bentos.docs_page import DocsPage
from bentos.errors import (
    InsecureError,
    NotReadyError,
    OverloadedError,
    RouteNotFoundError,
    UnsupportedError,
    describe,
    extra_headers,
)
from bentos.forwarding import Companion
from bentos.routes import HotRoutes
from bentos.wire import App, ClientGoneError, Exchange, Headers, Receive, Scope, Send
from bentos.worker import Worker
from monitoring.identifiers import new_request_id

_log = logging.getLogger(__name__)
_access_log = logging.getLogger("fairmind.access")
_ID: Final = b"{request_id}"
_OVERLOAD_LOG_SECONDS: Final = 10.0
_FORWARDED: Final = ("/api/v1/", "/metrics", "/bias_test")

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
        closed: Refuse everything but the probes (bound beyond loopback without keys).
    """

    def __init__(self, app: App, worker: Worker, companion: Companion, *, closed: bool) -> None:
        self._app, self._worker, self._companion, self._closed = app, worker, companion, closed
        self._max_in_flight, self._in_flight = worker.serving.max_in_flight, 0
        # Made once: what is refused under overload must cost next to nothing.
        self._overload = _overload(self._max_in_flight, predict.PROTOCOL)
        self._oip_overload = _overload(self._max_in_flight, oip.PROTOCOL)
        self._overload_noted_at = -_OVERLOAD_LOG_SECONDS
        self._logs_access = worker.serving.access_log
        if self._logs_access:
            _access_log.setLevel(logging.INFO)
        hot = HotRoutes(worker)
        self._v2 = hot.v2
        self._exact: dict[str, Handler] = {"/predict": hot.predict, "/v2": hot.v2, "/": DocsPage(app)}
        self._probes: dict[str, Handler] = {"/readyz": hot.readyz, "/livez": hot.livez}
        self._beside: list[Beside] = []

    def accompany(self, beside: Beside) -> None:
        """Have something else serve for as long as the worker does: it starts after it and stops before it."""
        self._beside.append(beside)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        handler = self._handler(scope["path"]) if scope["type"] == "http" else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, new_request_id(), time.perf_counter())
        if not predicts(exchange.path):
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
        if exchange.path == "/predict":
            exchange.protocol, refusal = predict.PROTOCOL, self._overload
        else:
            exchange.protocol, refusal = oip.PROTOCOL, self._oip_overload
        status, body, headers = refusal
        self._worker.metrics.request(exchange.model, exchange.protocol, str(status))
        return status, body.replace(_ID, exchange.request_id.encode()), headers

    async def _answer(self, handler: Handler, exchange: Exchange) -> None:
        try:
            await handler(exchange)
        except ClientGoneError:
            return
        except Exception as error:
            status, body, headers = self._refusal(error, exchange)
            await exchange.reply(status, body, headers=headers)
        else:
            if exchange.model:
                self._worker.metrics.request(exchange.model, exchange.protocol, "200")

    def _handler(self, path: str) -> Handler | None:
        probe = self._probes.get(path)
        if probe is not None:
            return probe
        if self._closed:
            return _refuse_insecure
        exact = self._exact.get(path)
        if exact is not None:
            return exact
        if path.startswith("/v2/"):
            return self._v2
        return self._forward if path.startswith(_FORWARDED) else None

    async def _forward(self, exchange: Exchange) -> None:
        body = await exchange.body(self._worker.serving.max_body_bytes)
        await exchange.reply(*await self._companion.forward(exchange.scope, body, exchange.request_id))

    def note(self, error: Exception, request_id: str) -> tuple[int, str, str]:
        """Return HTTP status, code and message of an error, and log one that somebody has to look after."""
        status, code, message = describe(error)
        if status == 500:
            # A model's own message may hold a feature value: where it failed is logged, what it said is not.
            cause = error.__cause__ or error
            places = "".join(traceback.format_tb(cause.__traceback__))
            _log.error("request %s: %s (%s)\n%s", request_id, code, type(cause).__name__, places)
        elif code == "overloaded":
            self._note_overload()
        elif status > 500 and not isinstance(error, (NotReadyError, UnsupportedError)):
            _log.warning("request %s: %s", request_id, code)
        return status, code, message

    def _refusal(self, error: Exception, exchange: Exchange) -> tuple[int, bytes, Headers]:
        status, code, message = self.note(error, exchange.request_id)
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


def _said(protocol: str, status: int, code: str, message: str, request_id: str) -> tuple[int, bytes]:
    """Return status and body of an error, in the shape of the protocol."""
    if protocol == oip.PROTOCOL:
        return oip.status_of(status, code), orjson.dumps({"error": message})
    return status, orjson.dumps({"error": {"code": code, "message": message, "request_id": request_id}})


def _overload(limit: int, protocol: str) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Return the refusal of a request too many, with `_ID` where its id belongs."""
    error = OverloadedError(limit)
    status, code, message = describe(error)
    return *_said(protocol, status, code, message, _ID.decode()), extra_headers(error, status)


def predicts(path: str) -> bool:
    """Return whether requests to `path` are predictions, of which a worker answers a bounded number at a time."""
    return path == "/predict" or (path.startswith("/v2/") and path.endswith("/infer"))


async def _refuse_route(_exchange: Exchange) -> None:
    raise RouteNotFoundError


async def _refuse_insecure(_exchange: Exchange) -> None:
    raise InsecureError
