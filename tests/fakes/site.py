"""A worker's HTTP server on a port, asked byte by byte."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import uvicorn

from bentos.worker import Worker


class Site:
    """A real server on a free loopback port."""

    def __init__(self, server: uvicorn.Server, worker: Worker, direct: list[str]) -> None:
        self.server, self.worker = server, worker
        self.direct = direct
        self.port: int = server.servers[0].sockets[0].getsockname()[1]

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def exchange(self, *pieces: bytes) -> tuple[int, dict[str, str], Any]:
        """Send pieces, each in a packet of its own, and return the answer."""
        reader, writer = await self.connect()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0.01)
        answer = await read_answer(reader)
        writer.close()
        return answer


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
    body = await asyncio.wait_for(reader.readexactly(int(headers["content-length"])), 5)
    is_json = headers["content-type"] == "application/json"
    return int(head[0].split()[1]), headers, json.loads(body) if is_json else body


async def nothing(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"12")]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": b"nothing here"})


def request(body: Any, path: str = "/predict", more: str = "", length: int | None = None) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    size = len(content) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {size}\r\n\r\n".encode() + content
