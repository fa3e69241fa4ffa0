"""The Prometheus exposition of a deployment: what all its processes counted, and the state the database holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from monitoring.metrics import DEFINITIONS, Definition, Kind
from monitoring.metrics_folders import is_alive

Key = tuple[str, ...]


class StateMetrics:
    """Gauges the Companion sets from the database at each scrape, so that what is gone vanishes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.weight = Gauge(
            "fairmind_traffic_weight_ratio",
            "Share of units a variant is assigned.",
            ["model", "variant"],
            registry=self.registry,
        )
        self.info = Gauge(
            "fairmind_model_info",
            "Always 1; joins a variant with the version that serves it.",
            ["model", "variant", "model_version"],
            registry=self.registry,
        )
        self.missing = Gauge(
            "fairmind_model_missing",
            "Always 1; a version that is to serve and is not here, or does not verify: /api/v1/models says why.",
            ["model", "model_version"],
            registry=self.registry,
        )
        self.lag = Gauge(
            "fairmind_prediction_log_lag_seconds",
            "Age of the oldest prediction that is not in the database yet; 0 where all are.",
            registry=self.registry,
        )
        self.tracking = Gauge(
            "fairmind_tracking_waiting",
            "Results of tests that wait for MLflow or Weights & Biases.",
            registry=self.registry,
        )


def exposition(state: StateMetrics, folder: Path) -> bytes:
    """Return the text exposition of the state gauges and of all processes' files in `folder` added up.

    What processes counted stays when they die; gauges of what they hold, a queue, go with them.
    """
    processes = CollectorRegistry()
    processes.register(_Processes(folder))
    return generate_latest(state.registry) + generate_latest(processes)


class _Processes(Collector):
    """The sum over the files of all processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        """Return one family per metric that anybody counted."""
        numbers: defaultdict[Key, float] = defaultdict(float)
        histograms: dict[Key, tuple[list[int], float]] = {}
        paths = sorted(self._folder.glob("*.json"))
        # A process id that was given again is that of the newest file; the others' processes are dead.
        newest = {_owner(path): path for path in paths}
        for path in paths:
            try:
                content = orjson.loads(path.read_bytes())
            except (FileNotFoundError, orjson.JSONDecodeError):
                continue
            owner = _owner(path)
            is_living = newest[owner] == path and owner.isdecimal() and is_alive(int(owner))
            living = content[Kind.GAUGE] if is_living else []
            for *key, value in [*content[Kind.COUNTER], *living]:
                numbers[tuple(key)] += value
            for *key, counts, total in content[Kind.HISTOGRAM]:
                if key[0] not in DEFINITIONS or len(counts) != len(DEFINITIONS[key[0]].buckets) + 1:
                    continue  # counted by another release, in other buckets
                before, sum_before = histograms.get(tuple(key), ([0] * len(counts), 0.0))
                added = [one + other for one, other in zip(before, counts, strict=True)]
                histograms[tuple(key)] = (added, sum_before + total)
        return list(_families(numbers, histograms))


def _owner(path: Path) -> str:
    return path.stem.partition("-")[0]


def _families(numbers: dict[Key, float], histograms: dict[Key, tuple[list[int], float]]) -> Iterator[Metric]:
    for name, definition in DEFINITIONS.items():
        family = _family(name, definition)
        if isinstance(family, HistogramMetricFamily):
            for (_, *labels), (counts, total) in _of(name, histograms):
                bounds = [*map(floatToGoString, definition.buckets), "+Inf"]
                family.add_metric(labels, list(zip(bounds, accumulate(counts), strict=True)), total)
        else:
            for (_, *labels), value in _of(name, numbers):
                family.add_metric(labels, value)
        if family.samples:
            yield family


def _family(name: str, definition: Definition) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    if definition.kind is Kind.HISTOGRAM:
        return HistogramMetricFamily(name, definition.help, labels=definition.labels)
    kind = CounterMetricFamily if definition.kind is Kind.COUNTER else GaugeMetricFamily
    return kind(name, definition.help, labels=definition.labels)


def _of(name: str, found: dict[Key, Any]) -> list[tuple[Key, Any]]:
    return sorted((key, value) for key, value in found.items() if key[0] == name)
