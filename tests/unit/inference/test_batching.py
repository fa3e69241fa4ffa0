"""The batch queue: what joins, what is refused, and that nobody pays for a neighbour."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from inference.batching import Batcher, BatchingPolicy
from inference.cost import CostModel
from inference.decision import Decision
from inference.errors import DeadlineExceededError, DrainingError, ModelFailedError, QueueFullError
from inference.observer import SilentObserver
from inference.runtime import Columns, Scores
from inference.served_model import ServedModel
from inference.signature import Column, ColumnType, Signature, Task

SIGNATURE = Signature(columns=(Column(name="x", type=ColumnType.DOUBLE),), task=Task.REGRESSION)


class Doubler:
    """Answers 2x, remembers the sizes of its calls, refuses negative numbers and can be slow."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.calls: list[int] = []
        self.seconds = seconds

    def run(self, columns: Columns, rows: int) -> Scores:
        self.calls.append(rows)
        time.sleep(self.seconds)
        if (columns["x"] < 0).any():
            raise ValueError("negative")
        return Scores(values=columns["x"] * 2)


def batcher(runtime: Doubler, executor: ThreadPoolExecutor, **policy: Any) -> Batcher:
    return Batcher(
        ServedModel(SIGNATURE, Decision(), runtime),
        name="doubler",
        version="1",
        policy=BatchingPolicy(**policy),
        cost=CostModel(fixed=max(runtime.seconds, 1e-6), per_row=1e-9),
        executor=executor,
        observer=SilentObserver(),
    )


def x(*values: float) -> Columns:
    return {"x": np.array(values, dtype=np.float64)}


def run(scenario: Callable[[ThreadPoolExecutor], Coroutine[Any, Any, None]]) -> None:
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(scenario(executor))


@pytest.mark.parametrize("seconds", [0.0, 0.01], ids=["inline", "in a thread"])
def test_requests_of_one_pass_share_a_call_and_each_gets_its_own_rows(seconds: float) -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Doubler(seconds)
        queue = batcher(runtime, executor)
        answers = await asyncio.gather(*(queue.predict(x(i, i + 0.5), 2) for i in range(10)))
        assert runtime.calls == [20]
        for i, answer in enumerate(answers):
            assert answer.prediction.tolist() == [2 * i, 2 * i + 1]

    run(scenario)


def test_while_the_model_runs_the_next_batch_collects() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Doubler(0.05)
        queue = batcher(runtime, executor)
        first = asyncio.create_task(queue.predict(x(1), 1))
        await asyncio.sleep(0.01)
        rest = [asyncio.create_task(queue.predict(x(i), 1)) for i in range(7)]
        await asyncio.gather(first, *rest)
        assert runtime.calls == [1, 7]

    run(scenario)


def test_a_batch_is_bounded_by_rows_and_a_larger_request_runs_alone() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Doubler()
        queue = batcher(runtime, executor, max_batch_rows=4)
        await asyncio.gather(*(queue.predict(x(*range(3)), 3) for _ in range(2)), queue.predict(x(*range(9)), 9))
        assert runtime.calls == [3, 3, 9]

    run(scenario)


@pytest.mark.parametrize("seconds", [0.0, 0.01], ids=["inline", "in a thread"])
def test_a_poisoned_request_fails_alone(seconds: float) -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        queue = batcher(Doubler(seconds), executor)
        answers = await asyncio.gather(
            queue.predict(x(1), 1), queue.predict(x(-1), 1), queue.predict(x(3), 1), return_exceptions=True
        )
        assert isinstance(answers[1], ModelFailedError)
        assert isinstance(answers[1].__cause__, ValueError)
        assert [answers[i].prediction.tolist() for i in (0, 2)] == [[2.0], [6.0]]  # type: ignore[union-attr]

    run(scenario)


def test_a_cancelled_request_leaves_the_queue_unrun() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Doubler(0.05)
        queue = batcher(runtime, executor)
        first = asyncio.create_task(queue.predict(x(1), 1))
        await asyncio.sleep(0.01)
        impatient = asyncio.create_task(queue.predict(x(2), 1))
        patient = asyncio.create_task(queue.predict(x(3), 1))
        await asyncio.sleep(0.01)
        impatient.cancel()
        await asyncio.gather(first, patient)
        assert runtime.calls == [1, 1]

    run(scenario)


def test_a_full_queue_refuses_at_the_door() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        queue = batcher(Doubler(0.05), executor, max_queue_rows=5)
        first = asyncio.create_task(queue.predict(x(1), 1))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(queue.predict(x(*range(4)), 4))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError) as refusal:
            await queue.predict(x(1, 2), 2)
        assert refusal.value.retry_after > 0
        await asyncio.gather(first, waiting)

    run(scenario)


def test_a_request_that_could_not_make_its_deadline_is_not_run() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Doubler(0.05)
        queue = batcher(runtime, executor)
        first = asyncio.create_task(queue.predict(x(1), 1))
        await asyncio.sleep(0.01)
        with pytest.raises(DeadlineExceededError):
            await queue.predict(x(2), 1, deadline=time.perf_counter() + 0.01)
        await first
        await queue.drain()
        assert runtime.calls == [1]

    run(scenario)


def test_a_model_that_hangs_is_left_at_the_deadline() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        queue = batcher(Doubler(0.3), executor)
        started = time.perf_counter()
        with pytest.raises(DeadlineExceededError):
            await queue.predict(x(1), 1, deadline=started + 0.05)
        assert time.perf_counter() - started < 0.25

    run(scenario)


def test_draining_answers_what_was_taken_and_refuses_the_rest() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        queue = batcher(Doubler(0.02), executor)
        taken = asyncio.create_task(queue.predict(x(1), 1))
        await asyncio.sleep(0)
        drained = asyncio.create_task(queue.drain())
        await asyncio.sleep(0)
        with pytest.raises(DrainingError):
            await queue.predict(x(2), 1)
        await drained
        assert taken.done()
        assert (await taken).prediction.tolist() == [2.0]

    run(scenario)
