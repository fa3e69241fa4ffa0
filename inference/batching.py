"""Adaptive batching: the only way into a model version, for every protocol.

Requests decoded in one pass of the event loop become one batch (the flush is a `call_soon`); an idle model starts
at once, and while it runs the next batch collects: nothing waits for a timer. A call cheaper than a thread hop
runs on the event loop itself, a dearer one in the batcher's thread. Work that cannot be finished in time is
refused at the door, before it has waited.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import Executor
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from inference.columns import concatenate
from inference.cost import CostModel
from inference.errors import DeadlineExceededError, DrainingError, ModelFailedError, QueueFullError
from inference.observer import BatchObserver
from inference.runtime import Columns
from inference.served_model import Predictions, ServedModel


class BatchingPolicy(BaseModel):
    """How batches form and when work is refused."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    max_batch_rows: int = Field(default=1024, ge=1)
    """Most rows of one model call that joins several requests; a larger request runs alone."""

    max_queue_rows: int = Field(default=50_000, ge=1)
    """Most rows that may wait per model version; beyond it requests are refused as overload."""

    max_wait_seconds: float = Field(default=1.0, gt=0)
    """Longest predicted wait; a request that would wait longer is refused at once."""

    inline_seconds: float = Field(default=0.002, ge=0)
    """Calls predicted to be shorter run on the event loop; longer ones in a thread."""


@dataclass(slots=True)
class _Request:
    columns: Columns
    rows: int
    future: asyncio.Future[Predictions]
    queued_at: float
    deadline: float | None


class Batcher:
    """The batch queue of one model version in one worker. Belongs to one event loop.

    Args:
        model: What answers.
        name: The model's name, for errors.
        version: Its version, for errors.
        policy: Sizes and bounds.
        cost: What calls are expected to take; it goes on learning.
        executor: Where dear calls run.
        observer: Hears of every batch.
    """

    def __init__(
        self,
        model: ServedModel,
        *,
        name: str,
        version: str,
        policy: BatchingPolicy,
        cost: CostModel,
        executor: Executor,
        observer: BatchObserver,
    ) -> None:
        self.model, self.name, self.version = model, name, version
        self._policy, self._cost, self._executor, self._observer = policy, cost, executor, observer
        self._queue: deque[_Request] = deque()
        self._queued_rows = 0
        self._flushing = False
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def predict(self, columns: Columns, rows: int, deadline: float | None = None) -> Predictions:
        """Return the predictions of `rows` rows; `deadline` is on the clock of `time.perf_counter`.

        Raises:
            QueueFullError: The queue is full or the predicted wait too long; nothing was run.
            DeadlineExceededError: The deadline passed, or would have before the rows ran.
            DrainingError: The batcher is closing.
            ModelFailedError: The model raised on these very rows.
        """
        if self._draining:
            raise DrainingError
        now = time.perf_counter()
        wait = self._cost.predict(self._queued_rows) if self._queue else 0.0
        if self._queue and (
            self._queued_rows + rows > self._policy.max_queue_rows or wait > self._policy.max_wait_seconds
        ):
            raise QueueFullError(retry_after=max(wait, 0.001))
        if deadline is not None and now + wait > deadline:
            raise DeadlineExceededError
        loop = asyncio.get_running_loop()
        request = _Request(columns, rows, loop.create_future(), now, deadline)
        self._queue.append(request)
        self._queued_rows += rows
        if not self._flushing:
            self._flushing = True
            self._idle.clear()
            loop.call_soon(self._flush)
        if deadline is None:
            return await request.future
        timer = loop.call_later(deadline - now, _expire, request.future)
        try:
            return await request.future
        finally:
            timer.cancel()

    async def drain(self) -> None:
        """Take no more requests and return when those taken are answered."""
        self._draining = True
        await self._idle.wait()

    def _flush(self) -> None:
        batch = self._next_batch()
        if not batch:
            self._flushing = False
            self._idle.set()
            return
        rows = sum(request.rows for request in batch)
        loop = asyncio.get_running_loop()
        self._observer.batch_ran(rows, time.perf_counter() - batch[0].queued_at)
        self._observer.queue_changed(self._queued_rows)
        if self._cost.predict(rows) <= self._policy.inline_seconds:
            self._answer(batch, _run(self.model, batch))
            loop.call_soon(self._flush)
            return
        work = loop.run_in_executor(self._executor, _run, self.model, batch)
        work.add_done_callback(lambda done: self._on_thread_done(batch, done))

    def _on_thread_done(self, batch: list[_Request], done: asyncio.Future[_Outcomes]) -> None:
        if done.cancelled() or (error := done.exception()) is not None:
            failure = DrainingError() if done.cancelled() else error
            self._answer(batch, _Outcomes([failure or DrainingError()] * len(batch), 0.0))
        else:
            self._answer(batch, done.result())
        self._flush()

    def _next_batch(self) -> list[_Request]:
        batch: list[_Request] = []
        rows = 0
        now = time.perf_counter()
        while self._queue:
            request = self._queue[0]
            if batch and rows + request.rows > self._policy.max_batch_rows:
                break
            self._queue.popleft()
            self._queued_rows -= request.rows
            if request.future.done():  # the caller left, or its deadline timer fired
                continue
            if request.deadline is not None and now > request.deadline:
                request.future.set_exception(DeadlineExceededError())
                continue
            batch.append(request)
            rows += request.rows
        return batch

    def _answer(self, batch: list[_Request], outcomes: _Outcomes) -> None:
        if outcomes.seconds:
            self._cost.learn(sum(request.rows for request in batch), outcomes.seconds)
        for request, result in zip(batch, outcomes.results, strict=True):
            if request.future.done():
                continue
            if isinstance(result, Predictions):
                request.future.set_result(result)
            elif isinstance(result, DrainingError):
                request.future.set_exception(result)
            else:
                failure = ModelFailedError(self.name, self.version)
                failure.__cause__ = result
                request.future.set_exception(failure)


@dataclass(slots=True)
class _Outcomes:
    """What became of each request of a batch, and the seconds of the joint call (0 when it failed)."""

    results: list[Predictions | BaseException]
    seconds: float


def _run(model: ServedModel, batch: list[_Request]) -> _Outcomes:
    """Run the batch in one call; when it raises, run its requests one by one, so that only the culprit fails."""
    started = time.perf_counter()
    try:
        if len(batch) == 1:
            return _Outcomes([model.predict(batch[0].columns, batch[0].rows)], time.perf_counter() - started)
        joined = concatenate([request.columns for request in batch])
        answer = model.predict(joined, sum(request.rows for request in batch))
    except Exception as error:
        if len(batch) == 1:
            return _Outcomes([error], 0.0)
        return _Outcomes([_run(model, [request]).results[0] for request in batch], 0.0)
    seconds = time.perf_counter() - started
    results: list[Predictions | BaseException] = []
    start = 0
    for request in batch:
        end = start + request.rows
        probabilities = answer.probabilities
        results.append(
            Predictions(answer.prediction[start:end], None if probabilities is None else probabilities[start:end])
        )
        start = end
    return _Outcomes(results, seconds)


def _expire(future: asyncio.Future[Predictions]) -> None:
    if not future.done():
        future.set_exception(DeadlineExceededError())
