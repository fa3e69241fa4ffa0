"""Keep-alive connections to a port of this machine: non-blocking sockets behind one epoll, no event loop around.

An event loop costs more per request than the kernel does, and the load generator shares two cores with the server.
"""

from __future__ import annotations

import select
import socket
from typing import Protocol

import httptools

from loadtests.bench.answers import Answer, whole_answer

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_PIECE = 16_384


class Load(Protocol):
    """Who sends over the connections, and is told what became of it; it opens none while it is told."""

    def answered(self, status: int, since: float) -> None:
        """Take the status of the answer to the request that was sent with `since`."""

    def lost(self) -> None:
        """Take that a connection ended with a request under way."""

    def refused(self) -> None:
        """Take that a connection could not be made."""


class Connection:
    """One socket: connecting, free, or with one request under way (`since` is then not None)."""

    __slots__ = ("answer", "connected", "fd", "receive", "since", "socket", "transmit", "unsent")

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self.socket.fileno()
        self.receive, self.transmit = self.socket.recv, self.socket.send
        self.connected = False
        self.since: float | None = None
        self.unsent: memoryview | None = None
        self.answer: Answer | None = None


class Connections:
    """All connections of one load; `free` has those that can send, the one used last at its end."""

    def __init__(self, port: int, load: Load) -> None:
        self.free: list[Connection] = []
        self.opening = 0
        self.epoll = select.epoll()
        self._port, self._load = port, load
        self._by_fd: dict[int, Connection] = {}

    def __len__(self) -> int:
        """Return how many there are, those still connecting among them."""
        return len(self._by_fd)

    def open(self) -> None:
        """Begin one more; it is free, or told as refused, at some later `handle`."""
        connection = Connection()
        self._by_fd[connection.fd] = connection
        self.opening += 1
        connection.socket.connect_ex(("127.0.0.1", self._port))
        self.epoll.register(connection.fd, _OUT)  # which tells how it went, a failure at once too

    def send(self, request: bytes, since: float) -> None:
        """Send a request over a free connection; `since` comes back with its answer."""
        connection = self.free.pop()
        connection.since = since
        try:
            sent = connection.transmit(request)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        if sent < len(request):
            connection.unsent = memoryview(request)[sent:]
            self.epoll.modify(connection.fd, _IN | _OUT)

    def handle(self) -> None:
        """Handle what has happened so far; `epoll` can be waited for."""
        by_fd, load, free = self._by_fd, self._load, self.free
        for fd, event in self.epoll.poll(0):
            connection = by_fd[fd]
            if event != _IN or connection.answer is not None:
                self._handle_rare(connection, event)
                continue
            try:
                data = connection.receive(_PIECE)
            except BlockingIOError:
                continue
            except OSError:
                self._drop(connection)
                continue
            status = whole_answer(data)
            if status is None or connection.since is None or connection.unsent is not None:
                self._take(connection, data)
                continue
            load.answered(status, connection.since)
            connection.since = None
            free.append(connection)

    def close(self) -> None:
        """End all connections, whatever they wait for."""
        for connection in self._by_fd.values():
            connection.socket.close()
        self._by_fd.clear()
        self.free.clear()
        self.epoll.close()

    def _handle_rare(self, connection: Connection, event: int) -> None:
        if not connection.connected:
            self._connected(connection, event)
            return
        if event & _OUT and connection.unsent is not None and not self._send_rest(connection, connection.unsent):
            return
        if event & ~_OUT:
            try:
                self._take(connection, connection.receive(_PIECE))
            except BlockingIOError:
                pass
            except OSError:
                self._drop(connection)

    def _connected(self, connection: Connection, event: int) -> None:
        self.opening -= 1
        if event != _OUT:
            self._drop(connection)
            self._load.refused()
            return
        connection.connected = True
        self.epoll.modify(connection.fd, _IN)
        self.free.append(connection)

    def _send_rest(self, connection: Connection, rest: memoryview) -> bool:
        """Send on; return False when the connection is gone, or free because its answer came before."""
        try:
            rest = rest[connection.transmit(rest) :]
        except BlockingIOError:
            return True
        except OSError:
            self._drop(connection)
            return False
        connection.unsent = rest if rest.nbytes else None
        if connection.unsent is None:
            self.epoll.modify(connection.fd, _IN)
            if connection.since is None:
                self.free.append(connection)
                return False
        return True

    def _take(self, connection: Connection, data: bytes) -> None:
        """Take a piece of an answer, or the end of the connection."""
        if connection.since is None:
            self._drop(connection)  # the server has hung up, or says what nobody asked
            return
        answer = connection.answer = connection.answer or Answer()
        try:
            if data:
                answer.feed(data)
            else:
                answer.end()
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._drop(connection)
            return
        if answer.status:
            self._load.answered(answer.status, connection.since)
            connection.since = connection.answer = None
            if not answer.keeps:
                self._drop(connection)
            elif connection.unsent is None:
                self.free.append(connection)
        elif not data:
            self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        del self._by_fd[connection.fd]
        connection.socket.close()
        if connection.since is not None:
            self._load.lost()
        elif connection in self.free:
            self.free.remove(connection)
