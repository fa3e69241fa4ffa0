"""What the front door hands to the Companion: what goes along, what comes back, and what when nothing does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import pytest

from bentos import forwarding
from bentos.errors import CompanionTimeoutError, NotReadyError, RouteNotFoundError, describe
from bentos.forwarding import COMPANION_SERVICE, Companion

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def scope(path: str = "/api/v1/models", method: str = "GET", query: str = "", **headers: str) -> dict[str, Any]:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"method": method, "path": path, "query_string": query.encode(), "headers": sent}


def answered(status: str, body: str, *headers: str) -> Serve:
    """Return a server that answers every request alike; a body of "?" stands for what was asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode()
        content = (asked if body == "?" else body).encode()
        head = [f"HTTP/1.1 {status}", f"content-length: {len(content)}", "connection: close", *headers, "", ""]
        writer.write("\r\n".join(head).encode() + content)
        await writer.drain()

    return serve


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Take a request and never answer it."""
    await reader.read()


async def parts(*content: bytes) -> AsyncIterator[bytes]:
    for part in content:
        yield part


async def forwarded(
    monkeypatch: pytest.MonkeyPatch, serve: Serve, request: dict[str, Any], *content: bytes, **more: Any
) -> Any:
    """Return what the pool makes of one request to a Companion that serves so."""
    serving = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError):  # the client gave up
            await serve(reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("BENTOML_RUNNER_MAP", json.dumps({COMPANION_SERVICE: f"tcp://127.0.0.1:{port}"}))
    companion = Companion()
    try:
        return await companion.forward(request, parts(*content), "the-id", **more)
    finally:
        await companion.close()
        await asyncio.gather(*serving)
        server.close()


def ask(monkeypatch: pytest.MonkeyPatch, serve: Serve, request: dict[str, Any]) -> Any:
    return asyncio.run(forwarded(monkeypatch, serve, request))


def test_method_path_query_and_media_type_go_along_and_the_id_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    request = scope(
        method="POST",
        query="a=1",
        content_type="application/json",
        x_request_id="the-callers",
        authorization="secret",
    )
    status, asked, _, _ = ask(monkeypatch, answered("200 OK", "?"), request)
    lines = asked.decode().lower().splitlines()
    assert (status, lines[0]) == (200, "post /api/v1/models?a=1 http/1.1")
    assert "content-type: application/json" in lines
    assert [line for line in lines if line.startswith("x-request-id")] == ["x-request-id: the-id"]
    assert not any("secret" in line for line in lines)


def test_when_to_retry_and_which_method_to_use_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    serve = answered("405 No", "{}", "allow: GET", "retry-after: 3", "server: none of your business")
    status, body, media_type, headers = ask(monkeypatch, serve, scope())
    assert (status, body, media_type) == (405, b"{}", b"application/json")
    assert sorted(headers) == [(b"allow", b"GET"), (b"retry-after", b"3")]


def test_a_companion_that_does_not_answer_in_time_is_504_and_not_said_to_be_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forwarding, "_TIMEOUT_SECONDS", 0.1)
    with pytest.raises(CompanionTimeoutError, match="may still be going on") as caught:
        ask(monkeypatch, silent, scope())
    assert describe(caught.value)[:2] == (504, "deadline_exceeded")


def test_a_bias_test_may_take_longer_than_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert forwarding._PATIENCE["/bias_test"] == 300
    monkeypatch.setattr(forwarding, "_TIMEOUT_SECONDS", 0.05)

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        await answered("200 OK", "{}")(reader, writer)

    assert ask(monkeypatch, slow, scope("/bias_test", "POST"))[0] == 200
    with pytest.raises(CompanionTimeoutError):
        ask(monkeypatch, slow, scope("/api/v1/outcomes", "POST"))


def test_a_companion_that_is_away_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    with pytest.raises(NotReadyError, match="being restarted"):
        ask(monkeypatch, hang_up, scope())


def test_a_server_that_was_started_without_a_companion_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENTOML_RUNNER_MAP", raising=False)
    with pytest.raises(NotReadyError, match="without its Companion"):
        asyncio.run(Companion().forward(scope(), parts(), "the-id"))


@pytest.mark.parametrize("path", ["/api/v1/\n", "/api/v1/\x7f", "/api/v1/" + "a" * 70_000])
def test_a_path_that_no_url_can_have_is_no_route(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    with pytest.raises(RouteNotFoundError):
        ask(monkeypatch, silent, scope(path))


@pytest.mark.parametrize(
    "path", ["/api/v1/outcomes/../rollouts", "/api/v1/./rollouts", "/api/v1/outcomes/..", "/api/v1/."]
)
def test_a_path_that_would_become_another_one_is_no_route(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """The front door looked at the one, and the Companion would answer the other."""
    with pytest.raises(RouteNotFoundError):
        ask(monkeypatch, silent, scope(path))


@pytest.mark.parametrize("path", [f"/api/v1/{rest}" for rest in ("a%2Fapprove", "a?b", "a#b", "%2e%2e/b", "é")])
def test_the_companion_sees_the_very_path_that_the_front_door_saw(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    _, asked, _, _ = ask(monkeypatch, answered("200 OK", "?"), scope(path))
    assert unquote(asked.decode().split(" ")[1]) == path


def test_who_sent_it_goes_along_and_what_a_client_claims_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = scope(x_fairmind_principal="somebody", x_fairmind_callers_id="x")

    def lines(**more: Any) -> list[str]:
        _, asked, _, _ = asyncio.run(forwarded(monkeypatch, answered("200 OK", "?"), claimed, **more))
        return [line for line in asked.decode().lower().splitlines() if line.startswith("x-fairmind")]

    assert lines() == []
    told = lines(principal="0123456789ab", callers_id=b"trace-7")
    assert told == ["x-fairmind-principal: 0123456789ab", "x-fairmind-callers-id: trace-7"]


def test_a_body_is_passed_on_in_parts_with_the_length_it_was_sent_with(monkeypatch: pytest.MonkeyPatch) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 6\r\n" in head.lower()
        assert b"transfer-encoding" not in head.lower()
        content = await reader.readexactly(6)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n" + content)

    request = scope("/api/v1/outcomes", "POST", content_length="6")
    answer = asyncio.run(forwarded(monkeypatch, echo, request, b"abc", b"", b"def"))
    assert answer[:2] == (200, b"abcdef")


def test_a_body_of_no_declared_length_is_passed_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"transfer-encoding: chunked" in (await reader.readuntil(b"\r\n\r\n")).lower()
        content = await reader.readuntil(b"0\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content)
        writer.write(head + content)

    answer = asyncio.run(forwarded(monkeypatch, echo, scope("/api/v1/outcomes", "POST"), b"abc", b"def"))
    assert answer[:2] == (200, b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
