"""Who is taken into a batch queue and who is refused: rows that wait, predicted waits, deadlines."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from inference.errors import (
    DeadlineExceededError,
    QueueFullError,
)
from tests.fakes.queues import Doubler, Held, batcher, run, x


def test_a_full_queue_refuses_at_the_door() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Held()
        queue = batcher(runtime, executor, max_queue_rows=5)
        first = asyncio.create_task(queue.predict(x(1), 1))
        await runtime.until_called()
        waiting = asyncio.create_task(queue.predict(x(*range(4)), 4))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError) as refusal:
            await queue.predict(x(1, 2), 2)
        assert refusal.value.retry_after > 0
        runtime.let_go()
        runtime.let_go()
        await asyncio.gather(first, waiting)

    run(scenario)


def test_a_request_that_could_not_make_its_deadline_is_not_run() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Held()
        queue = batcher(runtime, executor)
        first = asyncio.create_task(queue.predict(x(1), 1))
        await runtime.until_called()
        with pytest.raises(DeadlineExceededError):
            await queue.predict(x(2), 1, deadline=time.perf_counter() + 0.01)
        runtime.let_go()
        await first
        await queue.drain()
        assert runtime.calls == [1]

    run(scenario)


def test_a_model_that_hangs_is_left_at_the_deadline() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Held()
        queue = batcher(runtime, executor)
        with pytest.raises(DeadlineExceededError):
            await queue.predict(x(1), 1, deadline=time.perf_counter() + 0.2)
        assert runtime.calls == [1], "it had begun, and has not ended"
        runtime.let_go()

    run(scenario)


def test_an_earlier_deadline_is_kept_behind_a_later_one() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Held()
        queue = batcher(runtime, executor, max_wait_seconds=10.0)
        now = time.perf_counter()
        patient = asyncio.create_task(queue.predict(x(1), 1, now + 60.0))
        await runtime.until_called()
        earlier = asyncio.create_task(queue.predict(x(2), 1, now + 0.8))
        await asyncio.sleep(0)  # it waits behind the patient one
        runtime.let_go()
        assert (await patient).prediction.tolist() == [2.0]
        with pytest.raises(DeadlineExceededError):
            await earlier
        assert runtime.calls == [1, 1], "its own call is still under way"
        runtime.let_go()

    run(scenario)


def test_the_wait_for_the_call_under_way_counts_as_wait() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Doubler(0.2)
        queue = batcher(runtime, executor, max_wait_seconds=0.1)
        running = asyncio.create_task(queue.predict(x(1), 1))
        await asyncio.sleep(0.02)
        with pytest.raises(QueueFullError) as refused:
            await queue.predict(x(2), 1)
        assert 0.0 < refused.value.retry_after <= 0.2
        await running
        assert runtime.calls == [1]

    run(scenario)


def test_what_comes_between_calls_counts_as_wait_too() -> None:
    class Hindered(ThreadPoolExecutor):
        """Begins each call late, as it does where other threads of the process are busy."""

        def submit(self, call: Any, /, *given: Any, **named: Any) -> Any:
            def late() -> Any:
                time.sleep(0.04)
                return call(*given, **named)

            return super().submit(late)

    async def scenario() -> None:
        with Hindered(1) as executor:
            queue = batcher(Doubler(0.01), executor, max_batch_rows=1, max_wait_seconds=0.1)
            for _ in range(10):
                await queue.predict(x(1), 1)
            answers = await asyncio.gather(*(queue.predict(x(1), 1) for _ in range(10)), return_exceptions=True)
            refused = [answer for answer in answers if isinstance(answer, QueueFullError)]
            assert 3 < len(refused) < 10  # by the seconds of the calls alone, none of the ten would be

    asyncio.run(scenario())


def test_one_slow_call_does_not_have_the_next_requests_refused_for_ever() -> None:
    """BentoML's dispatcher cancels what a latency model trained on its first requests takes for late."""

    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Doubler(0.05)
        queue = batcher(runtime, executor, max_wait_seconds=0.5)
        await queue.predict(x(1), 1)
        runtime.seconds = 0.0
        for _ in range(60):
            await queue.predict(x(1), 1)
        answers = await asyncio.gather(*(queue.predict(x(1), 1) for _ in range(200)))
        assert [answer.prediction.tolist() for answer in answers] == [[2.0]] * 200

    run(scenario)
