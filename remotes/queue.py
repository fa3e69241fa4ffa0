"""The way to a remote model in one worker: concurrent calls, joined only when there are too many of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from inference.columns import concatenate
from inference.errors import DeadlineExceededError, DrainingError, ModelFailedError, QueueFullError
from inference.observer import BatchObserver
from inference.runtime import EncodedColumns
from inference.served_model import Predictions
from remotes.answers import read_answer
from remotes.breaker import Breaker, Circuit
from remotes.client import Params, RemoteClient
from remotes.definition import RemoteModel
from remotes.errors import (
    RemoteError,
    RemoteFailedError,
    RemoteMismatchError,
    RemoteRefusedError,
    RemoteTimeoutError,
    RemoteUnavailableError,
)
from remotes.observer import RemoteObserver
from remotes.reported import changed_version, changed_words, version_of_another

_log = logging.getLogger(__name__)
CHECK_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 5.0
"""A server that has not answered for so long has failed, whatever its callers' own deadline."""
"""How often a server is asked whether it is ready, and with which version."""

_OUTCOMES: Final[tuple[tuple[type[RemoteError], str], ...]] = (
    (RemoteRefusedError, "refused"),
    (RemoteUnavailableError, "unavailable"),
    (RemoteTimeoutError, "timeout"),
    (RemoteMismatchError, "mismatch"),
    (RemoteFailedError, "error"),
)


@dataclass(slots=True, eq=False)
class _Waiting:
    """A request that waits until a call may be made; `like` is what its parameters look like."""

    columns: EncodedColumns
    rows: int
    deadline: float | None
    params: Params | None
    like: str
    future: asyncio.Future[Predictions]
    queued_at: float


class RemoteQueue:
    """The `inference.row_queue.RowQueue` of a remote model.

    Each request is a call of its own, up to the definition's `max_in_flight` at a time; what comes beyond waits,
    and is joined to calls of `max_batch_rows`. What fails is an error of those rows: nothing else answers for them.

    Args:
        model: What is called, and how its answers are read.
        client: Its server's.
        name: The model's name here.
        version: Its version here.
        max_queue_rows: Most rows that may wait; beyond it requests are refused as overload.
        batches: Hears of every call's rows and wait.
        calls: Hears what became of every call.
        breaker: Knows when the server is to be left alone.
        changed: Called when there is something else to tell of the server's state.
        before_call: Called before the server is.
    """

    def __init__(
        self,
        model: RemoteModel,
        client: RemoteClient,
        *,
        name: str,
        version: str,
        max_queue_rows: int,
        batches: BatchObserver,
        calls: RemoteObserver,
        breaker: Breaker | None = None,
        changed: Callable[[], None] = lambda: None,
        before_call: Callable[[], None] | None = None,
    ) -> None:
        self.model, self.name, self.version = model, name, version
        self._client, self._definition = client, model.definition
        self._max_queue_rows, self._batches, self._calls = max_queue_rows, batches, calls
        self._breaker = breaker or Breaker()
        self._changed, self._before_call = changed, before_call
        self._in_flight = 0
        self._waiting: deque[_Waiting] = deque()
        self._queued_rows = 0
        self._joined: set[asyncio.Task[None]] = set()
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._watching: asyncio.Task[None] | None = None
        self._unready: str | None = None
        self._other_version: str | None = None

    async def predict(
        self, columns: EncodedColumns, rows: int, deadline: float | None = None, params: Params | None = None
    ) -> Predictions:
        """Return the predictions of `rows` rows.

        Raises:
            RemoteError: The server gave none, or none that fit, and why.
            QueueFullError: Too many rows wait for a call.
            DeadlineExceededError: The caller's deadline came first.
            DrainingError: The version is being let go.
        """
        if self._draining:
            raise DrainingError
        if self._in_flight < self._definition.max_in_flight:
            self._begin()
            self._batches.batch_ran(rows, 0.0)
            try:
                return await self._call(columns, rows, deadline, params)
            finally:
                self._end()
        if self._queued_rows + rows > self._max_queue_rows:
            raise QueueFullError(retry_after=1.0)
        future: asyncio.Future[Predictions] = asyncio.get_running_loop().create_future()
        like = repr(params) if params else ""
        self._waiting.append(_Waiting(columns, rows, deadline, params, like, future, time.perf_counter()))
        self._queue_by(rows)
        if deadline is None:
            return await future
        try:
            async with asyncio.timeout(max(0.0, deadline - time.perf_counter())):
                return await future
        except TimeoutError:
            raise DeadlineExceededError from None

    @property
    def queued_rows(self) -> int:
        """The rows that wait for a call to begin."""
        return self._queued_rows

    @property
    def problem(self) -> str | None:
        """What is amiss with the server, None where nothing is known to be."""
        if self._other_version is not None:
            return changed_words(self._definition, self._other_version)
        if self._breaker.circuit is not Circuit.CLOSED:
            return "the remote server failed several times in a row: it is left alone, and tried now and then"
        return self._unready

    def watch(self) -> None:
        """Begin to ask the server, now and then, whether it is ready and with which version."""
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def drain(self) -> None:
        """Take no more requests and return when those taken are answered."""
        self._draining = True
        await self._idle.wait()

    async def close(self) -> None:
        """End the checks and the connections."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        if self._breaker.circuit is not Circuit.CLOSED:
            self._calls.breaker_changed(is_open=False)  # nobody leaves it alone any more: nobody calls it
        await self._client.close()

    async def _call(
        self, columns: EncodedColumns, rows: int, deadline: float | None, params: Params | None
    ) -> Predictions:
        """Return the predictions from one call of the server's."""
        began = time.perf_counter()
        seconds, is_patient = self._definition.timeout_seconds, True
        if deadline is not None and deadline - began < seconds:
            seconds = deadline - began
            is_patient = seconds >= _PATIENCE_SECONDS
            if seconds <= 0:
                raise DeadlineExceededError
        if self._before_call is not None:
            self._before_call()
        if rest := self._breaker.wait():
            self._calls.rested()
            raise RemoteUnavailableError("failed several times in a row and is left alone for a while", rest)
        try:
            answer = await self._client.score(columns, rows, seconds=seconds, params=params)
            predictions = read_answer(answer, rows, self.model)
        except RemoteError as error:
            # A caller without patience is no evidence against the server, and must not open the breaker for others.
            self._failed(error, time.perf_counter() - began, counts=is_patient)
            raise
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        except Exception as error:
            self._breaker.abandoned()
            raise ModelFailedError(self.name, self.version) from error
        self._answered(predictions, answer.version, time.perf_counter() - began)
        return predictions

    def _answered(self, predictions: Predictions, version: str | None, seconds: float) -> None:
        self._calls.called("answered", seconds)
        self._close_breaker()
        if version is None:
            return
        if version != self._definition.version:
            predictions.version = version_of_another(self.version, version)
            self._report(version)
        elif self._other_version is not None:
            self._report(None)

    def _failed(self, error: RemoteError, seconds: float, *, counts: bool) -> None:
        if isinstance(error, RemoteRefusedError) and not error.by_server:  # nothing was sent
            self._breaker.abandoned()
            return
        outcome = next((said for kind, said in _OUTCOMES if isinstance(error, kind)), "error")
        self._calls.called(outcome, seconds)
        if isinstance(error, RemoteRefusedError):
            self._close_breaker()  # it is there, and has looked at the rows
            return
        if isinstance(error, RemoteTimeoutError) and not counts:
            self._breaker.abandoned()
            return
        before = self._breaker.circuit
        self._breaker.failed()
        if self._breaker.circuit is Circuit.OPEN and before is Circuit.CLOSED:
            _log.warning("remote version %s/%s is left alone for a while: %s", self.name, self.version, error)
            self._calls.breaker_changed(is_open=True)
            self._changed()

    def _close_breaker(self) -> None:
        was_open = self._breaker.circuit is not Circuit.CLOSED
        self._breaker.succeeded()
        if was_open:
            self._calls.breaker_changed(is_open=False)
            self._changed()

    def _report(self, version: str | None) -> None:
        if version == self._other_version:
            return
        self._other_version = version
        if version is not None:
            words = changed_words(self._definition, version)
            _log.warning("remote version %s/%s: %s", self.name, self.version, words)
        self._changed()

    # ---- more than may be under way ----

    def _queue_by(self, rows: int) -> None:
        self._queued_rows += rows
        self._batches.queue_changed(self._queued_rows)

    def _begin(self) -> None:
        self._in_flight += 1
        self._idle.clear()

    def _end(self) -> None:
        """Let a call be over, and begin the next one where something waits for it."""
        self._in_flight -= 1
        while self._waiting and self._in_flight < self._definition.max_in_flight:
            batch = self._next_batch()
            if batch:
                self._begin()
                task = asyncio.get_running_loop().create_task(self._call_joined(batch))
                self._joined.add(task)
                task.add_done_callback(self._on_joined)
        if not self._in_flight:
            self._idle.set()

    def _on_joined(self, task: asyncio.Task[None]) -> None:
        self._joined.discard(task)
        self._end()

    def _next_batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting:
            request = self._waiting[0]
            if batch and (request.like != batch[0].like or rows + request.rows > self._definition.max_batch_rows):
                break
            self._waiting.popleft()
            self._queue_by(-request.rows)
            if not request.future.done():  # its caller left, or its deadline passed
                batch.append(request)
                rows += request.rows
        return batch

    async def _call_joined(self, batch: list[_Waiting]) -> None:
        rows = sum(request.rows for request in batch)
        self._batches.batch_ran(rows, time.perf_counter() - batch[0].queued_at)
        deadlines = [request.deadline for request in batch if request.deadline is not None]
        try:
            columns = concatenate([request.columns for request in batch])
            answer = await self._call(columns, rows, max(deadlines, default=None), batch[0].params)
        except RemoteRefusedError as error:
            if len(batch) > 1:  # some of them may be innocent
                for request in batch:
                    await self._call_joined([request])
                return
            _fail(batch, error)
        except Exception as error:  # whatever it was, it is the callers' to hear of
            _fail(batch, error)
        else:
            _hand_out(batch, answer)

    async def _watch(self) -> None:
        while True:
            try:
                described = await self._client.describe(seconds=self._definition.timeout_seconds)
            except RemoteError as error:
                self._tell_unready(str(error))
            except Exception as error:
                self._tell_unready(f"the remote server cannot be checked: {type(error).__name__}")
            else:
                self._tell_unready(None)
                self._breaker.may_try()
                reported = changed_version(self._definition, described)
                # One that serves several versions says of itself what it said before: its answers know which it is.
                if described.versions and (reported or self._other_version not in described.versions):
                    self._report(reported)
            await asyncio.sleep(CHECK_SECONDS)

    def _tell_unready(self, problem: str | None) -> None:
        if problem != self._unready:
            self._unready = problem
            if problem is not None:
                _log.warning("remote version %s/%s: %s", self.name, self.version, problem)
            self._changed()


def _fail(batch: list[_Waiting], error: Exception) -> None:
    for request in batch:
        if not request.future.done():
            request.future.set_exception(error)


def _hand_out(batch: list[_Waiting], answer: Predictions) -> None:
    start = 0
    for request in batch:
        end = start + request.rows
        probabilities = None if answer.probabilities is None else answer.probabilities[start:end]
        if not request.future.done():
            request.future.set_result(Predictions(answer.prediction[start:end], probabilities, answer.version))
        start = end
