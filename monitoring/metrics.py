"""What the processes of a deployment count: plain numbers in memory, saved to a file several times a second.

The Prometheus client's own counters are kept in memory-mapped files that are written at every increment, which
costs a served request more than its prediction. Here an increment is an addition in a dictionary;
`monitoring.exposition` adds the files of all processes up when somebody scrapes. A process that is killed takes
what it counted since the last save with it: a fifth of a second of counts, never a prediction, which is in the log.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import orjson

_log = logging.getLogger(__name__)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_WAITS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096, 16384)


class Kind(StrEnum):
    """What adding up the processes means: gauges of dead ones are left out."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric; `buckets` are a histogram's upper bounds, without the infinite one."""

    kind: Kind
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


REQUESTS: Final = "fairmind_requests"
DURATION: Final = "fairmind_request_duration_seconds"
PREDICTIONS: Final = "fairmind_predictions"
BATCH_ROWS: Final = "fairmind_batch_rows"
QUEUE_WAIT: Final = "fairmind_queue_wait_seconds"
QUEUE_DEPTH: Final = "fairmind_queue_depth"
LOG_ROWS: Final = "fairmind_prediction_log_rows"
RELOADS: Final = "fairmind_model_reload"
TRACKED: Final = "fairmind_tracking_results"
MISMATCHES: Final = "fairmind_signature_mismatches"
SHADOWED: Final = "fairmind_shadow_rows"
SHADOW_DURATION: Final = "fairmind_shadow_duration_seconds"
REMOTE_CALLS: Final = "fairmind_remote_calls"
REMOTE_DURATION: Final = "fairmind_remote_call_duration_seconds"
REMOTE_BREAKERS: Final = "fairmind_remote_breakers_open"
IN_FLIGHT: Final = "fairmind_requests_in_flight"
IN_FLIGHT_LIMIT: Final = "fairmind_requests_in_flight_limit"

DEFINITIONS: Final = {
    REQUESTS: Definition(
        Kind.COUNTER, "Requests answered, by protocol and HTTP status or gRPC code.", ("model", "protocol", "code")
    ),
    DURATION: Definition(
        Kind.HISTOGRAM,
        "Seconds from the first byte read to the answer handed over.",
        ("model", "variant", "protocol"),
        _SECONDS,
    ),
    PREDICTIONS: Definition(Kind.COUNTER, "Rows predicted.", ("model", "variant")),
    BATCH_ROWS: Definition(Kind.HISTOGRAM, "Rows of one model call.", ("model",), _ROWS),
    QUEUE_WAIT: Definition(
        Kind.HISTOGRAM, "Longest wait in a batch before its model call began.", ("model",), _WAITS
    ),
    QUEUE_DEPTH: Definition(Kind.GAUGE, "Rows waiting for a model call.", ("model",)),
    LOG_ROWS: Definition(Kind.COUNTER, "Rows of the prediction log by what became of them.", ("outcome",)),
    RELOADS: Definition(Kind.COUNTER, "Model versions loaded, by result.", ("model", "outcome")),
    TRACKED: Definition(
        Kind.COUNTER, "Results of tests by what became of them at MLflow or Weights & Biases.", ("outcome",)
    ),
    MISMATCHES: Definition(
        Kind.COUNTER,
        "Requests refused for a row that does not fit the model's signature, by what was wrong with it.",
        ("model", "code"),
    ),
    SHADOWED: Definition(
        Kind.COUNTER,
        "Rows that a challenger was to score beside the champion: scored, dropped under load, or failed.",
        ("model", "outcome"),
    ),
    SHADOW_DURATION: Definition(
        Kind.HISTOGRAM,
        "Seconds a challenger took to score rows beside the champion.",
        ("model",),
        _SECONDS,
    ),
    REMOTE_CALLS: Definition(
        Kind.COUNTER,
        "Calls of a remote version's server: answered, refused, unavailable, timeout, error, mismatch; or rested, "
        "which is no call: the breaker is open.",
        ("model", "model_version", "outcome"),
    ),
    REMOTE_DURATION: Definition(
        Kind.HISTOGRAM, "Seconds of a call of a remote version's server.", ("model", "model_version"), _SECONDS
    ),
    REMOTE_BREAKERS: Definition(
        Kind.GAUGE, "Workers that leave a remote version's server alone for a while.", ("model", "model_version")
    ),
    IN_FLIGHT: Definition(Kind.GAUGE, "Prediction requests that are being answered.", ()),
    IN_FLIGHT_LIMIT: Definition(
        Kind.GAUGE, "Prediction requests that the living workers together answer at a time; one more gets 503.", ()
    ),
}
"""Every metric that processes count, by its name; a counter is exposed with `_total` behind it."""


class Histogram:
    """Observations in buckets; `counts` has one more than there are bounds, for what is above the last."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value; a bound belongs to the bucket below it."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


class ServingMetrics:
    """What one process counts.

    Args:
        path: Where `save` writes; None keeps everything in memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._counters: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._gauges: dict[tuple[str, ...], float] = {}
        self._histograms: dict[tuple[str, ...], Histogram] = {}
        self._watched: dict[str, Callable[[], float]] = {}
        self._saved, self._is_refused = b"", False

    def request(self, model: str, protocol: str, code: str) -> None:
        """Count an answered request."""
        self._counters[REQUESTS, model, protocol, code] += 1

    def predicted(self, model: str, variant: str, protocol: str, rows: int, seconds: float) -> None:
        """Count predicted rows and the seconds their request took."""
        self._counters[PREDICTIONS, model, variant] += rows
        self.histogram(DURATION, model, variant, protocol).observe(seconds)

    def logged(self, outcome: str, rows: int) -> None:
        """Count rows of the prediction log: spooled, written, quarantined or lost."""
        self._counters[LOG_ROWS, outcome] += rows

    def reloaded(self, model: str, outcome: str) -> None:
        """Count a model version that was loaded, or was not."""
        self._counters[RELOADS, model, outcome] += 1

    def tracked(self, outcome: str) -> None:
        """Count a test result at a provider: delivered, refused or dropped; or an attempt that failed."""
        self._counters[TRACKED, outcome] += 1

    def mismatched(self, model: str, code: str) -> None:
        """Count a request with a row that does not fit its model's signature."""
        self._counters[MISMATCHES, model, code] += 1

    def shadowed(self, model: str, outcome: str, rows: int, seconds: float | None = None) -> None:
        """Count rows offered to a challenger beside the champion, and where they were scored how long that took."""
        self._counters[SHADOWED, model, outcome] += rows
        if seconds is not None:
            self.histogram(SHADOW_DURATION, model).observe(seconds)

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Have a gauge without labels read whenever counts are saved: what nobody has to count as it changes."""
        self._watched[name] = read

    def queue_depth(self, model: str, change: int) -> None:
        """Add to the rows that wait for a model call: each loaded version of a model has a queue."""
        self.shift(QUEUE_DEPTH, model, by=change)

    def count(self, name: str, *labels: str) -> None:
        """Add 1 to a counter."""
        self._counters[name, *labels] += 1

    def shift(self, name: str, *labels: str, by: int) -> None:
        """Add to a gauge."""
        key = (name, *labels)
        self._gauges[key] = self._gauges.get(key, 0) + by

    def for_model(self, model: str) -> ModelMetrics:
        """Return the batch metrics of one queue of a model; queues of the same model add up."""
        return ModelMetrics(self, model)

    def histogram(self, *key: str) -> Histogram:
        """Return the histogram of a metric and its label values."""
        found = self._histograms.get(key)
        if found is None:
            found = self._histograms[key] = Histogram(DEFINITIONS[key[0]].buckets)
        return found

    def value(self, name: str, *labels: str) -> float:
        """Return a counter or gauge; 0 where nothing was counted."""
        key = (name, *labels)
        return self._gauges.get(key, self._counters.get(key, 0.0))

    def content(self) -> dict[str, Any]:
        """Return everything counted, as it is saved: label values, then the value."""
        # Listed first: the Companion saves in one thread while others count.
        histograms = list(self._histograms.items())
        watched = [[name, read()] for name, read in self._watched.items()]
        return {
            Kind.COUNTER.value: [[*key, value] for key, value in list(self._counters.items())],
            Kind.GAUGE.value: [*([*key, value] for key, value in list(self._gauges.items())), *watched],
            Kind.HISTOGRAM.value: [[*key, found.counts, found.total] for key, found in histograms],
        }

    def save(self) -> None:
        """Write the file anew where something was counted since; a reader sees the old content or the new.

        A disk that refuses is logged, once until it takes something again: nobody is served worse for it.
        """
        if self._path is None:
            return
        content = orjson.dumps(self.content())
        if content == self._saved:
            return
        temporary = self._path.with_suffix(".tmp")
        try:
            # A host that shares the folder over a file system without locks takes it for one that nobody uses.
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(self._path)
        except OSError as error:
            if not self._is_refused:
                _log.warning("metrics cannot be saved in %s (%s)", self._path.parent, error.strerror)
            self._is_refused = True
        else:
            self._saved, self._is_refused = content, False


class ModelMetrics:
    """The metrics of one batch queue of a model."""

    def __init__(self, metrics: ServingMetrics, model: str) -> None:
        self._metrics, self._model = metrics, model
        self._rows = metrics.histogram(BATCH_ROWS, model)
        self._wait = metrics.histogram(QUEUE_WAIT, model)
        self._depth = 0
        metrics.queue_depth(model, 0)

    def batch_ran(self, rows: int, longest_wait: float) -> None:
        """Count a batch and the longest wait in it."""
        self._rows.observe(rows)
        self._wait.observe(longest_wait)

    def queue_changed(self, rows: int) -> None:
        """Set the rows that wait."""
        if rows != self._depth:
            self._metrics.queue_depth(self._model, rows - self._depth)
            self._depth = rows
