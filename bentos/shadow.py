"""Shadow traffic: a challenger scores rows that the champion has answered, for the log and for nobody else.

No answer waits for it. It runs when no rows wait for a model; what does not fit into its queue is dropped, counted
and in the log as dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from bentos.exposed import status_of
from bentos.served import Served, Variant
from monitoring.errors import LogUnavailableError, SpoolFullError
from monitoring.exposure_records import ANSWERED
from monitoring.metrics import ServingMetrics
from monitoring.predictions import BULK_ROWS, SegmentWriter
from monitoring.shadow_records import DROPPED, ShadowRecord

if TYPE_CHECKING:
    from bentos.dataplane import Part, Request

_REQUESTS_AT_ONCE: Final = 8
"""Requests that are scored in one model call: enough to share its cost, few enough not to hold up the loop."""

_DROPPED_AT_ONCE: Final = 64
"""Dropped requests that are written to the log in one piece."""

_GIVE_WAY_SECONDS: Final = 0.002
_DRAIN_SECONDS: Final = 2.0
"""How long rows that wait when the worker ends may take."""


@dataclass(slots=True)
class _Waiting:
    """Rows to score: of `request`, by `challenger`; the record says of them what is known."""

    request: Request
    champion: Variant
    challenger: Variant
    record: ShadowRecord

    @property
    def is_bulk(self) -> bool:
        return self.request.rows > BULK_ROWS

    @property
    def held_rows(self) -> int:
        """The rows that stay in memory until it is scored: all of its request's, of which a few may be sampled."""
        return len(self.record.positions) if self.is_bulk else self.request.rows


class Shadow:
    """Scores what it is offered, in the order in which it was. Belongs to one event loop.

    Args:
        log: Where the pairs go.
        metrics: What is counted.
        queue_rows: Most rows of requests that wait; what is offered beyond is dropped.
        request_rows: Of a request with more rows, the first so many may be scored.
        seconds: The longest that a model call may take.
    """

    def __init__(
        self, log: SegmentWriter, metrics: ServingMetrics, *, queue_rows: int, request_rows: int, seconds: float
    ) -> None:
        self._log, self._metrics = log, metrics
        self._queue_rows, self._request_rows, self._seconds = queue_rows, request_rows, seconds
        self._queue: deque[_Waiting] = deque()
        self._rows = 0
        self._has_bulk = False
        self._dropped: list[ShadowRecord] = []
        self._working: asyncio.Task[None] | None = None

    def offer(
        self,
        served: Served,
        request: Request,
        parts: Sequence[Part],
        *,
        unit_hashes: Sequence[str | None] | None,
        served_at: float,
        latency_us: int,
    ) -> None:
        """Take the sampled rows that the champion answered, or drop them; waits for nothing."""
        challenger = served.challenger
        part = next((part for part in parts if part.variant is served.champion), None)
        if (
            challenger is None or part is None or part.predictions.version is not None
        ):  # another server than is compared
            return
        places = self._sampled(served, request, part.positions)
        if not places:
            return
        positions = [part.positions[place] for place in places]
        record = ShadowRecord(
            request_id=request.id,
            served_at=served_at,
            model=served.model,
            challenger_version=challenger.version,
            epoch=served.epoch,
            rollout_id=served.rollout_id,
            status=DROPPED,
            positions=positions,
            unit_hashes=unit_hashes and [unit_hashes[position] for position in positions],
            champion_predictions=_at(part.labels, places),
            champion_scores=None if part.scores is None else _at(part.scores, places),
            champion_latency_us=latency_us,
        )
        self._take(_Waiting(request, served.champion, challenger, record))

    async def close(self) -> None:
        """Score what waits for as long as that may take; the rest is dropped."""
        if self._working is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_SECONDS):
                    await self._working
        while self._queue:
            self._drop(self._next().record)
        self._write(())

    def _take(self, waiting: _Waiting) -> None:
        rows = waiting.held_rows
        # A bulk request stays in memory as a whole for the few rows that are scored: one of them does.
        if self._rows + rows > self._queue_rows or (waiting.is_bulk and self._has_bulk):
            self._drop(waiting.record)
        else:
            self._queue.append(waiting)
            self._rows += rows
            self._has_bulk |= waiting.is_bulk
        if self._working is None:
            self._working = asyncio.get_running_loop().create_task(self._work())

    def _sampled(self, served: Served, request: Request, positions: Sequence[int]) -> list[int]:
        """Return the places in `positions` of the rows whose unit is sampled.

        A row without one is one itself, where such rows are assigned.
        """
        units, known = request.units, dict[str, bool]()
        places: list[int] = []
        for place, position in enumerate(positions):
            if position >= self._request_rows:
                break
            unit = None if units is None else units[position]
            if unit is None and served.on_missing_key == "champion":
                continue  # in no analysis
            key = f"{request.id}-{position}" if unit is None else unit
            found = known.get(key)
            if found is None:
                found = known[key] = served.is_shadowed(key)
            if found:
                places.append(place)
        return places

    def _next(self) -> _Waiting:
        waiting = self._queue.popleft()
        self._rows -= waiting.held_rows
        self._has_bulk &= not waiting.is_bulk
        return waiting

    def _drop(self, record: ShadowRecord) -> None:
        self._metrics.shadowed(record.model, "dropped", len(record.positions))
        self._dropped.append(record)
        if len(self._dropped) >= _DROPPED_AT_ONCE:
            self._write(())

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._give_way(self._queue[0])
                challenger = self._queue[0].challenger
                batch = [self._next()]
                while self._queue and self._queue[0].challenger is challenger and len(batch) < _REQUESTS_AT_ONCE:
                    batch.append(self._next())
                try:
                    await asyncio.gather(*map(self._score, batch))
                finally:  # it may be given up in the middle
                    self._end(batch)
            self._write(())
        finally:
            self._working = None

    def _end(self, batch: Sequence[_Waiting]) -> None:
        for record in (waiting.record for waiting in batch):
            if record.status == DROPPED:
                self._metrics.shadowed(record.model, "dropped", len(record.positions))
        self._write([waiting.record for waiting in batch])

    async def _give_way(self, waiting: _Waiting) -> None:
        """Return when no answer waits for either model."""
        await asyncio.sleep(0)
        while waiting.champion.batcher.queued_rows or waiting.challenger.batcher.queued_rows:
            await asyncio.sleep(_GIVE_WAY_SECONDS)

    async def _score(self, waiting: _Waiting) -> None:
        """Complete the record with what the challenger answers, or why it does not."""
        request, record, batcher = waiting.request, waiting.record, waiting.challenger.batcher
        began = time.perf_counter()
        try:
            signature = batcher.model.signature
            every = None if len(record.positions) == request.rows else record.positions
            columns, _ = request.decode(signature, every)
            rows = len(record.positions)
            answer = await batcher.predict(columns, rows, time.perf_counter() + self._seconds, request.params)
        except Exception as error:
            record.status = status_of(error)
            self._metrics.shadowed(record.model, "failed", len(record.positions))
            return
        if answer.version is not None:
            return  # of another version than is compared: dropped
        seconds = time.perf_counter() - began
        scores = answer.scores(signature)
        record.status, record.challenger_latency_us = ANSWERED, int(seconds * 1e6)
        record.challenger_predictions = answer.prediction.tolist()
        record.challenger_scores = None if scores is None else scores.tolist()
        self._metrics.shadowed(record.model, "scored", len(record.positions), seconds)

    def _write(self, records: Sequence[ShadowRecord]) -> None:
        """Write records, and those that were dropped; where the log takes none, the counts alone know of them."""
        records, self._dropped = [*records, *self._dropped], []
        if not records:
            return
        with contextlib.suppress(SpoolFullError, LogUnavailableError):
            self._log.shadow(records)


def _at(values: Any, places: Sequence[int]) -> list[Any]:
    """Return the values at some places, as plain ones."""
    if isinstance(values, np.ndarray):
        return list(values[list(places)].tolist())
    return [values[place] for place in places]
