"""`python scrape.py MODELS WORKERS ROUNDS`: the CPU seconds of a scrape, as JSON; in a process of its own.

The files are made with what the processes of a deployment count with: every model has a champion and a challenger,
which were asked over three protocols, with answers of four codes, refused rows, batches and queues; the database's
gauges have each variant's weight and version, a rollout, and of every model twenty features and ten groups.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from monitoring.exposition import StateMetrics, exposition
from monitoring.metrics import ServingMetrics
from monitoring.state_gauges import Gauge

VARIANTS, PROTOCOLS, FEATURES, GROUPS = ("champion", "challenger"), ("predict", "v2", "grpc"), 20, 10


def count(path: Path, models: int) -> None:
    """Save what one worker counted."""
    metrics = ServingMetrics(path)
    for number in range(models):
        model = f"model-{number}"
        queue = metrics.for_model(model)
        queue.queue_changed(number)
        for rows in (1, 20, 300):
            queue.batch_ran(rows, rows / 1e5)
        for protocol in PROTOCOLS:
            for code in ("200", "422", "500", "503"):
                metrics.request(model, protocol, code)
            for variant in VARIANTS:
                for seconds in (0.0004, 0.004, 0.04, 0.4):
                    metrics.predicted(model, variant, protocol, 3, seconds)
        metrics.mismatched(model, "unknown_category")
        metrics.reloaded(model, "loaded")
    metrics.logged("spooled", models)
    metrics.save()


def state_of(models: int) -> StateMetrics:
    """Return the gauges that a Companion sets at a scrape."""
    state = StateMetrics()
    # Gauges of their own, whatever the real ones are called: it is their number that costs.
    drift = Gauge("drift", "Drift.", ["model", "feature"], registry=state.registry)
    rates = Gauge("rates", "Rates.", ["model", "variant", "attribute", "group"], registry=state.registry)
    for number in range(models):
        model = f"model-{number}"
        for variant in VARIANTS:
            state.weight.labels(model, variant).set(0.5)
            state.info.labels(model, variant, str(number)).set(1)
        state.rollout_state.labels(model, "canary").set(1)
        state.rollout_unchanged.labels(model).set(number)
        for outcome in ("started", "paused", "resumed", "aborted", "promoted"):
            state.decisions.labels(model, outcome).set(number)
        for feature in range(FEATURES):
            drift.labels(model, f"feature-{feature}").set(0.05)
        for group in range(GROUPS):
            rates.labels(model, "champion", "SEX", f"group-{group}").set(0.25)
    return state


def main(models: int, workers: int, rounds: int) -> dict[str, Any]:
    """Return the CPU seconds of each round, the series and the bytes of one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for worker in range(workers):
            count(folder / f"{os.getpid() if worker == 0 else 1}-{worker}.json", models)
        seconds = []
        text = b""
        for _ in range(rounds):
            started = time.process_time()
            text = exposition(state_of(models), folder)
            seconds.append(time.process_time() - started)
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    return {"seconds": seconds, "series": series, "bytes": len(text)}


if __name__ == "__main__":
    json.dump(main(*map(int, sys.argv[1:])), sys.stdout)
