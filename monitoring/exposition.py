"""The Prometheus exposition of a deployment: what all its processes counted, and the state the database holds."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import orjson

from monitoring.metrics import DEFINITIONS, Kind
from monitoring.metrics_folders import is_alive
from monitoring.state_gauges import Gauge, StateRegistry
from monitoring.text_format import Counts, Key, state_lines, totals_lines


class StateMetrics:
    """Gauges the Companion sets from the database at each scrape, so that what is gone vanishes."""

    def __init__(self) -> None:
        self.registry = StateRegistry()
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
        self.remote_up = Gauge(
            "fairmind_remote_up",
            "Whether a remote version's server said that it is ready when it was last asked: 1, or 0.",
            ["model", "model_version"],
            registry=self.registry,
        )
        self.remote_changed = Gauge(
            "fairmind_remote_changed",
            "Whether a remote version's server reports another version than was registered: 1, or 0.",
            ["model", "model_version"],
            registry=self.registry,
        )
        self.lag = Gauge(
            "fairmind_prediction_log_lag_seconds",
            "Age of the oldest prediction that is not in the database yet; 0 where all are.",
            registry=self.registry,
        )
        self.selection_rate = Gauge(
            "fairmind_selection_rate_ratio",
            "Share of a group's predictions of the last window that are the favourable label.",
            ["model", "variant", "attribute", "group"],
            registry=self.registry,
        )
        self.bias_metric = Gauge(
            "fairmind_bias_metric_ratio",
            "Disparity between an attribute's groups in the last window; docs/fairness.md defines each metric.",
            ["model", "variant", "metric", "attribute"],
            registry=self.registry,
        )
        self.bias_verdict = Gauge(
            "fairmind_bias_verdict",
            "Always 1; the verdict of the default limits on an attribute in the last window.",
            ["model", "variant", "attribute", "verdict"],
            registry=self.registry,
        )
        self.spool = Gauge(
            "fairmind_prediction_log_spool_bytes",
            "Bytes of the local log that wait for the database.",
            registry=self.registry,
        )
        self.spool_limit = Gauge(
            "fairmind_prediction_log_spool_limit_bytes",
            "Most bytes of the local log that may wait for the database: then requests are refused, or rows lost.",
            registry=self.registry,
        )
        self.unshipped = Gauge(
            "fairmind_prediction_log_unshipped_rows",
            "Predictions that wait for the database.",
            registry=self.registry,
        )
        self.tracking = Gauge(
            "fairmind_tracking_waiting",
            "Results of tests that wait for MLflow or Weights & Biases.",
            registry=self.registry,
        )
        self.registry_up = Gauge(
            "fairmind_registry_up",
            "Whether the registry answered when its aliases were last looked for: 1, or 0.",
            registry=self.registry,
        )
        self.problems = Gauge(
            "fairmind_companion_problems",
            "Loops of the Companion whose last step failed; /api/v1/status and the log say which and why.",
            registry=self.registry,
        )
        self.rollout_state = Gauge(
            "fairmind_rollout_state",
            "Always 1; the state of the newest rollout of a served model.",
            ["model", "state"],
            registry=self.registry,
        )
        self.rollout_unchanged = Gauge(
            "fairmind_rollout_unchanged_seconds",
            "How long nothing was done to the active rollout of a model.",
            ["model"],
            registry=self.registry,
        )
        self.promotion_waiting = Gauge(
            "fairmind_rollout_promotion_waiting_seconds",
            "For how long a promotion that was decided has waited for its alias to be moved; only while it waits.",
            ["model"],
            registry=self.registry,
        )
        self.rollout_verdict = Gauge(
            "fairmind_rollout_verdict",
            "Always 1; what was last found of a guardrail (metric) and variant of a model's active rollout.",
            ["model", "variant", "metric", "verdict"],
            registry=self.registry,
        )
        self.decisions = Gauge(
            "fairmind_rollout_decisions_total",
            "Changes of a model's rollouts, by what was done.",
            ["model", "outcome"],
            registry=self.registry,
            kind=Kind.COUNTER,
        )
        self.drift = Gauge(
            "fairmind_drift_score_ratio",
            "Population stability index of a feature of the champion's traffic; the largest without one.",
            ["model", "feature"],
            registry=self.registry,
        )
        self.drift_verdict = Gauge(
            "fairmind_drift_verdict",
            "Always 1; whether the champion's traffic drifted: drift, no_drift, insufficient_evidence.",
            ["model", "verdict"],
            registry=self.registry,
        )
        self.estimated = Gauge(
            "fairmind_estimated_performance_ratio",
            "Performance of the champion that calibrated scores let expect, before outcomes are known.",
            ["model", "metric"],
            registry=self.registry,
        )


def exposition(state: StateMetrics, folder: Path) -> bytes:
    """Return the text exposition of the state gauges and of all processes' files in `folder` added up.

    What processes counted stays when they die; gauges of what they hold, a queue, go with them.
    """
    numbers, histograms = _add_up(folder)
    lines = [*state_lines(state.registry.gauges), *totals_lines(numbers, histograms), ""]
    return "\n".join(lines).encode()


def _add_up(folder: Path) -> tuple[dict[Key, float], dict[Key, Counts]]:
    """Return the counters and gauges, and the histograms, of all processes together."""
    numbers: defaultdict[Key, float] = defaultdict(float)
    histograms: dict[Key, Counts] = {}
    paths = sorted(folder.glob("*.json"))
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
            before = histograms.get(tuple(key))
            if before is None:
                histograms[tuple(key)] = (counts, total)
            else:
                added = [one + other for one, other in zip(before[0], counts, strict=True)]
                histograms[tuple(key)] = (added, before[1] + total)
    return numbers, histograms


def _owner(path: Path) -> str:
    return path.stem.partition("-")[0]
