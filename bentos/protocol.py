"""The hot routes straight off the socket: one whole request in, one answer out, without ASGI in between.

Half of what a served row costs on uvicorn is taking a request apart for an application that puts it together again:
callbacks, a scope, a task that waits for a body that is there already. A prediction that arrives in one piece, as
nearly all do, is answered here; and where a worker has as much to do as it can, it is refused before anything is
made of it. Everything else (other routes, bodies in parts, HTTP/1.0, upgrades) goes uvicorn's way as before.
"""

from __future__ import annotations

import asyncio
import logging
import select
import time
from http import HTTPStatus
from typing import Any, ClassVar, Final, Protocol

import uvicorn.protocols.http.auto
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from access.principal import ANYONE
from bentos.heads import Head, KnownHeads, authorization_in
from bentos.wire import CALLERS_ID, JSON, Exchange, Headers, check_size
from monitoring.identifiers import new_request_id

_log = logging.getLogger(__name__)
_STARTS: Final = (
    b"POST /predict HTTP/1.1\r\n",
    b"POST /v2/models/",
    b"POST /invocations HTTP/1.1\r\n",
    b"POST /models/",
    b"POST /v1/models/",
)
_HEAD_END: Final = b"\r\n\r\n"
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class Door(Protocol):
    """What answers; `bentos.edge.FrontDoor`."""

    def enter(self) -> bool:
        """Take one more request if there is room for it."""
        ...

    async def answer_entered(self, exchange: Exchange) -> None:
        """Answer a request for which there was room."""
        ...

    def overload(self, exchange: Exchange) -> tuple[int, bytes, Headers]:
        """Return the refusal of a request for which there was none: status, body, headers."""
        ...


class DirectExchange(Exchange):
    """A whole request and the connection to answer it on."""

    __slots__ = ("_authorization", "_connection", "_content", "_head")

    def __init__(
        self, connection: HotProtocol, head: Head, *, authorization: bytes | None = None, content: bytes
    ) -> None:
        self.request_id, self.started = new_request_id(), time.perf_counter()
        self.protocol, self.model, self.status, self.principal = "api", "", 0, ANYONE
        self._connection, self._head, self._authorization, self._content = connection, head, authorization, content

    @property
    def method(self) -> str:
        """The method."""
        return "POST"

    @property
    def path(self) -> str:
        """The path, without the query."""
        return self._head.path

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value, None when it is not there; `name` is lower case."""
        return self._authorization if name == b"authorization" else self._head.headers.get(name)

    async def body(self, limit: int) -> bytes:
        """Return the request's body; raises TooLargeError where it is longer than `limit` bytes."""
        check_size(len(self._content), limit)
        return self._content

    async def reply(self, status: int, body: bytes, media_type: bytes = JSON, headers: Headers = ()) -> None:
        """Send a whole answer; the connection waits for the client to take it, nobody else does."""
        self.write(status, body, media_type, headers)

    def write(self, status: int, body: bytes, media_type: bytes = JSON, headers: Headers = ()) -> None:
        """Hand a whole answer to the connection, without waiting for the client to take it."""
        self.status = status
        callers_id = self.callers_id()
        if callers_id is not None:
            headers = [*headers, (CALLERS_ID, callers_id)]
        self._connection.write(status, body, media_type, headers)


class HotProtocol(HttpToolsProtocol):
    """uvicorn's HTTP connection with a way round it for predictions."""

    door: ClassVar[Door]
    heads: ClassVar[KnownHeads] = KnownHeads()
    idle_seconds: ClassVar[float]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.timeout_keep_alive = self.idle_seconds  # type: ignore[assignment]  # any number will do, BentoML gives none
        self._answering: asyncio.Task[None] | None = None
        self._between_requests = True
        self._held = b""
        self._ends_after_answer = False
        self._idle_since = 0.0

    @classmethod
    def install(cls, door: Door, *, idle_seconds: float) -> None:
        """Have uvicorn make its connections of this class, for `door`; BentoML has no setting for it.

        A connection that was idle for `idle_seconds` is closed.
        """
        made = type(cls.__name__, (cls,), {"door": door, "idle_seconds": idle_seconds})
        uvicorn.protocols.http.auto.AutoHTTPProtocol = made

    def data_received(self, data: bytes) -> None:
        """Answer a whole prediction request here; give everything else to uvicorn."""
        if self._answering is not None:
            # Pipelined: it waits, and so does the client, until the answer under way is written.
            self._held += data
            self.flow.pause_reading()
            return
        if self._between_requests and data.startswith(_STARTS) and self._is_idle() and not self.flow.write_paused:
            exchange = self._whole_request(data)
            if exchange is not None:
                self._take(exchange)
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """Note that uvicorn's parser is in the middle of a request."""
        self._between_requests = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Note that uvicorn's parser is between two requests."""
        self._between_requests = True
        super().on_message_complete()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's says None, asyncio takes either
        """Return whether the connection stays open: who has said all there is to say may wait for the answer."""
        if self._answering is None or self.scheme == "https":  # TLS knows no half of a connection
            return False
        self._ends_after_answer = True
        return True

    def shutdown(self) -> None:
        """End the connection once what is under way is answered."""
        if self._answering is not None:
            self._ends_after_answer = True
        else:
            super().shutdown()

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that has been idle for too long."""
        if self.transport.is_closing():  # or gone: uvicorn leaves the timer of one that its client broke
            return
        left = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if self._answering is not None or left > 0 or self._has_unread():
            # One timer per connection looks now and then, instead of one being set and cancelled per request.
            self.timeout_keep_alive_task = self.loop.call_later(max(left, 0.1), self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def write(self, status: int, body: bytes, media_type: bytes, headers: Headers) -> None:
        """Write a whole answer; nothing where the client has left."""
        if self.transport.is_closing():
            return
        parts = [_STATUS_LINES[status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        if self._ends_after_answer:
            parts.append(b"connection: close\r\n")
        parts.append(b"content-type: %b\r\ncontent-length: %d\r\n\r\n" % (media_type, len(body)))
        parts.append(body)
        self.transport.write(b"".join(parts))

    def _has_unread(self) -> bool:
        """Return whether the client has sent what the loop, busy with others, has not come to yet."""
        watch = select.poll()
        watch.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(watch.poll(0))

    def _is_idle(self) -> bool:
        return (self.cycle is None or self.cycle.response_complete) and not self.pipeline

    def _whole_request(self, data: bytes) -> DirectExchange | None:
        """Return the request that `data` is, None where it is not exactly one plain request."""
        end = data.find(_HEAD_END) + len(_HEAD_END)
        raw = data[:end]
        head = self.heads.find(raw)
        if head is None or head.content_length != len(data) - end:
            return None
        authorization = authorization_in(raw) if head.has_authorization else None
        return DirectExchange(self, head, authorization=authorization, content=data[end:])

    def _take(self, exchange: DirectExchange) -> None:
        if self.door.enter():
            task = self._answering = self.loop.create_task(self._answer(exchange))
            self.tasks.add(task)
            return
        status, body, headers = self.door.overload(exchange)
        exchange.write(status, body, headers=headers)
        self._finish()

    async def _answer(self, exchange: DirectExchange) -> None:
        task = self._answering
        try:
            await self.door.answer_entered(exchange)
            # The door has its place back by now: who reads slowly holds up this connection and no other.
            if self.flow.write_paused:
                await self.flow.drain()
        except Exception as error:
            # A bug. Left to the loop, it would be logged with its text, which may hold a value.
            _log.error("request %s: not answered (%s)", exchange.request_id, type(error).__name__)
            self._ends_after_answer = True
            if not exchange.status:
                exchange.write(500, b"Internal Server Error", b"text/plain; charset=utf-8")
        finally:
            if task is not None:
                self.tasks.discard(task)
            self._answering = None
            self._finish()

    def _finish(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self._ends_after_answer:
            self.transport.close()
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        if self._held:
            held, self._held = self._held, b""
            self.flow.resume_reading()
            self.data_received(held)
