"""Resident memory of one worker with one model."""

from __future__ import annotations

import httpx

from loadtests.bench.findings import at_most
from loadtests.bench.measure import load
from loadtests.bench.models import CLASSES
from loadtests.bench.report import Section
from loadtests.bench.stage import Served, Stage

MEGABYTES = 200.0


def run(stage: Stage) -> list[Section]:
    """Read the worker's resident memory before and after a load, for one model at a time."""
    rows, findings = [], []
    for model in CLASSES:
        with stage.serving([model]) as served:
            fresh = _worker_megabytes(served)
            load(served.predict(model), connections=stage.effort.connections, seconds=stage.effort.long_seconds / 3)
            loaded = _worker_megabytes(served)
        rows.append([model.title, f"{fresh:.0f}", f"{loaded:.0f}"])
        findings.append(at_most(f"memory of one worker, {model.name}", max(fresh, loaded), MEGABYTES, " MB"))
    head = ("model", "once ready, MB", "after the load, MB")
    return [Section("Memory of one worker with one model", head, rows, findings)]


def _worker_megabytes(served: Served) -> float:
    url = f"{served.server.url}/readyz"
    worker = httpx.get(url, timeout=30.0, trust_env=False).raise_for_status().json()["worker"]
    return served.server.memory_bytes()[worker] / 1e6
