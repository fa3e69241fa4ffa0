"""HTTP in plain ASGI: reading a bounded body, answering JSON. What the hot path is made of."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

import orjson

from access.principal import ANYONE, Principal
from bentos.compression import decompress
from bentos.errors import MalformedRequestError, MediaTypeError, MethodError, TooLargeError
from inference.errors import DeadlineExceededError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

P = ParamSpec("P")
Decoded = TypeVar("Decoded")

JSON = b"application/json"
_BODY_LIMIT = "FAIRMIND_BENTOS_MAX_BODY_BYTES"
_LARGE: Final = 1_000_000
"""Bytes of a body that others need not wait for while Python's own parser reads it."""
CALLERS_ID: Final = b"x-request-id"
_CALLERS_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")


def is_callers_id(given: bytes) -> bool:
    """Return whether a text may stand in logs and headers as a caller's id of a request."""
    return _CALLERS_ID.fullmatch(given) is not None


class ClientGoneError(Exception):
    """The client closed the connection before its request was whole; there is nobody to answer."""


@dataclass(slots=True)
class Exchange:
    """One HTTP request and the way to answer it.

    `model` and `protocol` are filled in as they become known; they label what is counted. `status` is 0 until there
    is an answer. `patience` is how many seconds a client may take to send the body, and to take what it was sent
    before; None lets it take for ever. `principal` is who sent it, once that is known.
    """

    scope: Scope
    receive: Receive
    send_message: Send
    request_id: str
    started: float
    protocol: str = "api"
    model: str = ""
    status: int = 0
    patience: float | None = None
    principal: Principal = ANYONE

    @property
    def method(self) -> str:
        """The method."""
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        """The path, without the query."""
        return str(self.scope["path"])

    def header(self, name: bytes) -> bytes | None:
        """Return a header's value, None when it is not there; `name` is lower case."""
        for key, value in self.scope["headers"]:
            if key == name:
                return bytes(value)
        return None

    def callers_id(self) -> bytes | None:
        """Return the id that the caller gave the request, which comes back and stands in the log beside ours.

        None without one, and where it is no text of 1 to 128 visible ASCII characters.
        """
        given = self.header(CALLERS_ID)
        return given if given is not None and is_callers_id(given) else None

    def check_method(self, allowed: str) -> None:
        """Raise MethodError when the request has another method."""
        if self.method != allowed:
            raise MethodError(allowed)

    async def json(self, limit: int) -> Any:
        """Return the value of a JSON body; a body of no declared type is taken as JSON.

        Raises:
            MediaTypeError: The request says it is anything else, or of an encoding that is not taken.
            TooLargeError: The body is longer than `limit` bytes, or becomes so.
            MalformedRequestError: It is not JSON.
        """
        media_type = self.header(b"content-type")
        if media_type is not None and media_type.split(b";", 1)[0].strip().lower() not in {b"", JSON}:
            raise MediaTypeError("application/json")
        content = await self.content(limit)
        return await decoded(content, parse_json, content)

    async def content(self, limit: int) -> bytes:
        """Return the body as it was before any `Content-Encoding`; raises what `body` and `decompress` raise."""
        encoding = self.header(b"content-encoding")
        body = await self.body(limit)
        return body if encoding is None else decompress(body, encoding, limit)

    async def body(self, limit: int) -> bytes:
        """Return the request's body.

        Raises:
            TooLargeError: It is, or says it is, longer than `limit` bytes; it is not read to its end.
            ClientGoneError: The client left.
            DeadlineExceededError: It took too long to send the body.
        """
        self._check_declared(limit)
        try:
            async with asyncio.timeout(self.patience):
                return await self._read(limit)
        except TimeoutError:
            raise DeadlineExceededError("the request's body did not arrive in time") from None

    def parts(self, limit: int) -> AsyncIterator[bytes]:
        """Return the request's body in parts as they arrive, for one that is passed on; there is no patience.

        Raises:
            TooLargeError: It says it is longer than `limit` bytes; or, while it is read, becomes so.
            ClientGoneError: While it is read: the client left.
        """
        self._check_declared(limit)
        return self._parts(limit)

    def _check_declared(self, limit: int) -> None:
        declared = self.header(b"content-length")
        if declared is not None and declared.isdigit():
            check_size(int(declared), limit)

    async def _read(self, limit: int) -> bytes:
        parts = [part async for part in self._parts(limit)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _parts(self, limit: int) -> AsyncIterator[bytes]:
        size = 0
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part = message.get("body", b"")
            size += len(part)
            check_size(size, limit)
            yield part
            more = message.get("more_body", False)

    async def reply(self, status: int, body: bytes, media_type: bytes = JSON, headers: Headers = ()) -> None:
        """Send a whole answer; none where the client does not take what it was sent before."""
        self.status = status
        start: dict[str, Any] = {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", media_type),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
        callers_id = self.callers_id()
        if callers_id is not None:
            start["headers"].append((CALLERS_ID, callers_id))
        try:
            async with asyncio.timeout(self.patience):
                await self.send_message(start)
                await self.send_message({"type": "http.response.body", "body": body})
        except TimeoutError:
            self.status = 0


def check_size(size: int, limit: int) -> None:
    """Raise TooLargeError where a body of `size` bytes is longer than `limit`."""
    if size > limit:
        raise TooLargeError("bytes", limit, _BODY_LIMIT)


async def decoded(body: bytes, decode: Callable[P, Decoded], *arguments: P.args, **keywords: P.kwargs) -> Decoded:
    """Return what `decode` makes of a request of this body: beside the event loop where `parse_json` may take long.

    A body without bare NaN or Infinity is read faster and in one step, which no other thread can come between.
    """
    if len(body) > _LARGE and _is_bare(body):
        return await asyncio.to_thread(decode, *arguments, **keywords)
    return decode(*arguments, **keywords)


def parse_json(body: bytes) -> Any:
    """Return the value of a JSON body; bare NaN and Infinity, which several clients write, are read too.

    Raises:
        MalformedRequestError: The body is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if _is_bare(body):
            # What orjson cannot write (half a surrogate, too deep a nest) could be neither answered nor logged.
            with contextlib.suppress(ValueError, RecursionError, orjson.JSONEncodeError):
                value = json.loads(body, parse_int=_integer, parse_float=_float)
                orjson.dumps(value)
                return value
        raise MalformedRequestError(f"the body is not JSON: {error.msg} at byte {error.pos}") from None


def _is_bare(body: bytes) -> bool:
    """Return whether a body may hold the numbers that JSON has no word for."""
    return b"NaN" in body or b"Infinity" in body


# The parser is one call in C; where it calls a function written in Python, as these are, other threads get a turn.


def _integer(digits: str) -> int | float:
    """Return an integer as orjson reads it: a float where it does not fit 64 bits."""
    value = int(digits)
    return value if -(2**63) <= value < 2**64 else float(digits)


def _float(digits: str) -> float:
    return float(digits)
