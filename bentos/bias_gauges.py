"""The gauges of live bias: measured every half minute, shown at each scrape."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from assessment.live_bias import Favourable, LiveBias, favourable_of, live_bias
from bentos.companion import Companion
from inference.loading import SIGNATURE_FILE
from inference.signature import Signature
from monitoring.exposition import StateMetrics
from monitoring.windows import window_counts
from registry.reference import Reference
from rollout.serving_state import ServedVersion
from rollout.serving_store import serving_states
from runners.preparation import FAIRMIND_FOLDER

SECONDS: Final = 30.0
_FAVOURABLE_TAG: Final = "fairmind.favourable"
_VERSIONS: Final = 1_000


class BiasGauges:
    """Measures the versions that serve, each on what it answered as that variant in the last window."""

    def __init__(self, companion: Companion) -> None:
        self._companion = companion
        self._label = lru_cache(_VERSIONS)(self._read_label)
        self._measured: dict[tuple[str, str], LiveBias] = {}

    def measure(self) -> None:
        """Measure anew; what serves no longer is forgotten."""
        monitoring = self._companion.settings.monitoring
        until = datetime.now(UTC)
        since = until - timedelta(hours=monitoring.bias_window_hours)
        measured = {}
        for model, state in serving_states(self._companion.control).items():
            window = window_counts(self._companion.log, model, since, until)
            for variant, version in (("champion", state.champion), ("challenger", state.challenger)):
                served = None if version is None else window.of_variant(variant, version.version)
                if version is None or served is None or not served.rows:
                    continue
                classes = self._classes(model, version)
                favourable = None if classes is None else self._label(model, version.version, classes)
                if classes is not None and favourable is not None:
                    minimum = monitoring.bias_minimum_rows
                    measured[model, variant] = live_bias(served, favourable, classes, minimum_rows=minimum)
        self._measured = measured

    def set_gauges(self, state: StateMetrics) -> None:
        """Show what was measured last."""
        for (model, variant), bias in self._measured.items():
            for (attribute, group), rate in bias.selection_rates.items():
                state.selection_rate.labels(model, variant, attribute, group).set(rate)
            for (metric, attribute), value in bias.metrics.items():
                state.bias_metric.labels(model, variant, metric, attribute).set(value)
            for attribute, verdict in bias.verdicts.items():
                state.bias_verdict.labels(model, variant, attribute, verdict).set(1)

    def _classes(self, model: str, version: ServedVersion) -> tuple[Any, ...] | None:
        """Return the classes of a version that serves; None until its files are here."""
        folder = self._companion.folders.find(model, version)
        if folder is None:
            return None
        return Signature.model_validate_json((folder / FAIRMIND_FOLDER / SIGNATURE_FILE).read_bytes()).classes

    def _read_label(self, model: str, version: str, classes: tuple[Any, ...]) -> Favourable | None:
        tags = self._companion.registry.find(Reference(model, version=version)).tags
        named = tags.get(_FAVOURABLE_TAG)
        return favourable_of(None if named is None else json.loads(named), classes)
