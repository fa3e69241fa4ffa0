"""The batch that its thread has before it is done with the one it is at."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from inference.errors import DeadlineExceededError
from tests.fakes.queues import Held, batcher, run, x


def called(runtime: Held, times: int) -> bool:
    """Return whether there were so many calls within ten seconds; the event loop stands still meanwhile."""
    deadline = time.monotonic() + 10
    while len(runtime.calls) < times and time.monotonic() < deadline:
        time.sleep(0.001)
    return len(runtime.calls) >= times


def test_a_full_batch_begins_when_the_one_before_ends_however_busy_the_event_loop_is() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Held()
        queue = batcher(runtime, executor, max_batch_rows=2)
        asked = [asyncio.create_task(queue.predict(x(i), 1)) for i in range(5)]
        await runtime.until_called()
        runtime.let_go()
        assert called(runtime, 2)
        for _ in range(2):
            runtime.let_go()
        answers = await asyncio.gather(*asked)
        assert [answer.prediction.tolist() for answer in answers] == [[0], [2], [4], [6], [8]]
        assert runtime.calls == [2, 2, 1]
        await queue.drain()

    run(scenario)


def test_it_is_handed_over_when_the_last_request_of_it_comes() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Held()
        queue = batcher(runtime, executor, max_batch_rows=2)
        asked = [asyncio.create_task(queue.predict(x(0), 1))]
        await runtime.until_called()
        for i in (1, 2):
            asked.append(asyncio.create_task(queue.predict(x(i), 1)))
            await asyncio.sleep(0)
        runtime.let_go()
        assert called(runtime, 2)
        runtime.let_go()
        await asyncio.gather(*asked)
        assert runtime.calls == [1, 2]

    run(scenario)


def test_what_is_given_up_after_it_was_handed_over_does_not_run() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Held()
        queue = batcher(runtime, executor, max_batch_rows=2)
        asked = [asyncio.create_task(queue.predict(x(i), 1)) for i in range(6)]
        await runtime.until_called()
        asked[2].cancel()
        for task in asked[4:]:
            task.cancel()
        await asyncio.sleep(0)
        runtime.let_go()
        runtime.let_go()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert runtime.calls == [2, 1]
        assert [isinstance(answer, BaseException) for answer in answers] == [False, False, True, False, True, True]
        await queue.drain()

    run(scenario)


def test_a_deadline_passes_for_what_was_handed_over_too() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Held()
        queue = batcher(runtime, executor, max_batch_rows=1)
        first = asyncio.create_task(queue.predict(x(1), 1))
        await runtime.until_called()
        late = asyncio.create_task(queue.predict(x(2), 1, time.perf_counter() + 0.2))
        with pytest.raises(DeadlineExceededError):
            await late
        runtime.let_go()
        await first
        await queue.drain()
        assert runtime.calls == [1]

    run(scenario)
