"""BentoML's page to try the APIs by hand, without the tracker it brings: nothing here talks to outside hosts."""

from __future__ import annotations

import re
from typing import Final

from bentos.wire import App, Exchange, Message

# From `<!-- Google Tag Manager … -->` to `<!-- End Google Tag Manager … -->`, in the head and in the body.
_TRACKER: Final = re.compile(rb"<!-- Google Tag Manager.*?<!-- End Google Tag Manager.*?-->", re.DOTALL)


class DocsPage:
    """Answers `/` with BentoML's page, its tracker cut out."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, exchange: Exchange) -> None:
        """Let BentoML answer, and pass its answer on without the tracker."""
        started: Message = {}
        parts: list[bytes] = []

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        await self._app(exchange.scope, exchange.receive, keep)
        kept = {key: value for key, value in started["headers"] if key not in {b"content-length", b"etag"}}
        media_type = kept.pop(b"content-type", b"text/html; charset=utf-8")
        await exchange.reply(started["status"], _TRACKER.sub(b"", b"".join(parts)), media_type, list(kept.items()))
