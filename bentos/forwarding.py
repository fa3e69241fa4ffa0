"""What the front door hands to the Companion over their local socket: slow routes that must not run here."""

from __future__ import annotations

import json
import os
from typing import Final
from urllib.parse import urlsplit

import httpx

from bentos.errors import NotReadyError
from bentos.wire import Headers, Scope

COMPANION_SERVICE: Final = "FairMindCompanion"
_KEPT_HEADERS: Final = frozenset({b"content-type", b"accept", b"x-request-id"})
_TIMEOUT_SECONDS: Final = 60.0


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
            self._client = httpx.AsyncClient(
                transport=transport, base_url="http://companion", timeout=_TIMEOUT_SECONDS
            )
        else:
            self._client = httpx.AsyncClient(base_url=f"http://{parts.netloc}", timeout=_TIMEOUT_SECONDS)

    async def forward(self, scope: Scope, body: bytes) -> tuple[int, bytes, bytes, Headers]:
        """Return status, body, media type and further headers of the Companion's answer.

        Raises:
            NotReadyError: The Companion is away; BentoML restarts it.
        """
        if self._client is None:
            raise NotReadyError("this server was started without its Companion (a development server?)")
        query = scope["query_string"].decode("latin-1")
        try:
            response = await self._client.request(
                scope["method"],
                scope["path"] + (f"?{query}" if query else ""),
                content=body,
                headers=[(key, value) for key, value in scope["headers"] if key in _KEPT_HEADERS],
            )
        except httpx.HTTPError as error:
            raise NotReadyError("the Companion is away and being restarted; retry in a moment") from error
        media_type = response.headers.get("content-type", "application/json").encode()
        kept = [(b"retry-after", value.encode()) for value in response.headers.get_list("retry-after")]
        return response.status_code, response.content, media_type, kept

    async def close(self) -> None:
        """Close the pool."""
        if self._client is not None:
            await self._client.aclose()
