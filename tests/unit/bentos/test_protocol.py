"""The way round ASGI: the answers of uvicorn's own way, however a request is cut, and nothing it must not take."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
import uvicorn
import uvicorn.protocols.http.auto
import uvloop

from access.key_file import FiledKey, as_bytes, replace_file
from access.scopes import Scope
from access.tokens import new_token
from bentos import forwarding
from bentos.edge import FrontDoor
from bentos.protocol import DirectExchange, HotProtocol
from bentos.worker import Worker

Scenario = Callable[["Site"], Coroutine[Any, Any, None]]


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


@pytest.fixture
def site(service: Any, credit: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Scenario], None]:
    service.serve(credit)

    async def run(scenario: Scenario) -> None:
        async def with_worker(_client: httpx.AsyncClient, worker: Worker) -> None:
            direct: list[str] = []

            class Door(FrontDoor):
                async def answer_entered(self, exchange: Any) -> None:
                    if isinstance(exchange, DirectExchange):
                        direct.append(exchange.path)
                    await super().answer_entered(exchange)

            door = Door(_nothing, worker, forwarding.Companion(), service.admission())
            monkeypatch.setattr(uvicorn.protocols.http.auto, "AutoHTTPProtocol", HotProtocol)
            HotProtocol.install(door)
            config = uvicorn.Config(
                door, host="127.0.0.1", port=0, lifespan="off", log_config=None, timeout_keep_alive=1, ws="none"
            )
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server._serve())
            while not server.started:
                await asyncio.sleep(0.01)
            try:
                await scenario(Site(server, worker, direct))
            finally:
                server.should_exit = True
                await serving

        await service._run(with_worker)

    return lambda scenario, run_loop=asyncio.run: run_loop(run(scenario))


async def _nothing(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"12")]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": b"nothing here"})


def request(body: Any, path: str = "/predict", more: str = "", length: int | None = None) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    size = len(content) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}"
    return f"{head}Content-Length: {size}\r\n\r\n".encode() + content


def test_uvicorn_makes_its_connections_of_the_class_that_is_installed() -> None:
    """BentoML gives no choice of protocol: this is what breaks when uvicorn changes how it chooses."""
    config = uvicorn.Config(_nothing, log_config=None)
    before = uvicorn.protocols.http.auto.AutoHTTPProtocol
    try:
        HotProtocol.install(None)  # type: ignore[arg-type]
        config.load()
        assert issubclass(config.http_protocol_class, HotProtocol)
    finally:
        uvicorn.protocols.http.auto.AutoHTTPProtocol = before


def test_a_request_has_one_answer_however_it_is_cut(site: Any, credit: Any) -> None:
    whole = request({"instances": credit.instances(2)})

    async def scenario(site: Site) -> None:
        expected = None
        for cut in (0, 1, 10, whole.index(b"\r\n\r\n"), whole.index(b"\r\n\r\n") + 4, len(whole) - 1):
            status, _, answer = await site.exchange(*([whole[:cut], whole[cut:]] if cut else [whole]))
            assert status == 200
            probabilities = [row["probability"] for row in answer["predictions"]]
            expected = expected or probabilities
            assert probabilities == expected
        assert site.direct == ["/predict"], "only the whole one goes past uvicorn"

    site(scenario)


def test_direct_answers_say_what_uvicorns_do(site: Any, credit: Any) -> None:
    body = {"instances": credit.instances(1)}

    async def scenario(site: Site) -> None:
        status, headers, answer = await site.exchange(request(body))
        same_status, same_headers, same = await site.exchange(request(body, more="Connection: close\r\n"))
        assert (status, same_status) == (200, 200)
        assert headers.keys() | {"connection"} == same_headers.keys()
        assert answer["predictions"][0].keys() == same["predictions"][0].keys()
        assert headers["x-fairmind-prediction-id"] == answer["predictions"][0]["prediction_id"].rpartition("-")[0]
        assert len(site.direct) == 1

    site(scenario)


def test_keys_are_asked_for_on_the_way_past_uvicorn_too(site: Any, service: Any, credit: Any) -> None:
    service.requires_keys, token = True, new_token()
    key = FiledKey(id=token.id, hash=token.hash.hex(), scopes=(Scope.PREDICT,))
    replace_file(service.keys_file, as_bytes([key]))
    body = {"instances": credit.instances(1)}

    async def scenario(site: Site) -> None:
        refused = await site.exchange(request(body, more="X-Request-Id: trace-7\r\n"))
        assert (refused[0], refused[2]["error"]["code"]) == (401, "key_required")
        assert (refused[1]["www-authenticate"], refused[1]["x-request-id"]) == (
            'bearer realm="fairmind"',
            "trace-7",
        )
        status, headers, answer = await site.exchange(request(body, more=f"Authorization: Bearer {token.text}\r\n"))
        assert (status, "variant" in answer["predictions"][0], "x-request-id" in headers) == (200, False, False)
        wrong = await site.exchange(
            request(body, "/v2/models/credit/infer", f"Authorization: bearer {token.text}0\r\n")
        )
        assert (wrong[0], isinstance(wrong[2]["error"], str)) == (401, True)
        assert len(site.direct) == 3

    site(scenario)


def test_the_protocol_of_models_goes_the_same_way(site: Any, credit: Any) -> None:
    row = credit.instances(1)[0]["features"]
    tensors = [
        {"name": name, "shape": [1], "datatype": "BYTES" if isinstance(value, str) else "FP64", "data": [value]}
        for name, value in row.items()
    ]

    async def scenario(site: Site) -> None:
        status, headers, answer = await site.exchange(request({"inputs": tensors}, "/v2/models/credit/infer"))
        assert (status, answer["model_name"], headers["x-fairmind-model-version"]) == (200, "credit", "1")
        status, _, answer = await site.exchange(request({"inputs": tensors}, "/v2/models/nobody/infer"))
        assert status == 404
        assert isinstance(answer["error"], str)
        assert site.direct == ["/v2/models/credit/infer", "/v2/models/nobody/infer"]

    site(scenario)


def test_pipelined_requests_are_answered_in_their_order(site: Any, credit: Any) -> None:
    first = request({"instances": credit.instances(1)})
    second = request({"instances": credit.instances(3)})

    async def scenario(site: Site) -> None:
        for pieces in (
            [first + second + first],
            [first, second, first],
            [first + second[:30], second[30:] + first],
        ):
            reader, writer = await site.connect()
            for piece in pieces:
                writer.write(piece)
            answers = [await read_answer(reader) for _ in range(3)]
            assert [status for status, _, _ in answers] == [200] * 3
            assert [len(answer["predictions"]) for _, _, answer in answers] == [1, 3, 1]
            writer.close()

    site(scenario)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(request({}, more="Transfer-Encoding: chunked\r\n"), 400, id="two lengths of a body"),
        pytest.param(request({}, more="Content-Length: 2\r\nX: y\r\n"), 400, id="two content lengths"),
        pytest.param(b"POST /predict HTTP/1.1\r\nHost : a\r\nContent-Length: 2\r\n\r\n{}", 400, id="a gap"),
        pytest.param(b"POST /predict HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 400, id="no host"),
        pytest.param(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}", 400, id="a sign"),
        pytest.param(request({}, "/predict?x=1"), 400, id="a query"),
        pytest.param(request({}, "/%70redict"), 400, id="an escaped path"),
        pytest.param(request({}, "/predictor"), 404, id="another route"),
    ],
)
def test_what_is_not_plain_is_left_to_uvicorn(site: Any, raw: bytes, status: int) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.exchange(raw)
        assert answer[0] == status
        assert not site.direct

    site(scenario)


def test_a_client_that_waits_for_100_continue_gets_it(site: Any, credit: Any) -> None:
    body = json.dumps({"instances": credit.instances(1)}).encode()
    whole = request(body, more="Expect: 100-continue\r\n")
    head, content = whole[: -len(body)], whole[-len(body) :]

    async def scenario(site: Site) -> None:
        reader, writer = await site.connect()
        writer.write(head)
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(content)
        assert (await read_answer(reader))[0] == 200
        writer.close()

    site(scenario)


def test_an_idle_connection_is_closed_and_one_in_use_is_not(site: Any, credit: Any) -> None:
    whole = request({"instances": credit.instances(1)})

    async def scenario(site: Site) -> None:
        reader, writer = await site.connect()
        for _ in range(9):  # longer than the keep-alive time in all
            writer.write(whole)
            assert (await read_answer(reader))[0] == 200
            await asyncio.sleep(0.2)
        assert await asyncio.wait_for(reader.read(), 5) == b"", "a second without a request ends it"
        writer.close()

    site(scenario)


def test_a_request_that_came_while_the_loop_was_busy_is_answered_before_its_connection_is_too_old(
    site: Any, credit: Any
) -> None:
    whole = request({"instances": credit.instances(1)})

    async def scenario(site: Site) -> None:
        reader, writer = await site.connect()
        for _ in range(2):
            writer.write(whole)
            assert (await read_answer(reader))[0] == 200
        loop, (ours, theirs) = asyncio.get_running_loop(), socket.socketpair()

        def be_long() -> None:
            """Be one of many events of a pass, after which timers are looked at before the next pass."""
            loop.remove_reader(ours)
            writer.write(whole)
            time.sleep(1.2)

        with ours, theirs:
            loop.add_reader(ours, be_long)
            theirs.send(b"!")
            assert (await read_answer(reader))[0] == 200
        writer.close()

    site(scenario, uvloop.run)


def test_a_server_that_stops_answers_what_it_took_and_closes(site: Any, credit: Any) -> None:
    whole = request({"instances": credit.instances(1)})

    async def scenario(site: Site) -> None:
        busy, idle = await site.connect(), await site.connect()
        idle[1].write(whole)
        await read_answer(idle[0])
        busy[1].write(whole)
        await busy[1].drain()
        while len(site.direct) < 2:
            await asyncio.sleep(0)
        site.server.should_exit = True
        status, _, _ = await read_answer(busy[0])
        assert status == 200
        assert await asyncio.wait_for(busy[0].read(), 5) == b""
        assert await asyncio.wait_for(idle[0].read(), 5) == b""
        for _, writer in (busy, idle):
            writer.close()

    site(scenario)


def test_what_there_is_no_room_for_is_refused_on_the_spot(site: Any, service: Any, credit: Any) -> None:
    service.serving = service.serving.model_copy(update={"max_in_flight": 1})
    whole = request({"instances": credit.instances(1)})

    async def scenario(site: Site) -> None:
        connections = [await site.connect() for _ in range(20)]
        for _, writer in connections:
            writer.write(whole)
        answers = [await read_answer(reader) for reader, _ in connections]
        statuses = [status for status, _, _ in answers]
        assert set(statuses) <= {200, 503}
        assert statuses.count(200) >= 1
        for status, headers, answer in answers:
            if status == 503:
                assert answer["error"]["code"] == "overloaded"
                assert int(headers["retry-after"]) >= 1
        for reader, writer in connections:
            writer.write(whole)
            status, _, _ = await read_answer(reader)
            assert status == 200, "one at a time there is room, on every connection"
            writer.close()

    site(scenario)


def test_a_length_of_thousands_of_digits_is_refused_and_not_an_accident(site: Any) -> None:
    raw = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}"

    async def scenario(site: Site) -> None:
        assert (await site.exchange(raw))[0] == 400
        assert not site.direct

    site(scenario)


def test_a_request_that_meets_a_bug_is_answered_and_nothing_of_it_is_logged(
    site: Any, credit: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_door: FrontDoor, _exchange: Any) -> None:
        raise RuntimeError("Zaphod")

    monkeypatch.setattr(FrontDoor, "answer_entered", fail)

    async def scenario(site: Site) -> None:
        reader, writer = await site.connect()
        writer.write(request({"instances": credit.instances(1)}))
        status, headers, _ = await read_answer(reader)
        assert (status, headers["connection"]) == (500, "close")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()

    site(scenario)
    assert "RuntimeError" in caplog.text
    assert "Zaphod" not in caplog.text


def test_clients_that_send_no_body_do_not_keep_the_others_out(site: Any, service: Any, credit: Any) -> None:
    service.serving = service.serving.model_copy(update={"max_in_flight": 1, "timeout_seconds": 0.3})
    whole = request({"instances": credit.instances(1)})

    async def scenario(site: Site) -> None:
        reader, writer = await site.connect()
        writer.write(whole[:-5])
        status, _, answer = await read_answer(reader)
        assert (status, answer["error"]["code"]) == (504, "deadline_exceeded")
        assert "body" in answer["error"]["message"]
        assert (await site.exchange(whole))[0] == 200
        writer.close()

    site(scenario)


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])
def test_clients_that_take_no_answers_do_not_keep_the_others_out(
    site: Any, service: Any, credit: Any, at_once: bool
) -> None:
    service.serving = service.serving.model_copy(update={"max_in_flight": 1, "timeout_seconds": 0.3})
    whole = request({"instances": credit.instances(1)})
    many = request({"instances": credit.instances(400)})

    async def scenario(site: Site) -> None:
        silent = socket.create_connection(("127.0.0.1", site.port))
        silent.setblocking(False)
        loop = asyncio.get_running_loop()
        with silent:
            with contextlib.suppress(TimeoutError):
                for _ in range(2000):
                    await asyncio.wait_for(loop.sock_sendall(silent, many * (8 if at_once else 1)), 0.5)
                raise AssertionError("the server takes requests for ever from a client that takes no answers")
            statuses = [(await site.exchange(whole))[0] for _ in range(20) if not await asyncio.sleep(0.05)]
            assert 200 in statuses, "there is room for others"

    site(scenario)


def test_a_client_that_has_said_all_it_has_to_gets_its_answer(site: Any, credit: Any) -> None:
    async def scenario(site: Site) -> None:
        reader, writer = await site.connect()
        writer.write(request({"instances": credit.instances(1)}))
        writer.write_eof()
        status, headers, _ = await read_answer(reader)
        assert (status, headers["connection"]) == (200, "close")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()

    site(scenario)
