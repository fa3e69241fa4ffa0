"""Adaptive batching: the only way into a model version, for every protocol.

Requests decoded in one pass of the event loop become one batch (the flush is a `call_soon`); an idle model starts
at once, and while it runs the next batch collects: nothing waits for a timer. A call cheaper than a thread hop
runs on the event loop itself, a dearer one in the batcher's thread. Work that cannot be finished in time is
refused at the door, before it has waited. A batch has one model version and one set of the model's parameters.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Final
from weakref import ref

from pydantic import BaseModel, ConfigDict, Field

from inference.columns import concatenate
from inference.cost import CostModel
from inference.errors import (
    DeadlineExceededError,
    DrainingError,
    InferenceError,
    ModelFailedError,
    QueueFullError,
)
from inference.observer import BatchObserver
from inference.runtime import EncodedColumns
from inference.served_model import Predictions, ServedModel

Params = Mapping[str, Any]
_SHARE_OF_TIME: Final = 0.25
"""What one call may take of the time that is left: enough remains to run the innocent after a call that hung."""
_PATIENCE: Final = 3.0
"""A call may always take this many times what such calls took so far."""
_PACE_SMOOTHING: Final = 0.1
_SLOWEST_PACE: Final = 10.0
"""How many times its call's seconds a batch may seem to take before its waiting room is no longer believed."""


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


@dataclass(slots=True, eq=False)
class _Request:
    columns: EncodedColumns
    rows: int
    future: asyncio.Future[Predictions]
    queued_at: float
    deadline: float | None
    params: Params | None
    like: str  # what `params` look like: to Python 1, 1.0 and True are equal, to a model they need not be


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
        self._is_remote = model.is_remote
        self._queue: deque[_Request] = deque()
        self._queued_rows = 0
        self._running: list[_Request] = []
        self._busy_until = 0.0
        self._pace = 1.0
        self._flushing = False
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    async def predict(
        self, columns: EncodedColumns, rows: int, deadline: float | None = None, params: Params | None = None
    ) -> Predictions:
        """Return the predictions of `rows` rows.

        Args:
            columns: One array per column of the model's signature.
            rows: Their length.
            deadline: On the clock of `time.perf_counter`; None waits for as long as it takes.
            params: The model's own parameters, for a model that runs in a process of its own.

        Raises:
            QueueFullError: The queue is full or the predicted wait too long; nothing was run.
            DeadlineExceededError: The deadline passed, or would have before the rows ran.
            DrainingError: The batcher is closing.
            RowsRefusedError: The model refused these very rows.
            ModelFailedError: The model failed on these very rows.
        """
        if self._draining:
            raise DrainingError
        now = time.perf_counter()
        if self._flushing:
            self._admit(rows, now, deadline)
        loop = asyncio.get_running_loop()
        # A compiled model knows no parameters: they must not keep its requests apart.
        own = params if self._is_remote else None
        request = _Request(columns, rows, loop.create_future(), now, deadline, own, repr(own) if own else "")
        self._queue.append(request)
        self._queued_rows += rows
        if not self._flushing:
            self._flushing = True
            self._idle.clear()
            loop.call_soon(self._flush)
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            self._set_timer(deadline, now, loop)
        return await request.future

    async def drain(self) -> None:
        """Take no more requests and return when those taken are answered."""
        self._draining = True
        await self._idle.wait()

    def _admit(self, rows: int, now: float, deadline: float | None) -> None:
        """Refuse what would wait too long, before it waits."""
        wait = max(0.0, self._busy_until - now)
        if self._queue:
            calls = -(-self._queued_rows // self._policy.max_batch_rows)
            wait += self._pace * self._cost.predict(self._queued_rows, calls)
            if self._queued_rows + rows > self._policy.max_queue_rows:
                raise QueueFullError(retry_after=max(wait, 0.001))
        if wait > self._policy.max_wait_seconds:
            raise QueueFullError(retry_after=wait)
        if deadline is not None and now + wait > deadline:
            raise DeadlineExceededError

    def _set_timer(self, deadline: float, now: float, loop: asyncio.AbstractEventLoop) -> None:
        # One timer for all: making and cancelling one per request would cost more than the queue itself.
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        # A weak reference: a version that is let go must not stay in memory until a deadline long met has come.
        self._timer = loop.call_later(max(0.0, deadline - now), _expire, ref(self))

    def expire(self) -> None:
        """Give up the requests whose deadline has passed, and wait for the next deadline."""
        self._timer = None
        now = time.perf_counter()
        open_deadlines = []
        for request in (*self._running, *self._queue):
            if request.deadline is None or request.future.done():
                continue
            if request.deadline <= now:
                request.future.set_exception(DeadlineExceededError())
            else:
                open_deadlines.append(request.deadline)
        if open_deadlines:
            self._set_timer(min(open_deadlines), now, asyncio.get_running_loop())

    def _flush(self) -> None:
        batch = self._next_batch()
        if not batch:
            self._rest()
            return
        rows = sum(request.rows for request in batch)
        loop = asyncio.get_running_loop()
        now = time.perf_counter()
        expected = self._cost.predict(rows)
        self._observer.batch_ran(rows, now - batch[0].queued_at)
        self._observer.queue_changed(self._queued_rows)
        if not self._is_remote and expected <= self._policy.inline_seconds:
            self._answer(batch, _run(self.model, batch, expected))
            if self._queue:
                loop.call_soon(self._flush)
            else:  # a pass of the event loop only to find that nothing waits would cost what a row costs
                self._rest()
            return
        self._running, self._busy_until = batch, now + self._pace * expected
        try:
            work = loop.run_in_executor(self._executor, _run, self.model, batch, expected)
        except RuntimeError:  # it is shut down: nobody, and no drain, is to wait for what will not come
            self._running, self._busy_until = [], 0.0
            self._answer(batch, _Outcomes([DrainingError()] * len(batch), 0.0))
            loop.call_soon(self._flush)
            return
        work.add_done_callback(lambda done: self._on_thread_done(batch, now, expected, done))

    def _rest(self) -> None:
        self._flushing = False
        self._observer.queue_changed(0)
        self._idle.set()

    def _on_thread_done(
        self, batch: list[_Request], started: float, expected: float, done: asyncio.Future[_Outcomes]
    ) -> None:
        self._running, self._busy_until = [], 0.0
        if done.cancelled() or (error := done.exception()) is not None:
            failure = DrainingError() if done.cancelled() else error
            self._answer(batch, _Outcomes([failure or DrainingError()] * len(batch), 0.0))
        else:
            outcomes = done.result()
            if outcomes.seconds:
                # Who waits, waits for the thread and for this loop too, which under overload is busy refusing.
                self._pace = _smoothed(self._pace, (time.perf_counter() - started) / expected)
            self._answer(batch, outcomes)
        self._flush()

    def _next_batch(self) -> list[_Request]:
        batch: list[_Request] = []
        rows = 0
        now = time.perf_counter()
        while self._queue:
            request = self._queue[0]
            if batch and (rows + request.rows > self._policy.max_batch_rows or request.like != batch[0].like):
                break
            self._queue.popleft()
            self._queued_rows -= request.rows
            if request.future.done():  # the caller left, or its deadline passed
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
            elif isinstance(result, InferenceError):
                request.future.set_exception(result)
            else:
                failure = ModelFailedError(self.name, self.version)
                failure.__cause__ = result
                request.future.set_exception(failure)


def _smoothed(pace: float, latest: float) -> float:
    return pace + _PACE_SMOOTHING * (min(max(latest, 1.0), _SLOWEST_PACE) - pace)


def _expire(reference: ref[Batcher]) -> None:
    batcher = reference()
    if batcher is not None:
        batcher.expire()


@dataclass(slots=True)
class _Outcomes:
    """What became of each request of a batch, and the seconds of the joint call (0 when it failed)."""

    results: list[Predictions | BaseException]
    seconds: float


def _run(model: ServedModel, batch: list[_Request], expected: float) -> _Outcomes:
    """Run the batch in one call; when it raises, run its requests one by one, so that only the culprit fails."""
    started = time.perf_counter()
    try:
        answer = _call(model, batch, expected)
    except Exception as error:
        if len(batch) == 1:
            return _Outcomes([error], 0.0)
        return _Outcomes([_rerun(model, request, expected) for request in batch], 0.0)
    seconds = time.perf_counter() - started
    if len(batch) == 1:
        return _Outcomes([answer], seconds)
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


def _rerun(model: ServedModel, request: _Request, expected: float) -> Predictions | BaseException:
    if request.future.done():  # given up meanwhile: those behind it need the time
        return DeadlineExceededError()
    return _run(model, [request], expected).results[0]


def _call(model: ServedModel, batch: list[_Request], expected: float) -> Predictions:
    columns = concatenate([request.columns for request in batch])
    rows = sum(request.rows for request in batch)
    if not model.is_remote:
        return model.predict(columns, rows)
    return model.predict_within(columns, rows, params=batch[0].params, seconds=_allowance(batch, expected))


def _allowance(batch: list[_Request], expected: float) -> float | None:
    """Return the seconds that a call may take, None where nobody has a deadline."""
    deadlines = [request.deadline for request in batch if request.deadline is not None]
    if not deadlines:
        return None
    left = min(deadlines) - time.perf_counter()
    return max(0.001, min(left, max(left * _SHARE_OF_TIME, expected * _PATIENCE)))
