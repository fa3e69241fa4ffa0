"""From decoded rows to logged answers, the same for every protocol.

A request's rows are split by variant, each part is validated against its version's signature, all parts go
through the batch queues, and nothing is answered before its record is in the log.
"""

from __future__ import annotations

import asyncio
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, TypeVar

from bentos.errors import TooLargeError
from bentos.served import Target, Variant, find
from bentos.worker import Worker
from inference.errors import EmptyBatchError
from inference.runtime import Columns
from inference.served_model import Predictions
from inference.signature import Signature, Task
from monitoring.errors import LogUnavailableError, SpoolFullError
from monitoring.predictions import PredictionRecord
from rollout.assignment import Cohort

Value = TypeVar("Value")
Features = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]
Decode = Callable[[Signature, Sequence[int] | None], tuple[Columns, Features]]
"""Returns the columns of the rows at some positions (None: all), and the same rows in a form to be logged."""


@dataclass(slots=True)
class Request:
    """The rows of one request. The per-row lists are None where no row has such a value."""

    id: str
    protocol: str
    rows: int
    decode: Decode
    started: float
    units: Sequence[str | None] | None = None
    protected: Sequence[Mapping[str, str | None] | None] | None = None
    caller_ids: Sequence[str | None] | None = None


@dataclass(slots=True)
class Part:
    """The rows of a request that one variant answered; `positions` are their places in the request."""

    variant: Variant
    positions: Sequence[int]
    features: Features
    predictions: Predictions


class DataPlane:
    """Answers requests with what a worker has loaded."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def find(self, model: str | None, version: str | None = None) -> Target:
        """Return what a request names; see `bentos.served.find`."""
        return find(self._worker.models, model, version)

    async def answer(self, target: Target, request: Request) -> list[Part]:
        """Return the request's parts, logged and counted.

        Raises:
            InferenceError: The rows do not fit, or cannot be answered now.
            SpoolFullError, LogUnavailableError: The answer could not be logged, and settings say that then there is
                none.
        """
        limit = self._worker.serving.max_rows
        if request.rows > limit:
            raise TooLargeError("rows", limit, "FAIRMIND_BENTOS_MAX_ROWS")
        if not request.rows:
            raise EmptyBatchError
        deadline = request.started + self._worker.serving.timeout_seconds
        groups, cohorts = _assign(target, request)
        decoded = [
            (variant, positions, *request.decode(variant.batcher.model.signature, positions))
            for variant, positions in groups
        ]
        if len(decoded) == 1:
            variant, positions, columns, features = decoded[0]
            answer = await variant.batcher.predict(columns, request.rows, deadline)
            parts = [Part(variant, range(request.rows) if positions is None else positions, features, answer)]
        else:
            answers = await asyncio.gather(
                *(
                    variant.batcher.predict(columns, len(positions or ()), deadline)
                    for variant, positions, columns, _ in decoded
                )
            )
            parts = [
                Part(variant, positions or (), features, answer)
                for (variant, positions, _, features), answer in zip(decoded, answers, strict=True)
            ]
        self._log(target, request, parts, cohorts)
        self._count(target, request, parts)
        return parts

    def _log(
        self, target: Target, request: Request, parts: Sequence[Part], cohorts: Sequence[Cohort | None] | None
    ) -> None:
        now = time.time()
        latency_us = int((time.perf_counter() - request.started) * 1e6)
        unit_hashes = self._unit_hashes(request.units)
        records = [
            PredictionRecord(
                request_id=request.id,
                served_at=now,
                model=target.served.model,
                model_version=part.variant.version,
                variant=part.variant.name,
                epoch=target.served.epoch,
                rollout_id=target.served.rollout_id,
                protocol=request.protocol,
                latency_us=latency_us,
                positions=list(part.positions),
                predictions=part.predictions.prediction.tolist(),
                scores=scores(part),
                features=part.features,
                unit_hashes=_take(unit_hashes, part.positions),
                cohorts=_take(cohorts, part.positions),
                caller_ids=_take(request.caller_ids, part.positions),
                protected=_take(request.protected, part.positions),
            )
            for part in parts
        ]
        try:
            self._worker.log.append(records)
        except (SpoolFullError, LogUnavailableError):
            if self._worker.monitoring.on_full == "refuse":
                raise
            self._worker.metrics.logged("lost", request.rows)
        else:
            self._worker.metrics.logged("spooled", request.rows)

    def _unit_hashes(self, units: Sequence[str | None] | None) -> list[str | None] | None:
        """Return what stands for each unit in the log, the same for all spellings that assignment takes for one."""
        if units is None:
            return None
        key = self._worker.unit_key
        hashes: dict[str | None, str | None] = {None: None}
        for unit in units:
            if unit is not None and unit not in hashes:
                text = unit if unit.isascii() else unicodedata.normalize("NFC", unit)
                hashes[unit] = blake2b(text.encode(), key=key, digest_size=16).hexdigest()
        return [hashes[unit] for unit in units]

    def _count(self, target: Target, request: Request, parts: Sequence[Part]) -> None:
        metrics, model = self._worker.metrics, target.served.model
        seconds = time.perf_counter() - request.started
        for part in parts:
            variant = part.variant.name or "pinned"
            metrics.predicted(model, variant, request.protocol, len(part.positions), seconds)


def scores(part: Part) -> list[float]:
    """Return one number per row: P(classes[1]) of a binary classifier, else that of the answer, or the value."""
    signature = part.variant.batcher.model.signature
    probabilities = part.predictions.probabilities
    if probabilities is None:
        return list(part.predictions.prediction.tolist())
    column = probabilities[:, 1] if signature.task is Task.BINARY else probabilities.max(axis=1)
    return list(column.tolist())


def _assign(
    target: Target, request: Request
) -> tuple[list[tuple[Variant, Sequence[int] | None]], list[Cohort | None] | None]:
    """Return each variant with the positions of its rows (None means all), and the rows' cohorts where any are."""
    if target.pinned is not None:
        return [(target.pinned, None)], None
    served = target.served
    if request.units is None or not served.splits:
        return [(served.champion, None)], None
    assigned = {unit: served.assign(unit) for unit in set(request.units)}
    cohorts = [assigned[unit][1] for unit in request.units]
    variants = [assigned[unit][0] for unit in request.units]
    if variants.count(variants[0]) == len(variants):
        return [(variants[0], None)], cohorts
    positions: dict[str | None, list[int]] = {}
    by_name = {variant.name: variant for variant in variants}
    for position, variant in enumerate(variants):
        positions.setdefault(variant.name, []).append(position)
    return [(by_name[name], found) for name, found in positions.items()], cohorts


def _take(values: Sequence[Value] | None, positions: Sequence[int]) -> list[Value] | None:
    return None if values is None else [values[position] for position in positions]
