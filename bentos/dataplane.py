"""From decoded rows to logged answers, the same for every protocol.

A request's rows are split by variant, each part is validated against its version's signature, all parts go
through the batch queues, and nothing is answered before its record is in the log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from numpy.typing import NDArray

from bentos.assigned import Assigned, Groups, are_one, assign_rows, take
from bentos.errors import MalformedRequestError, TooLargeError
from bentos.exposed import Exposed, blaming
from bentos.served import Target, Variant, find
from bentos.worker import Worker
from inference.errors import EmptyBatchError
from inference.runtime import EncodedColumns
from inference.served_model import Predictions
from inference.signature import Signature
from monitoring.errors import LogUnavailableError, SpoolFullError
from monitoring.exposure_records import COMPARED
from monitoring.predictions import BULK_ROWS, PredictionRecord
from monitoring.units import unit_hash
from rollout.assignment import Cohort
from rollout.overrides import check

Values = list[Any] | NDArray[Any]
Features = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | EncodedColumns
Decode = Callable[[Signature, Sequence[int] | None], tuple[EncodedColumns, Features]]
"""Returns the columns of the rows at some positions (None: all), and the same rows in a form to be logged."""

_ONLY: Final = (0,)
"""The place of the only row; unlike a range, the log's encoder knows it."""


@dataclass(slots=True)
class Request:
    """The rows of one request. The per-row lists are None where no row has such a value.

    `params` are parameters of the model itself, for one that takes any. `patience` is how many seconds the caller
    waits from `started` on, where it says so. `override` is the signed choice of a variant, as it came.
    """

    id: str
    protocol: str
    rows: int
    decode: Decode
    started: float
    units: Sequence[str | None] | None = None
    protected: Sequence[Mapping[str, str | None] | None] | None = None
    caller_ids: Sequence[str | None] | None = None
    params: Mapping[str, Any] | None = None
    patience: float | None = None
    override: str | None = None


@dataclass(slots=True)
class Part:
    """The rows of a request that one variant answered; `positions` are their places in the request.

    `labels` are the predictions and `scores` one number per row: P(classes[1]) of a binary classifier, of other
    classifiers that of the answer, of a regressor the value; None where there is not one. They are plain values,
    and arrays where the rows are so many that they are logged in bulk. `answered` is when the variant was done, of
    several variants: a slow one makes the request slow, but not the other's answer.
    """

    variant: Variant
    positions: Sequence[int]
    features: Features
    predictions: Predictions
    answered: float | None = None
    labels: Values = field(init=False)
    scores: Values | None = field(init=False)

    def __post_init__(self) -> None:
        predictions = self.predictions
        scores = predictions.scores(self.variant.batcher.model.signature)
        is_bulk = len(self.positions) > BULK_ROWS
        self.labels = predictions.prediction if is_bulk else predictions.prediction.tolist()
        self.scores = scores if scores is None or is_bulk else scores.tolist()

    @property
    def version(self) -> str:
        """The version that answered: of a remote whose server changed, what it says it is with the one asked."""
        return self.predictions.version or self.variant.version


class DataPlane:
    """Answers requests with what a worker has loaded."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._max_rows, self._max_columns = worker.serving.max_rows, worker.serving.max_columns
        self._seconds = worker.serving.timeout_seconds

    def find(self, model: str | None, version: str | None = None) -> Target:
        """Return what a request names; see `bentos.served.find`."""
        return find(self._worker.models, model, version)

    def check_rows(self, rows: int) -> None:
        """Raise TooLargeError where a request has more rows than one may; before anything is made per row."""
        if rows > self._max_rows:
            raise TooLargeError("rows", self._max_rows, "FAIRMIND_BENTOS_MAX_ROWS")

    def check_columns(self, columns: int) -> None:
        """Raise TooLargeError where a request has more columns than one may; before anything is made per column."""
        if columns > self._max_columns:
            raise TooLargeError("columns", self._max_columns, "FAIRMIND_BENTOS_MAX_COLUMNS")

    async def answer(self, target: Target, request: Request) -> list[Part]:
        """Return the request's parts, logged and counted.

        Rows of units that are compared are in the log twice: before their model runs, and with their answer.

        Raises:
            OverrideRefusedError: The request carries an override that does not hold.
            ModelNotServedError, NotReadyError, MalformedRequestError: Or one of a variant that cannot be had.
            InferenceError: The rows do not fit, or cannot be answered now.
            SpoolFullError, LogUnavailableError: The answer could not be logged, and settings say that then there is
                none.
        """
        self.check_rows(request.rows)
        if not request.rows:
            raise EmptyBatchError
        patience = self._seconds if request.patience is None else min(self._seconds, request.patience)
        deadline = request.started + patience
        groups, cohorts = (
            assign_rows(target, request) if request.override is None else self._chosen(target, request)
        )
        every = _ONLY if request.rows == 1 else range(request.rows)
        exposed = None
        if cohorts is not None and not COMPARED.isdisjoint(cohorts):
            exposed = self._expose(target, request, groups, cohorts)
        try:
            if len(groups) == 1:
                variant, chosen = groups[0]
                columns, features = request.decode(variant.batcher.model.signature, chosen)
                answer = await variant.batcher.predict(columns, request.rows, deadline, request.params)
                parts = [Part(variant, every, features, answer)]
            else:
                parts = await _answer_each(groups, request, deadline, exposed)
            if exposed is not None:
                self._require_logged(exposed)
            unit_hashes = self._unit_hashes(request.units) if exposed is None else exposed.unit_hashes
            served_at, latency_us = self._log(target, request, parts, unit_hashes, cohorts)
        except BaseException as error:
            if exposed is not None:
                self._worker.exposures.end(exposed, error)
            raise
        self._count(target, request, parts)
        if target.served.shadows and target.pinned is None and request.override is None:
            self._worker.shadow.offer(
                target.served, request, parts, unit_hashes=unit_hashes, served_at=served_at, latency_us=latency_us
            )
        return parts

    def _chosen(self, target: Target, request: Request) -> Assigned:
        """Return the variant that a signed override names, for all rows; they are in no comparison."""
        if target.pinned is not None:
            raise MalformedRequestError(
                "the request names a version and carries an override: leave one of them out"
            )
        secret = self._worker.serving.override_secret
        key = None if secret is None else secret.get_secret_value()
        name = check(key, target.served.model, request.override or "", time.time())
        return [(target.served.named(name), None)], [Cohort.OVERRIDE] * request.rows

    def _expose(
        self, target: Target, request: Request, groups: Groups, cohorts: Sequence[Cohort | None]
    ) -> Exposed:
        """Have it logged, before any row runs, which variants the compared ones are given."""
        exposed = Exposed(target.served, request, groups, cohorts, self._unit_hashes(request.units))
        try:
            self._worker.exposures.begin(exposed)
        except SpoolFullError:
            if self._worker.monitoring.on_full == "refuse":
                raise
        return exposed

    def _require_logged(self, exposed: Exposed) -> None:
        """Raise what kept exposures out of the log, where settings say that then there is no answer."""
        if exposed.problem is not None and self._worker.monitoring.on_full == "refuse":
            raise exposed.problem

    def _log(
        self,
        target: Target,
        request: Request,
        parts: Sequence[Part],
        unit_hashes: Sequence[str | None] | None,
        cohorts: Sequence[Cohort | None] | None,
    ) -> tuple[float, int]:
        """Log the answer; return when that was, in seconds since 1970, and the microseconds that it took."""
        now = time.time()
        latency_us = int((time.perf_counter() - request.started) * 1e6)
        records = [
            PredictionRecord(
                request_id=request.id,
                served_at=now,
                model=target.served.model,
                model_version=part.version,
                variant=part.variant.name,
                epoch=target.served.epoch,
                rollout_id=target.served.rollout_id,
                protocol=request.protocol,
                latency_us=latency_us if part.answered is None else int((part.answered - request.started) * 1e6),
                positions=part.positions,
                predictions=part.labels,
                scores=part.scores,
                features=part.features,
                unit_hashes=take(unit_hashes, part.positions, request.rows),
                cohorts=take(cohorts, part.positions, request.rows),
                caller_ids=take(request.caller_ids, part.positions, request.rows),
                protected=take(request.protected, part.positions, request.rows),
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
        return now, latency_us

    def _unit_hashes(self, units: Sequence[str | None] | None) -> list[str | None] | None:
        """Return what stands for each unit in the log, the same for all spellings that assignment takes for one."""
        if units is None:
            return None
        if are_one(units):
            return [self._unit_hash(units[0])] * len(units)
        hashes = {unit: self._unit_hash(unit) for unit in set(units)}
        return [hashes[unit] for unit in units]

    def _unit_hash(self, unit: str | None) -> str | None:
        if unit is None:
            return None
        return unit_hash(self._worker.unit_key, unit)

    def _count(self, target: Target, request: Request, parts: Sequence[Part]) -> None:
        metrics, model = self._worker.metrics, target.served.model
        seconds = time.perf_counter() - request.started
        for part in parts:
            variant = part.variant.name or "pinned"
            metrics.predicted(model, variant, request.protocol, len(part.positions), seconds)


async def _answer_each(groups: Groups, request: Request, deadline: float, exposed: Exposed | None) -> list[Part]:
    """Return what several variants answer to their rows; what keeps one of them from it is told of that one."""

    async def predict(variant: Variant, columns: EncodedColumns, rows: int) -> tuple[Predictions, float]:
        with blaming(exposed, variant):
            answer = await variant.batcher.predict(columns, rows, deadline, request.params)
        return answer, time.perf_counter()

    decoded = []
    for variant, chosen in groups:
        with blaming(exposed, variant):
            decoded.append((variant, chosen or (), *request.decode(variant.batcher.model.signature, chosen)))
    answers = await asyncio.gather(
        *(predict(variant, columns, len(positions)) for variant, positions, columns, _ in decoded)
    )
    return [
        Part(variant, positions, features, answer, answered)
        for (variant, positions, _, features), (answer, answered) in zip(decoded, answers, strict=True)
    ]
