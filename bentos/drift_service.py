"""Drift of what is served: asked for by the API, and looked at again and again for `/metrics`."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bentos.companion import Companion
from bentos.errors import InvalidRequestError
from bentos.tested_models import TestedModels
from monitoring.drift_report import DriftAnswer
from monitoring.drift_traffic import OutcomeCounts, traffic_drift, whole_hours
from monitoring.exposition import StateMetrics
from monitoring.window_cells import NUMBER
from monitoring.windows import window_counts
from rollout.serving_store import serving_states

_MOST_FEATURES: Final = 50
_LONGEST: Final = timedelta(days=366)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)


class DriftService:
    """Compares traffic with what versions learned from; keeps what it last found of each champion."""

    def __init__(self, companion: Companion) -> None:
        self._companion = companion
        self._models = TestedModels(companion)
        self._latest: dict[str, DriftAnswer] = {}

    def ask(
        self,
        model: str | None,
        *,
        version: str | None,
        variant: str | None,
        since: datetime | None,
        until: datetime | None,
        now: datetime,
    ) -> DriftAnswer:
        """Return the drift of a version, of the champion where none is named, with the outcomes known so far.

        Raises:
            InvalidRequestError: The window has no length, or is longer than a year.
            AmbiguousModelError: No model is named and several are served.
            ModelNotServedError: It is not served, and no version is named.
            ModelNotFoundError: There is no such version.
        """
        until = until or now
        if not _EARLIEST <= until <= now + _LONGEST:
            raise InvalidRequestError("until: it is no time that anything was served at")
        since = since or until - self._length()
        if not timedelta(0) < until - since <= _LONGEST:
            raise InvalidRequestError(f"since: it must be before until, by at most {_LONGEST.days} days")
        name, found = self._models.find(model, version, None)
        since, until = whole_hours(since, until)
        outcomes = self._outcomes(name, found.version, variant, since, until)
        return self._drift(name, found.version, since, until, variant=variant, outcomes=outcomes)

    def work(self) -> None:
        """Look at the last window of each champion."""
        now = datetime.now(UTC)
        self._latest = {
            name: self._drift(name, state.champion.version, now - self._length(), now)
            for name, state in serving_states(self._companion.control).items()
        }

    def set_gauges(self, state: StateMetrics) -> None:
        """Set the gauges of what was last found; a version of which nothing was counted has none."""
        for model, answer in self._latest.items():
            report = answer.leading
            if report is None:
                continue
            state.drift_verdict.labels(model, report.verdict.value).set(1)
            if report.score is not None:
                state.drift.labels(model, "").set(report.score)
            sizes = [(one.shape.psi, one.name) for one in report.features if one.shape.psi is not None]
            for size, feature in sorted(sizes, reverse=True)[:_MOST_FEATURES]:
                state.drift.labels(model, feature).set(size)
            for metric in answer.performance.metrics if answer.performance else ():
                state.estimated.labels(model, metric.metric).set(metric.value)

    def _length(self) -> timedelta:
        return timedelta(hours=self._companion.settings.drift.window_hours)

    def _drift(self, name: str, version: str, since: datetime, until: datetime, **more: Any) -> DriftAnswer:
        policy = self._companion.settings.drift
        return traffic_drift(self._companion.log, name, version, since=since, until=until, policy=policy, **more)

    def _outcomes(
        self, name: str, version: str, variant: str | None, /, since: datetime, until: datetime
    ) -> OutcomeCounts:
        found = window_counts(self._companion.log, name, since, until, variant=variant, model_version=version)
        joint: Counter[tuple[str, str]] = Counter()
        for alike, amount in found.counts.items():
            if alike.has_outcome and alike.prediction != NUMBER:
                joint[alike.prediction, alike.outcome] += amount.n
        return OutcomeCounts(joint)
