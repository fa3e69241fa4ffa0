"""What a bias test can be asked of, and how it is measured: rows in the body, a data set, or live traffic."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import numpy as np

from assessment.bias_test import run
from assessment.columns import Labels, Subject, assess_columns
from assessment.data_sets import DataSet, DataSets
from assessment.errors import (
    ConflictingReferenceError,
    FeaturesNeededError,
    MissingColumnError,
    NotAClassifierError,
)
from assessment.fairmind import DetectRequest
from assessment.flips import Flipping, FlipReport
from assessment.request import BiasTestRequest
from assessment.result import BiasTestResult, DataSource
from assessment.table import labels, score, table_columns, table_proxies
from assessment.traffic import assess_traffic
from bentos.bias_test_bodies import AnyRequest, TableTestRequest, TrafficTestRequest
from bentos.companion import Companion
from bentos.tested_models import TestedModels, Told
from monitoring.identifiers import new_request_id
from monitoring.windows import WindowCounts, window_counts

_DEFAULT_WINDOW: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class _Scored:
    """What was decided about the rows of a data set, by whom, from which columns."""

    model: str | None
    version: str | None
    classes: tuple[Any, ...]
    features: list[str]
    predictions: Labels
    flips: tuple[FlipReport, ...] = ()


def _not_told(_rows: int) -> None:
    """Hear of progress and do nothing: somebody waits for the answer."""


class BiasTests:
    """Measures with what the Companion holds: serving state, model copies, data sets, prediction log."""

    def __init__(self, companion: Companion, data_sets: DataSets) -> None:
        self._companion, self._data_sets = companion, data_sets
        self._models = TestedModels(companion)

    def rows(self, request: AnyRequest) -> int | None:
        """Return how many rows a test looks at, None where only the prediction log knows.

        Raises:
            DataSetNotFoundError: There is no such data set.
        """
        if isinstance(request, BiasTestRequest):
            return len(request.instances)
        return self._data_sets.find(request.dataset).rows if isinstance(request, TableTestRequest) else None

    def check(self, request: AnyRequest) -> str | None:
        """Refuse now what would be refused later, as far as that is quick; return the model that is tested.

        Raises:
            AssessmentError: The rows cannot be tested.
            ModelNotServedError: The model or version is not there.
            NotReadyError: The version has to be prepared first, which was begun; or it cannot be: says why.
        """
        if isinstance(request, TrafficTestRequest):
            return self._models.state(request.model).model
        if isinstance(request, BiasTestRequest):
            request.check()
            scores = request.predictions is None
        else:
            _check_table(request, self._data_sets.find(request.dataset))
            scores = request.prediction is None
        if not scores:
            return request.model
        model, version = self._models.find(request.model, request.version, request.alias)
        if not self._models.classes(model, version):
            raise NotAClassifierError(model)
        return model

    def run(
        self,
        request: AnyRequest,
        *,
        test_id: str | None = None,
        now: datetime | None = None,
        told: Told = _not_told,
    ) -> BiasTestResult:
        """Return the result of a test; `told` hears how many rows have been scored.

        Raises:
            AssessmentError: The rows cannot be tested.
            ModelNotServedError: The model or version is not there.
            NotReadyError: The version has to be prepared first, which was begun; or it cannot be: says why.
        """
        test_id, now = test_id or new_request_id(), now or datetime.now(UTC)
        if isinstance(request, TrafficTestRequest):
            return self._traffic(request, test_id, now)
        if isinstance(request, TableTestRequest):
            return self._table(request, test_id, now, told)
        return run(
            request,
            lambda asked: self._models.score(asked, told),
            test_id=test_id,
            created_at=now,
            generator=np.random.default_rng(0),  # the same rows give the same intervals
        )

    def detect(self, request: DetectRequest, *, test_id: str, now: datetime) -> BiasTestResult:
        """Return the result of a test that FairMind asked for: of the predictions in a data set.

        Raises:
            AssessmentError: There is no such data set or column, or it cannot be tested.
        """
        asked = TableTestRequest(
            dataset=request.dataset_id,
            favourable=request.positive_label,
            protected=(request.protected_attribute,),
            label=request.ground_truth_column,
            prediction=request.prediction_column,
            model=request.model_id,
            policy=request.policy,
        )
        return self._table(asked, test_id, now, _not_told)

    def _table(self, request: TableTestRequest, test_id: str, now: datetime, told: Told) -> BiasTestResult:
        data_set = self._data_sets.find(request.dataset)
        _check_table(request, data_set)
        measured = [*request.protected, *(name for name in (request.label, request.prediction) if name is not None)]
        scored = None if request.prediction is not None else self._scored(request, data_set, told)
        frame = self._data_sets.read(data_set, measured)
        if scored is None:
            features = [name for name in data_set.columns if name not in measured]
            scored = _Scored(request.model, request.version, (), features, labels(frame[request.prediction]))
        result = assess_columns(
            Subject(
                model=scored.model,
                model_version=scored.version,
                source=DataSource.PREDICTIONS if request.prediction is not None else DataSource.TABLE,
                test_id=test_id,
                created_at=now,
            ),
            table_columns(frame, scored.predictions, label=request.label, protected=request.protected),
            favourable=request.favourable,
            classes=scored.classes,
            options=request,
            generator=np.random.default_rng(0),
        )
        found: dict[str, Any] = {"dataset": data_set.id, "flips": scored.flips}
        if request.proxies:
            read = partial(self._data_sets.read, data_set)
            found["proxies"] = table_proxies(frame, request.protected, scored.features, read, request.edges)
        return result.model_copy(update=found)

    def _scored(self, request: TableTestRequest, data_set: DataSet, told: Told) -> _Scored:
        model, version = self._models.find(request.model, request.version, request.alias)
        with self._models.opened(model, version) as served:
            if not served.signature.classes:
                raise NotAClassifierError(model)
            features = [column.name for column in served.signature.columns if column.name in data_set.columns]
            flipping = Flipping(served, request.flip, request.favourable)
            predictions = score(self._data_sets.batches(data_set, features), flipping, told)
            classes = served.signature.classes
            return _Scored(model, version.version, classes, features, predictions, flipping.reports())

    def _traffic(self, request: TrafficTestRequest, test_id: str, now: datetime) -> BiasTestResult:
        state = self._models.state(request.model)
        until = request.window.until or now
        since = request.window.since or until - _DEFAULT_WINDOW
        found = window_counts(
            self._companion.log,
            state.model,
            since,
            until,
            variant=request.window.variant,
            model_version=request.window.version,
        )
        result = assess_traffic(
            found,
            favourable=request.favourable,
            test_id=test_id,
            created_at=now,
            classes=self._models.classes(state.model, state.champion),
            protected=request.protected,
            options=request,
            generator=np.random.default_rng(0),
        )
        return result.model_copy(update={"notes": (*result.notes, *_widened(found, since, min(until, now)))})


def _widened(found: WindowCounts, since: datetime, until: datetime) -> list[str]:
    """Return what to say of a window whose edges are within buckets of time."""
    if found.since >= since and found.until <= until:
        return []
    edges = (f"{edge.isoformat(timespec='seconds')}" for edge in (found.since, found.until))
    return [f"live traffic is counted in buckets of time; those from {' to '.join(edges)} are tested"]


def _check_table(request: TableTestRequest, data_set: DataSet) -> None:
    if request.flip and request.prediction is not None:
        raise FeaturesNeededError("flip", "leave out `prediction`, and the model is asked")
    named = bool(request.version), bool(request.alias)
    if request.prediction is None and (all(named) or (request.model is None and any(named))):
        raise ConflictingReferenceError
    for column in (*request.protected, request.label, request.prediction):
        if column is not None and column not in data_set.columns:
            raise MissingColumnError(column, list(data_set.columns))
