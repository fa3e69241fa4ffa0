"""HTTP to one remote server: a pool of connections, bounds on time and size, one careful repetition."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from remotes.definition import RemoteDefinition
from remotes.errors import (
    InvalidRemoteError,
    RemoteError,
    RemoteFailedError,
    RemoteMismatchError,
    RemoteRefusedError,
    RemoteTimeoutError,
    RemoteUnavailableError,
)

_KEEP_ALIVE_SECONDS: Final = 4.0
"""Shorter than servers keep theirs: uvicorn, which many of them are, closes an idle connection after 5."""
_LONGEST_REASON: Final = 300
_REFUSALS: Final = frozenset({400, 413, 422})
_OVERLOADED: Final = frozenset({429, 503})
_BROKEN: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)
"""The connection was refused, or ended before a byte of an answer came."""

_UNAVAILABLE: Final[tuple[tuple[type[Exception], str], ...]] = (
    (aiohttp.ClientConnectorCertificateError, "shows a certificate that does not verify"),
    (aiohttp.ConnectionTimeoutError, "cannot be connected to: it takes too long"),
    (aiohttp.ClientConnectorError, "cannot be connected to"),
    (aiohttp.ServerDisconnectedError, "ended the connection before it answered"),
    (aiohttp.ClientOSError, "ended the connection before it answered"),
)
_NO_HTTP: Final = "its answer is no HTTP"


def bearer(definition: RemoteDefinition) -> str | None:
    """Return the value of the header Authorization, None where the server asks for none.

    Raises:
        InvalidRemoteError: The environment does not hold the token, or it would be sent in the clear.
    """
    name = definition.token_env
    if name is None:
        return None
    token = os.environ.get(name, "").strip()
    if not token:
        raise InvalidRemoteError(f"the environment variable {name}, which holds the token for it, is not set")
    if not definition.is_secret_safe:
        raise InvalidRemoteError("a token goes only over TLS, or to this machine: let its URL say https or grpcs")
    return f"Bearer {token}"


class HttpConnection:
    """Connections to one server; made on first use, in the event loop that uses them.

    TLS certificates are verified, redirects are not followed, and no proxy of the environment's is asked.
    """

    def __init__(self, definition: RemoteDefinition) -> None:
        self._definition = definition
        authorization = bearer(definition)
        self._headers = {"Accept-Encoding": "identity"}
        if authorization is not None:
            self._headers["Authorization"] = authorization
        self._urls: dict[str, URL] = {}
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: bytes, seconds: float) -> bytes:
        """Return the body of the answer to JSON.

        Raises:
            RemoteError: There is no answer with the status 200, or it is too large.
        """
        began = time.monotonic()
        try:
            return await self._once("POST", path, body, seconds)
        except _BROKEN as error:  # nothing was answered: a connection that was idle for too long ends so
            left = seconds - (time.monotonic() - began)
            if left <= 0:
                raise _translated(error, seconds) from error
        try:
            return await self._once("POST", path, body, left)
        except _BROKEN as error:
            raise _translated(error, seconds) from error

    async def get(self, path: str, seconds: float) -> bytes:
        """Return the body at a path; raises what `post` raises, and is not repeated."""
        try:
            return await self._once("GET", path, None, seconds)
        except _BROKEN as error:
            raise _translated(error, seconds) from error

    async def close(self) -> None:
        """End all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _once(self, method: str, path: str, body: bytes | None, seconds: float) -> bytes:
        session = self._session or self._open()
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=self._definition.connect_seconds)
        try:
            async with session.request(
                method, self._url(path), data=body, timeout=timeout, allow_redirects=False
            ) as response:
                content = await self._content(response)
                if response.status != 200:
                    raise _refusal(response.status, content, response.headers)
                return content
        except _BROKEN as error:
            if isinstance(error, aiohttp.ClientConnectorCertificateError):
                raise _translated(error, seconds) from error  # once more would end the same way
            raise
        except (TimeoutError, aiohttp.ClientError) as error:
            raise _translated(error, seconds) from error

    def _url(self, path: str) -> URL:
        found = self._urls.get(path)  # of a handful of paths; taking one apart costs what sending it does
        if found is None:
            found = self._urls[path] = URL(self._definition.address + path, encoded=True)
        return found

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._definition.max_in_flight + 1,  # one for checks
                keepalive_timeout=_KEEP_ALIVE_SECONDS,
            ),
            headers={**self._headers, "Content-Type": "application/json"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )
        return self._session

    async def _content(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the answer's body, of which no more is read than it may have."""
        most = self._definition.max_answer_bytes
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise RemoteMismatchError("it is compressed, which was not asked for")
        if response.content_length is not None and response.content_length <= most:
            return await response.read()
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > most:
                response.close()
                raise RemoteMismatchError(f"it has more than {most:,} bytes")
        return bytes(content)


def parsed(content: bytes) -> Any:
    """Return the JSON of an answer; servers that write bare NaN do not get away with it.

    Raises:
        RemoteMismatchError: It is none.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        raise RemoteMismatchError("it is not JSON") from None


def _refusal(status: int, content: bytes, headers: Mapping[str, str]) -> RemoteError:
    if status in _REFUSALS:
        return RemoteRefusedError(_reason(content) or f"status {status}", by_server=True)
    if status in _OVERLOADED:
        return RemoteUnavailableError(f"takes no more requests (status {status})", _retry_after(headers))
    told = "; redirects are not followed" if 300 <= status < 400 else ""
    return RemoteFailedError(f"status {status}{told}")


def _reason(content: bytes) -> str:
    """Return the first line of what a server says is wrong, as the protocols write it; no trace of its stack."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        return ""
    if isinstance(found, dict):
        found = next((found[key] for key in ("error", "message", "detail") if found.get(key)), "")
    if isinstance(found, dict):
        found = found.get("message", "")
    lines = found.strip().splitlines() if isinstance(found, str) else []
    return lines[0][:_LONGEST_REASON] if lines else ""


def _retry_after(headers: Mapping[str, str]) -> float:
    value = headers.get("Retry-After", "")
    return min(float(value), 60.0) if value.isascii() and value.isdigit() else 1.0


def _translated(error: Exception, seconds: float) -> RemoteError:
    if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
        return RemoteTimeoutError(seconds)
    unavailable = next((words for kind, words in _UNAVAILABLE if isinstance(error, kind)), None)
    if unavailable is not None:
        return RemoteUnavailableError(unavailable)
    return RemoteFailedError("its answer broke off" if isinstance(error, aiohttp.ClientPayloadError) else _NO_HTTP)
