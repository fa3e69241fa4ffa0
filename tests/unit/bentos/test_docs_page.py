"""The docs page comes without the tracker BentoML puts into it."""

from __future__ import annotations

import asyncio
from importlib.resources import files

import httpx

from bentos.docs_page import DocsPage
from bentos.wire import Exchange, Receive, Scope, Send

PAGE = files("_bentoml_impl.server").joinpath("main-openapi.html").read_bytes()


async def bentoml(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(PAGE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": PAGE})


async def served(scope: Scope, receive: Receive, send: Send) -> None:
    await DocsPage(bentoml)(Exchange(scope, receive, send, "id", 0.0))


def test_the_page_is_bentomls_and_loads_nothing_from_elsewhere() -> None:
    assert b"googletagmanager" in PAGE, "BentoML dropped its tracker: bentos/docs_page.py can go"

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(served), base_url="http://test") as client:
            return await client.get("/")

    response = asyncio.run(get())
    assert response.status_code == 200
    assert "swagger-ui-bundle.js" in response.text
    assert "googletagmanager" not in response.text
    assert 'src="http' not in response.text
