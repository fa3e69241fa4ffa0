import asyncio

import pytest

from loadtests.bench.client import call, percentile, requests_of


class Answering(asyncio.Protocol):
    """Answers every request; every fifth one with 503."""

    asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert data.startswith(b"POST /predict HTTP/1.1\r\n")
        assert data.endswith(b"\r\n\r\n{}")
        Answering.asked += 1
        status = b"503 Busy" if Answering.asked % 5 == 0 else b"200 OK"
        assert isinstance(self.transport, asyncio.Transport)
        self.transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")


class HangingUp(asyncio.Protocol):
    """Closes the connection instead of answering."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def load(protocol: type[asyncio.Protocol], connections: int) -> dict[str, object]:
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return await call(port, requests_of("/predict", ["{}"]), connections, 0.2)


def test_every_answer_is_counted_once_with_its_status() -> None:
    Answering.asked = 0
    result = asyncio.run(load(Answering, 4))
    assert result["requests"] == Answering.asked > 20
    assert result["statuses"] == {"200": Answering.asked - Answering.asked // 5, "503": Answering.asked // 5}
    assert result["failures"] == Answering.asked // 5
    assert 0 < result["p50"] <= result["p95"] <= result["p99"]


def test_connections_that_the_server_ends_are_failures() -> None:
    result = asyncio.run(load(HangingUp, 3))
    assert result["requests"] == 0
    assert result["failures"] == 3


@pytest.mark.parametrize(("share", "expected"), [(0.5, 51), (0.95, 96), (0.99, 100), (1.0, 100)])
def test_a_percentile_is_the_value_below_which_that_share_lies(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected
