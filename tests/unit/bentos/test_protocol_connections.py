"""How long a connection lives: for as long as there is something to answer, and at nobody else's cost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import time
from typing import Any

import pytest
import uvloop

from tests.fakes.site import Site, read_answer, request


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


def test_a_connection_that_its_client_broke_is_not_looked_at_when_its_time_is_up(site: Any, credit: Any) -> None:
    whole = request({"instances": credit.instances(1)})

    async def scenario(site: Site) -> None:
        problems: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, problem: problems.append(problem))
        reader, writer = await site.connect()
        writer.write(whole)
        assert (await read_answer(reader))[0] == 200
        # Linger for no time: the server hears of an error, not of an end.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        await asyncio.sleep(1.3)
        assert problems == []
        assert site.server.server_state.connections == set()

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
