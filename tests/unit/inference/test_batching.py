"""The batch queue: what joins, what is refused, and that nobody pays for a neighbour."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from inference.batching import Batcher, BatchingPolicy
from inference.cost import CostModel
from inference.decision import Decision
from inference.errors import (
    DrainingError,
    ModelFailedError,
    ModelTimeoutError,
    RowsRefusedError,
)
from inference.observer import SilentObserver
from inference.served_model import Predictions, ServedModel
from tests.fakes.queues import SIGNATURE, Doubler, Elsewhere, Held, batcher, run, x


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
        runtime = Held()
        queue = batcher(runtime, executor)
        first = asyncio.create_task(queue.predict(x(1), 1))
        await runtime.until_called()
        rest = [asyncio.create_task(queue.predict(x(i), 1)) for i in range(7)]
        await asyncio.sleep(0)
        runtime.let_go()
        runtime.let_go()
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
def test_before_each_call_of_the_model_the_loop_is_told(seconds: float) -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        runtime = Doubler(seconds)
        calls_before: list[int] = []
        on: set[int] = set()

        def told() -> None:
            calls_before.append(len(runtime.calls))
            on.add(threading.get_ident())

        queue = batcher(runtime, executor, before_call=told)
        for number in range(3):
            await queue.predict(x(number), 1)
        assert calls_before == [0, 1, 2]
        assert on == {threading.get_ident()}

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
        runtime = Held()
        queue = batcher(runtime, executor)
        first = asyncio.create_task(queue.predict(x(1), 1))
        await runtime.until_called()
        impatient = asyncio.create_task(queue.predict(x(2), 1))
        patient = asyncio.create_task(queue.predict(x(3), 1))
        await asyncio.sleep(0)
        impatient.cancel()
        runtime.let_go()
        runtime.let_go()
        await asyncio.gather(first, patient)
        assert runtime.calls == [1, 1]

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


def test_requests_with_other_parameters_never_share_a_call() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        model = Elsewhere()
        queue = batcher(model, executor)
        factors: list[dict[str, Any] | None] = [{"factor": 3}, {"factor": 3}, {"factor": 5}, None, {"factor": 3}]
        answers = await asyncio.gather(*(queue.predict(x(1), 1, params=params) for params in factors))
        assert [answer.prediction.tolist() for answer in answers] == [[3], [3], [5], [2], [3]]
        assert [params for _, params in model.calls] == [{"factor": 3}, {"factor": 5}, None, {"factor": 3}]

    run(scenario)


def test_a_row_on_which_the_model_hangs_costs_its_neighbours_a_delay_and_no_answer() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        queue = batcher(Elsewhere(hangs_on=3.0), executor)
        deadline = time.perf_counter() + 2.0
        answers = await asyncio.gather(
            *(queue.predict(x(float(i)), 1, deadline) for i in range(6)), return_exceptions=True
        )
        for i, answer in enumerate(answers):
            if i == 3:
                assert isinstance(answer, ModelTimeoutError)
            else:
                assert isinstance(answer, Predictions)
                assert answer.prediction.tolist() == [2.0 * i]

    run(scenario)


def test_what_a_model_says_of_the_rows_it_refuses_reaches_the_one_who_sent_them() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        queue = batcher(Elsewhere(), executor)
        good, bad = await asyncio.gather(queue.predict(x(1), 1), queue.predict(x(-1), 1), return_exceptions=True)
        assert isinstance(good, Predictions)
        assert isinstance(bad, RowsRefusedError)

    run(scenario)


def test_parameters_that_only_python_takes_for_equal_never_share_a_call() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        model = Elsewhere()
        queue = batcher(model, executor)
        factors = [{"factor": 1}, {"factor": True}, {"factor": 1.0}, {"factor": 1.0}]
        await asyncio.gather(*(queue.predict(x(1), 1, params=params) for params in factors))
        seen = [(type(params["factor"]), len(values)) for values, params in model.calls if params is not None]
        assert seen == [(int, 1), (bool, 1), (float, 2)]

    run(scenario)


def test_those_given_up_meanwhile_are_not_run_again_after_a_batch_that_failed() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        model = Elsewhere(hangs_on=3.0)
        queue = batcher(model, executor)
        deadline = time.perf_counter() + 1.0
        culprit = asyncio.create_task(queue.predict(x(3), 1, deadline))
        left = [asyncio.create_task(queue.predict(x(7), 1, deadline)) for _ in range(5)]
        stays = asyncio.create_task(queue.predict(x(1), 1, deadline))
        await asyncio.sleep(0.05)  # the batch is under way, and hangs
        for task in left:
            task.cancel()
        assert (await stays).prediction.tolist() == [2.0]
        with pytest.raises(ModelTimeoutError):
            await culprit
        assert [7.0] not in [values for values, _ in model.calls]

    run(scenario)


def test_a_queue_whose_requests_were_all_given_up_is_told_of_as_empty() -> None:
    class Depth(SilentObserver):
        rows = -1

        def queue_changed(self, rows: int) -> None:
            self.rows = rows

    async def scenario(executor: ThreadPoolExecutor) -> None:
        depth, runtime = Depth(), Held()
        queue = Batcher(
            ServedModel(SIGNATURE, Decision(), runtime),
            name="doubler",
            version="1",
            policy=BatchingPolicy(max_batch_rows=1),
            cost=CostModel(fixed=0.05, per_row=1e-9),
            executor=executor,
            observer=depth,
        )
        tasks = [asyncio.create_task(queue.predict(x(i), 1)) for i in range(4)]
        await runtime.until_called()
        assert depth.rows == 2  # the thread has its next one already
        for task in tasks[1:]:
            task.cancel()
        runtime.let_go()
        await tasks[0]
        await queue.drain()
        assert depth.rows == 0

    run(scenario)


def test_nobody_waits_for_a_thread_that_is_shut_down() -> None:
    async def scenario(executor: ThreadPoolExecutor) -> None:
        queue = batcher(Doubler(0.01), executor)
        executor.shutdown()
        with pytest.raises(DrainingError):
            await asyncio.wait_for(queue.predict(x(1), 1), 5)
        await asyncio.wait_for(queue.drain(), 5)

    run(scenario)
