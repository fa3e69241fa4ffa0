"""What a scrape of `/metrics` costs the Companion where many models are served: no server."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

from loadtests.bench.contenders import ONE_THREAD
from loadtests.bench.findings import at_most
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage

SIZES: Final = ((1, 4), (10, 4), (100, 4))
ROUNDS, MILLISECONDS = 21, 100.0
_SCRAPE: Final = Path(__file__).parent.parent / "monitoring-scripts" / "scrape.py"


def run(stage: Stage) -> list[Section]:
    """Measure scrapes of 1, 10 and 100 models with four workers each."""
    rows: list[list[str]] = []
    raw = []
    milliseconds = 0.0
    for models, workers in SIZES:
        stage.say(f"{models} models, {workers} workers")
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, str(_SCRAPE), str(models), str(workers), str(ROUNDS)],
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": str(Path.cwd())},
            capture_output=True,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout)
        milliseconds = 1e3 * statistics.median(found["seconds"])
        rows.append(
            [
                f"{models} × {workers}",
                f"{found['series']:,}",
                f"{found['bytes'] / 1e6:.2f}",
                f"{milliseconds:.1f}",
                f"{1e3 * max(found['seconds']):.1f}",
            ]
        )
        raw.append({"models": models, "workers": workers, **found})
    notes = [
        "Every model has two variants, asked over three protocols; twenty features and ten groups are gauges.",
        "What the database's own queries take comes on top: they are a few rows per model.",
    ]
    head = ("models × workers", "series", "MB", "CPU ms, median", "CPU ms, slowest")
    findings = [at_most("a scrape of 100 models × 4 workers", milliseconds, MILLISECONDS, " ms")]
    return [Section("A scrape of /metrics", head, rows, findings, notes, raw)]
