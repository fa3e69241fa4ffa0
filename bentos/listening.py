"""New connections taken in several at a time.

uvloop takes one connection per pass of its loop. Where a pass takes ten milliseconds, because there is that much to
answer, a client that opens five hundred connections waits for seconds, and so does everybody behind it; asyncio's
own loop takes all there are.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import uvloop

_PER_PASS: Final = 32
"""Few enough that workers who share a port each get some."""
_NO_FILES_SECONDS: Final = 1.0

ProtocolFactory = Callable[[], asyncio.Protocol]


def take_connections_in_bulk(loop: asyncio.AbstractEventLoop) -> None:
    """Have servers that `loop` makes from a listening socket from now on take connections several at a time.

    Nothing is to be done where the loop is not uvloop's.
    """
    if not isinstance(loop, uvloop.Loop):
        return
    create_server = loop.create_server

    async def create(factory: ProtocolFactory, *arguments: Any, sock: Any = None, **options: Any) -> Any:
        server = await create_server(factory, *arguments, sock=sock, **options)
        return server if sock is None else BulkServer(loop, server, factory, sock, options.get("ssl"))

    loop.create_server = create  # of this loop alone: uvicorn has no setting for it


class BulkServer:
    """A server of uvloop's, and beside it what takes the connections that are still waiting.

    Args:
        loop: Where both run.
        server: The loop's own.
        factory: Makes the protocol of a connection.
        listener: The listening socket, which the loop's own server closes.
        ssl: The context of TLS connections, None for plain ones.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        server: Any,
        factory: ProtocolFactory,
        listener: socket.socket,
        ssl: Any,
    ) -> None:
        self._loop, self._server, self._factory, self._ssl = loop, server, factory, ssl
        self._listener = listener.dup()
        self._listener.setblocking(False)
        self._opening: set[asyncio.Task[Any]] = set()
        self._is_open = True
        loop.add_reader(self._listener, self._take)

    @property
    def sockets(self) -> Any:
        """The listening sockets."""
        return self._server.sockets

    def close(self) -> None:
        """Take no more connections; those there are stay."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._listener)
            self._listener.close()
        self._server.close()

    async def wait_closed(self) -> None:
        """Return once the loop's own server is closed."""
        await self._server.wait_closed()

    def _take(self) -> None:
        for _ in range(_PER_PASS):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no more files may be open: asked again at once, it would be all this loop does
                self._loop.remove_reader(self._listener)
                self._loop.call_later(_NO_FILES_SECONDS, self._resume)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection, ssl=self._ssl)
        except OSError:  # gone already, or no TLS: what uvloop passes over in silence too
            connection.close()

    def _resume(self) -> None:
        if self._is_open:
            self._loop.add_reader(self._listener, self._take)
