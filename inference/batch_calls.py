"""One call of a model for several requests, and what became of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from inference.columns import concatenate
from inference.errors import DeadlineExceededError
from inference.runtime import EncodedColumns
from inference.served_model import Predictions, ServedModel

Params = Mapping[str, Any]
_SHARE_OF_TIME: Final = 0.25
"""What one call may take of the time that is left: enough remains to run the innocent after a call that hung."""
_PATIENCE: Final = 3.0
"""A call may always take this many times what such calls took so far."""


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that waits for its answer; times are on the clock of `time.perf_counter`."""

    columns: EncodedColumns
    rows: int
    future: asyncio.Future[Predictions]
    queued_at: float
    deadline: float | None
    params: Params | None
    like: str  # what `params` look like: to Python 1, 1.0 and True are equal, to a model they need not be


@dataclass(slots=True)
class Outcomes:
    """What became of each request of a batch, and the seconds of the joint call (0 when it failed)."""

    results: list[Predictions | BaseException]
    seconds: float


def run_batch(model: ServedModel, batch: list[Waiting], expected: float) -> Outcomes:
    """Run the batch in one call; when it raises, run its requests one by one, so that only the culprit fails."""
    started = time.perf_counter()
    try:
        answer = _call(model, batch, expected)
    except Exception as error:
        if len(batch) == 1:
            return Outcomes([error], 0.0)
        return Outcomes([_rerun(model, request, expected) for request in batch], 0.0)
    seconds = time.perf_counter() - started
    if len(batch) == 1:
        return Outcomes([answer], seconds)
    results: list[Predictions | BaseException] = []
    start = 0
    for request in batch:
        end = start + request.rows
        probabilities = answer.probabilities
        results.append(
            Predictions(answer.prediction[start:end], None if probabilities is None else probabilities[start:end])
        )
        start = end
    return Outcomes(results, seconds)


def _rerun(model: ServedModel, request: Waiting, expected: float) -> Predictions | BaseException:
    if request.future.done():  # given up meanwhile: those behind it need the time
        return DeadlineExceededError()
    return run_batch(model, [request], expected).results[0]


def _call(model: ServedModel, batch: list[Waiting], expected: float) -> Predictions:
    columns = concatenate([request.columns for request in batch])
    rows = sum(request.rows for request in batch)
    if not model.is_remote:
        return model.predict(columns, rows)
    return model.predict_within(columns, rows, params=batch[0].params, seconds=_allowance(batch, expected))


def _allowance(batch: list[Waiting], expected: float) -> float | None:
    """Return the seconds that a call may take, None where nobody has a deadline."""
    deadlines = [request.deadline for request in batch if request.deadline is not None]
    if not deadlines:
        return None
    left = min(deadlines) - time.perf_counter()
    return max(0.001, min(left, max(left * _SHARE_OF_TIME, expected * _PATIENCE)))
