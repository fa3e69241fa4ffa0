"""Prometheus metrics of the workers, and their exposition over all processes of a deployment."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TypeVar, cast

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

Metric = TypeVar("Metric", Counter, Histogram)

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_WAITS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384)


class ModelMetrics:
    """The metrics of one model's batch queue; the labelled children are looked up once."""

    def __init__(self, metrics: ServingMetrics, model: str) -> None:
        self._rows = metrics.batch_rows.labels(model)
        self._wait = metrics.queue_wait.labels(model)
        self._depth = metrics.queue_depth.labels(model)

    def batch_ran(self, rows: int, longest_wait: float) -> None:
        """Count a batch and the longest wait in it."""
        self._rows.observe(rows)
        self._wait.observe(longest_wait)

    def queue_changed(self, rows: int) -> None:
        """Set the rows that wait."""
        self._depth.set(rows)


class ServingMetrics:
    """What a serving worker counts. `registry` is where the metrics are registered, a new one in tests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "fairmind_requests",
            "Requests answered, by protocol and HTTP status.",
            ["model", "protocol", "code"],
            registry=registry,
        )
        self.duration = Histogram(
            "fairmind_request_duration_seconds",
            "Seconds from the first byte read to the answer handed over.",
            ["model", "variant", "protocol"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.predictions = Counter(
            "fairmind_predictions",
            "Rows predicted.",
            ["model", "variant"],
            registry=registry,
        )
        self.batch_rows = Histogram(
            "fairmind_batch_rows", "Rows of one model call.", ["model"], buckets=_ROWS, registry=registry
        )
        self.queue_wait = Histogram(
            "fairmind_queue_wait_seconds",
            "Longest wait in a batch before its model call began.",
            ["model"],
            buckets=_WAITS,
            registry=registry,
        )
        self.queue_depth = Gauge(
            "fairmind_queue_depth",
            "Rows waiting for a model call.",
            ["model"],
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.log_rows = Counter(
            "fairmind_prediction_log_rows",
            "Rows of the prediction log by what became of them.",
            ["outcome"],
            registry=registry,
        )
        self.reloads = Counter(
            "fairmind_model_reload",
            "Model versions loaded, by result.",
            ["model", "outcome"],
            registry=registry,
        )

        self._children: dict[tuple[object, ...], Counter | Histogram] = {}

    def request(self, model: str, protocol: str, code: str) -> None:
        """Count an answered request."""
        self._child(self.requests, model, protocol, code).inc()

    def predicted(self, model: str, variant: str, protocol: str, rows: int, seconds: float) -> None:
        """Count predicted rows and the seconds their request took."""
        self._child(self.predictions, model, variant).inc(rows)
        self._child(self.duration, model, variant, protocol).observe(seconds)

    def logged(self, outcome: str, rows: int) -> None:
        """Count rows of the prediction log: spooled, written, quarantined or lost."""
        self._child(self.log_rows, outcome).inc(rows)

    def _child(self, metric: Metric, *labels: str) -> Metric:
        """Return a labelled child, looked up in the client library once: its own look-up is most of the cost."""
        key = (metric, *labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return cast("Metric", child)

    def for_model(self, model: str) -> ModelMetrics:
        """Return the batch metrics of one model."""
        return ModelMetrics(self, model)


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
        self.lag = Gauge(
            "fairmind_prediction_log_lag_seconds",
            "Age of the oldest prediction that is not in the database yet; 0 where all are.",
            registry=self.registry,
        )


def exposition(state: StateMetrics, worker_files: Path) -> bytes:
    """Return the text exposition of the state gauges and of all workers' files together.

    What processes counted stays when they die; gauges of what they hold, a queue, go with them.
    """
    for process in {path.stem.rpartition("_")[2] for path in worker_files.glob("gauge_live*_*.db")}:
        if process.isdecimal() and not _is_alive(int(process)):
            mark_process_dead(process, str(worker_files))  # type: ignore[no-untyped-call]
    workers = CollectorRegistry()
    MultiProcessCollector(workers, path=str(worker_files))  # type: ignore[no-untyped-call]
    return generate_latest(state.registry) + generate_latest(workers)


def process_metrics(folder: Path) -> ServingMetrics:
    """Return this process's metrics, kept in files under `folder`, where `exposition` finds them.

    The folder belongs to one deployment: two servers that share one erase each other's files. BentoML switched
    the client library to files before this process started; only where they lie is said here.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return ServingMetrics(REGISTRY)


def prune_metrics(run: Path, own: Path) -> None:
    """Remove the folders `metrics-<supervisor>` in `run` whose supervisor is gone; `own` stays in any case."""
    for folder in run.glob("metrics-*"):
        supervisor = folder.name.removeprefix("metrics-")
        if folder != own and supervisor.isdecimal() and not _is_alive(int(supervisor)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is another user's
    return True
