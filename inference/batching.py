"""Adaptive batching: the only way into a model version, for every protocol.

Requests decoded in one pass of the event loop become one batch (the flush is a `call_soon`); an idle model starts
at once, and while it runs the next batch collects: nothing waits for a timer. A call cheaper than a thread hop
runs on the event loop itself, a dearer one in the batcher's thread. Work that cannot be finished in time is
refused at the door, before it has waited. A batch has one model version and one set of the model's parameters.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import chain
from typing import Final
from weakref import ref

from pydantic import BaseModel, ConfigDict, Field

from inference.batch_calls import Outcomes, Params, Waiting, run_batch
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
        before_call: Called on the event loop before a batch is given to the model.
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
        before_call: Callable[[], None] | None = None,
    ) -> None:
        self.model, self.name, self.version = model, name, version
        self._policy, self._cost, self._executor, self._observer = policy, cost, executor, observer
        self._before_call = before_call
        self._is_remote = model.is_remote
        self._queue: deque[Waiting] = deque()
        self._queued_rows = 0
        self._threaded: deque[_Running] = deque()
        self._baton = _Baton()
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
        request = Waiting(columns, rows, loop.create_future(), now, deadline, own, repr(own) if own else "")
        self._queue.append(request)
        self._queued_rows += rows
        if not self._flushing:
            self._flushing = True
            self._idle.clear()
            loop.call_soon(self._flush)
        elif self._threaded:
            self._hand_over_ahead()
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            self._set_timer(deadline, now, loop)
        return await request.future

    @property
    def queued_rows(self) -> int:
        """The rows that wait for a model call to begin."""
        return self._queued_rows

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
        for request in (*chain.from_iterable(running.batch for running in self._threaded), *self._queue):
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
        expected = self._announce(batch)
        if not self._is_remote and expected <= self._policy.inline_seconds:
            self._answer(batch, run_batch(self.model, batch, expected))
            if self._queue:
                asyncio.get_running_loop().call_soon(self._flush)
            else:  # a pass of the event loop only to find that nothing waits would cost what a row costs
                self._rest()
            return
        self._hand_over(batch, expected)

    def _hand_over(self, batch: list[Waiting], expected: float) -> None:
        """Let the thread run a batch, and those that are handed over while it is at it."""
        loop, now = asyncio.get_running_loop(), time.perf_counter()
        self._expect(batch, now, expected)
        self._baton = _Baton()
        try:
            work = loop.run_in_executor(self._executor, self._run_on, self._baton, batch, expected, loop)
        except RuntimeError:  # it is shut down: nobody, and no drain, is to wait for what will not come
            loop.call_soon(self._on_batch_done, batch, Outcomes([DrainingError()] * len(batch), 0.0))
            return
        work.add_done_callback(self._on_thread_done)
        self._hand_over_ahead()

    def _hand_over_ahead(self) -> None:
        """Give the thread its next batch while it is at one, where a full one waits.

        It could only come back for it when this loop has time, which under overload is after a pass of refusals.
        """
        full = self._queued_rows >= self._policy.max_batch_rows
        if not full or len(self._threaded) != 1 or self._is_remote:
            return
        with self._baton.lock:
            if self._baton.is_dropped:
                return
            batch = self._next_batch()
            if not batch:
                return
            expected = self._announce(batch)
            self._baton.ahead = (batch, expected)
        self._expect(batch, max(time.perf_counter(), self._busy_until), expected)

    def _announce(self, batch: list[Waiting]) -> float:
        """Tell of a batch that begins; return the seconds it is expected to take."""
        if self._before_call is not None:
            self._before_call()
        rows = sum(request.rows for request in batch)
        self._observer.batch_ran(rows, time.perf_counter() - batch[0].queued_at)
        self._observer.queue_changed(self._queued_rows)
        return self._cost.predict(rows)

    def _expect(self, batch: list[Waiting], begins: float, expected: float) -> None:
        self._threaded.append(_Running(batch, begins, expected))
        self._busy_until = begins + self._pace * expected

    def _run_on(
        self, baton: _Baton, batch: list[Waiting], expected: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        """Run a batch, and each that was handed over meanwhile; in the thread."""
        following: tuple[list[Waiting], float] | None = (batch, expected)
        while following is not None:
            # Some of what was handed over ahead may have been given up since.
            batch = [request for request in following[0] if not request.future.done()]
            outcomes = run_batch(self.model, batch, following[1]) if batch else Outcomes([], 0.0)
            with baton.lock:
                following, baton.ahead = baton.ahead, None
                baton.is_dropped = following is None
            loop.call_soon_threadsafe(self._on_batch_done, batch, outcomes)

    def _rest(self) -> None:
        self._flushing = False
        self._observer.queue_changed(0)
        self._idle.set()

    def _on_batch_done(self, batch: list[Waiting], outcomes: Outcomes) -> None:
        done = self._threaded.popleft()
        if outcomes.seconds:
            # Who waits, waits for the thread and for this loop too, which under overload is busy refusing.
            self._pace = _smoothed(self._pace, (time.perf_counter() - done.began) / done.expected)
        self._answer(batch, outcomes)
        if self._threaded:
            self._hand_over_ahead()
        else:
            self._busy_until = 0.0
            self._flush()

    def _on_thread_done(self, work: asyncio.Future[None]) -> None:
        """Answer what the thread left behind: it was never begun, or broke off in a way that no model may."""
        if not work.cancelled() and work.exception() is None:
            return
        for running in tuple(self._threaded):
            failure = DrainingError() if work.cancelled() else work.exception() or DrainingError()
            self._on_batch_done(running.batch, Outcomes([failure] * len(running.batch), 0.0))

    def _next_batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
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

    def _answer(self, batch: list[Waiting], outcomes: Outcomes) -> None:
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


@dataclass(slots=True)
class _Running:
    """A batch that the thread is at or will be: when it begins, and the seconds it is expected to take."""

    batch: list[Waiting]
    began: float
    expected: float


@dataclass(slots=True)
class _Baton:
    """What loop and thread pass each other: the batch that comes next, until the thread has dropped it to end."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    ahead: tuple[list[Waiting], float] | None = None
    is_dropped: bool = False


def _smoothed(pace: float, latest: float) -> float:
    return pace + _PACE_SMOOTHING * (min(max(latest, 1.0), _SLOWEST_PACE) - pace)


def _expire(reference: ref[Batcher]) -> None:
    batcher = reference()
    if batcher is not None:
        batcher.expire()
