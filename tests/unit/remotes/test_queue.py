"""Who is called when: side by side, joined, rested, and checked for another version."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from inference.errors import DeadlineExceededError, DrainingError, QueueFullError
from remotes.breaker import Breaker
from remotes.errors import RemoteFailedError, RemoteRefusedError, RemoteUnavailableError
from tests.fakes.remote_servers import Answered
from tests.unit.remotes.queues import SERVERS, model, queue, rows, serving, telling
from tests.waiting import soon


@pytest.mark.parametrize("protocol", ["oip", "oip-grpc"])
def test_another_version_in_an_answer_is_told_of_and_of_the_answer(protocol: str) -> None:
    async def scenario() -> None:
        async with serving(protocol) as (fake, made, _):
            fake.version = "4"
            answer = await made.predict(rows(20), 1)
            assert answer.version == "7@4"
            assert made.problem is not None
            assert "reports version 4, and was registered with version 3" in made.problem
            fake.version = "3"
            assert (await made.predict(rows(20), 1)).version is None
            assert made.problem is None

    asyncio.run(scenario())


@pytest.mark.parametrize("protocol", ["oip", "oip-grpc", "mlflow"])
def test_a_check_finds_another_version_and_a_server_that_is_not_ready(protocol: str) -> None:
    async def scenario() -> None:
        told = []
        async with SERVERS[protocol]() as fake:
            fake.version = "4"
            registered = "mlflow-3" if protocol == "mlflow" else "3"
            made = queue(model(protocol, fake.url, version=registered), changed=lambda: told.append(made.problem))
            made.watch()
            await soon(lambda: bool(told))
            assert "version" in (told[0] or "")
            await made.close()
            fake.version, fake.ready = "3", False
            told.clear()
            made = queue(model(protocol, fake.url, version=registered), changed=lambda: told.append(made.problem))
            made.watch()
            await soon(lambda: bool(told))
            assert told[0] is not None
            await made.close()

    asyncio.run(scenario())


def test_after_several_failures_a_server_is_left_alone_until_it_has_rested() -> None:
    async def scenario() -> None:
        now = [0.0]
        breaker = Breaker(failures=3, rest=1.0, clock=lambda: now[0])
        async with serving("oip", breaker=breaker) as (fake, made, calls):
            fake.behave = telling(500, {})
            for _ in range(3):
                with pytest.raises(RemoteFailedError):
                    await made.predict(rows(20), 1)
            with pytest.raises(RemoteUnavailableError) as raised:
                await made.predict(rows(20), 1)
            assert 0 < raised.value.retry_after <= 1.0
            assert (fake.calls, calls.open) == (3, 1)
            assert made.problem is not None
            fake.behave, now[0] = None, 1.1
            assert (await made.predict(rows(20), 1)).prediction.tolist() == [0]
            assert calls.outcomes == ["error"] * 3 + ["rested", "answered"]
            assert (calls.open, made.problem) == (0, None)

    asyncio.run(scenario())


def test_a_caller_without_patience_does_not_open_the_breaker() -> None:
    async def scenario() -> None:
        async with serving("oip", breaker=Breaker(failures=1)) as (fake, made, _):

            async def slow(_: Any) -> None:
                await asyncio.sleep(0.2)

            fake.behave = slow
            with pytest.raises(DeadlineExceededError):
                await made.predict(rows(20), 1, deadline=time.perf_counter() + 0.02)
            assert (await made.predict(rows(20), 1)).prediction.tolist() == [0]

    asyncio.run(scenario())


def test_calls_run_side_by_side_and_what_is_too_much_is_joined() -> None:
    async def scenario() -> None:
        async with serving("oip", max_in_flight=2, max_batch_rows=3) as (fake, made, _):
            gate = asyncio.Event()

            async def wait(_: Any) -> None:
                await gate.wait()

            fake.behave = wait
            asked = [asyncio.create_task(made.predict(rows(age), 1)) for age in (10, 90, 20, 80, 70, 30)]
            await soon(lambda: fake.calls == 2)
            assert made.queued_rows == 4
            gate.set()
            answers = await asyncio.gather(*asked)
            assert [answer.prediction.tolist() for answer in answers] == [[0], [1], [0], [1], [1], [0]]
            sizes = [len(body["inputs"][0]["data"]) for body in fake.bodies]
            assert sizes == [1, 1, 3, 1]

    asyncio.run(scenario())


def test_one_refused_request_of_a_joined_call_does_not_fail_the_others() -> None:
    async def scenario() -> None:
        async with serving("oip", max_in_flight=1) as (fake, made, _):

            async def refuse(body: Any) -> Answered | None:
                return (400, {"error": "no"}) if 13.0 in body["inputs"][0]["data"] else None

            fake.behave = refuse
            asked = [made.predict(rows(age), 1) for age in (10, 90, 13, 80)]
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(answer) is RemoteRefusedError for answer in answers] == [False, False, True, False]

    asyncio.run(scenario())


def test_more_than_may_wait_is_refused_and_a_queue_that_drains_takes_nothing() -> None:
    async def scenario() -> None:
        async with serving("oip", max_in_flight=1) as (fake, made, _):
            gate = asyncio.Event()

            async def wait(_: Any) -> None:
                await gate.wait()

            fake.behave = wait
            first = asyncio.create_task(made.predict(rows(20), 1))
            await soon(lambda: fake.calls == 1)
            with pytest.raises(QueueFullError):
                await made.predict(rows(*range(101)), 101)
            draining = asyncio.create_task(made.drain())
            await asyncio.sleep(0)
            with pytest.raises(DrainingError):
                await made.predict(rows(20), 1)
            gate.set()
            await asyncio.gather(first, draining)

    asyncio.run(scenario())


def test_what_is_counted_of_open_breakers_goes_back_however_it_ends() -> None:
    async def scenario() -> None:
        now = [0.0]
        for ending in ("refused", "answered", "closed"):
            breaker = Breaker(failures=1, rest=1.0, clock=lambda: now[0])
            async with serving("oip", breaker=breaker) as (fake, made, calls):
                fake.behave = telling(500, {})
                with pytest.raises(RemoteFailedError):
                    await made.predict(rows(20), 1)
                assert calls.open == 1
                now[0] += 1.1
                if ending == "refused":
                    fake.behave = telling(400, {})
                    with pytest.raises(RemoteRefusedError):
                        await made.predict(rows(20), 1)
                if ending == "answered":
                    fake.behave = None
                    await made.predict(rows(20), 1)
            assert calls.open == 0, ending

    asyncio.run(scenario())
