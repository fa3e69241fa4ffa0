"""What the front door hands to the Companion over their local socket: slow routes that must not run here."""

from __future__ import annotations

import json
import os
import re
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote, urlsplit

import httpx

from bentos.errors import CompanionTimeoutError, NotReadyError, RouteNotFoundError
from bentos.wire import Headers, Scope

COMPANION_SERVICE: Final = "FairMindCompanion"
REQUEST_ID_HEADER: Final = b"x-request-id"
CALLERS_ID_HEADER: Final = b"x-fairmind-callers-id"
PRINCIPAL_HEADER: Final = b"x-fairmind-principal"
"""Who sent the request: the id of the key that the front door checked. Believed because nothing but the front door
reaches the Companion's socket, and what a client sends under this name is not passed on."""
_KEPT_HEADERS: Final = frozenset({b"content-type", b"content-length", b"accept"})
_ANSWERED_HEADERS: Final = ("allow", "location", "retry-after")
# What the front door looked at must be what the Companion answers: httpx would take `..` out of a path.
_NO_PATH: Final = re.compile(r"[\x00-\x1f\x7f]|(?:^|/)\.\.?(?:/|$)")
_CONNECT_SECONDS: Final = 5.0
_TIMEOUT_SECONDS: Final = 60.0
_PATIENCE: Final = {"/bias_test": 300.0, "/api/v1/bias-tests": 300.0, "/api/v1/explanations": 180.0}
"""Routes that may take longer: a bias test may score a whole table, or read a month of traffic; the first
explanation imports its library, seconds of work that a busy machine makes a minute."""


class Companion:
    """A connection pool to the Companion.

    BentoML starts the Companion as a dependency of the front door and passes its socket on in the environment.
    """

    def __init__(self) -> None:
        address = json.loads(os.environ.get("BENTOML_RUNNER_MAP", "{}")).get(COMPANION_SERVICE)
        self._client: httpx.AsyncClient | None = None
        if address is None:
            return
        parts = urlsplit(address)
        if parts.scheme == "file":
            transport = httpx.AsyncHTTPTransport(uds=parts.path)
            self._client = httpx.AsyncClient(transport=transport, base_url="http://companion")
        else:
            self._client = httpx.AsyncClient(base_url=f"http://{parts.netloc}", trust_env=False)

    async def forward(
        self,
        scope: Scope,
        body: AsyncIterator[bytes],
        request_id: str,
        *,
        principal: str = "",
        callers_id: bytes | None = None,
    ) -> tuple[int, bytes, bytes, Headers]:
        """Return status, body, media type and further headers of the Companion's answer.

        Args:
            scope: The request, whose method, path and query are passed on.
            body: Its body, in parts as they arrive.
            request_id: The id that the Companion answers and logs with.
            principal: The id of the key it came with, which is the actor of what it decides; empty without one.
            callers_id: The id that the caller gave it, which the Companion logs too.

        Raises:
            NotReadyError: The Companion is away; BentoML restarts it.
            CompanionTimeoutError: It is there and did not answer in time.
            RouteNotFoundError: No URL can have such a path.
        """
        if self._client is None:
            raise NotReadyError("this server was started without its Companion (a development server?)")
        if _NO_PATH.search(scope["path"]):
            raise RouteNotFoundError
        query = scope["query_string"].decode("latin-1")
        seconds = _PATIENCE.get(scope["path"], _TIMEOUT_SECONDS)
        headers = [(key, value) for key, value in scope["headers"] if key in _KEPT_HEADERS]
        headers.append((REQUEST_ID_HEADER, request_id.encode()))
        if principal:
            headers.append((PRINCIPAL_HEADER, principal.encode()))
        if callers_id is not None:
            headers.append((CALLERS_ID_HEADER, callers_id))
        try:
            response = await self._client.request(
                scope["method"],
                quote(scope["path"]) + (f"?{query}" if query else ""),
                content=body,
                headers=headers,
                timeout=httpx.Timeout(seconds, connect=_CONNECT_SECONDS),
            )
        except (httpx.ReadTimeout, httpx.WriteTimeout, httpx.PoolTimeout) as error:
            raise CompanionTimeoutError(seconds) from error
        except httpx.InvalidURL:  # too long
            raise RouteNotFoundError from None
        except httpx.HTTPError as error:
            raise NotReadyError("the Companion is away and being restarted; retry in a moment") from error
        media_type = response.headers.get("content-type", "application/json").encode()
        answered = [
            (name.encode(), value.encode())
            for name in _ANSWERED_HEADERS
            for value in response.headers.get_list(name)
        ]
        return response.status_code, response.content, media_type, answered

    async def close(self) -> None:
        """Close the pool."""
        if self._client is not None:
            await self._client.aclose()
