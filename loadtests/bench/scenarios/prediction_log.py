"""What the prediction log costs a worker per request, and the Companion per row: no server."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from loadtests.bench.contenders import ONE_THREAD
from loadtests.bench.findings import Finding, at_least, at_most
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage

REQUESTS: Final = 20_000
ROUNDS: Final = 7
APPEND_US, SHIP_US, ROWS_PER_SECOND = 20.0, 30.0, 20_000.0
_COST: Final = Path(__file__).parent.parent / "log-scripts" / "cost.py"
_APPENDED: Final = {
    "append plain": "a request is appended to the segment",
    "append compared": "the same, its unit in a rollout's cohort",
    "expose": "and its exposure before the model runs",
}
_SHIPPED: Final = {
    "sqlite plain": "a row is shipped into SQLite",
    "postgresql plain": "a row is shipped into PostgreSQL",
    "sqlite compared": "a row with its exposure is shipped into SQLite",
    "postgresql compared": "a row with its exposure is shipped into PostgreSQL",
}


def run(stage: Stage) -> list[Section]:
    """Measure all in turns, in a process of its own with one thread."""
    requests, rounds = (REQUESTS, ROUNDS) if stage.effort.repeats > 2 else (REQUESTS // 10, 2)
    stage.say(f"{rounds} rounds of {requests:,} requests of one row")
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, str(_COST), str(requests), str(rounds)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=True,
    )
    found: Mapping[str, Sequence[Sequence[float]]] = json.loads(done.stdout)
    wall = {name: statistics.median(round_[0] for round_ in each) for name, each in found.items()}
    cpu = {name: statistics.median(round_[1] for round_ in each) for name, each in found.items()}
    rows = [
        [title, f"{1e6 * cpu[name]:.1f}", f"{1e6 * wall[name]:.1f}", f"{1 / wall[name]:,.0f}"]
        for name, title in {**_APPENDED, **_SHIPPED}.items()
    ]
    notes = [
        "Records of one row: 16 features, a unit, two protected attributes. CPU is that of the process that "
        "appends or ships, its collector set as the Companion's is; PostgreSQL runs beside it on the same cores, "
        "over a Unix socket, and syncs each commit.",
    ]
    head = ("what is done", "CPU, µs", "wall, µs", "per second")
    raw = {f"{name}, seconds of CPU": [round_[1] for round_ in each] for name, each in found.items()}
    return [Section("The prediction log", head, rows, findings_of(wall, cpu), notes, raw)]


def findings_of(wall: Mapping[str, float], cpu: Mapping[str, float]) -> list[Finding]:
    """Return the targets and what became of them, from median seconds per request."""
    return [
        at_most("appending a request", 1e6 * cpu["append plain"], APPEND_US, " µs of CPU"),
        at_most("shipping a row into SQLite", 1e6 * cpu["sqlite plain"], SHIP_US, " µs of CPU"),
        at_most("shipping a row into PostgreSQL", 1e6 * cpu["postgresql plain"], SHIP_US, " µs of CPU"),
        at_least("rows into SQLite", 1 / wall["sqlite plain"], ROWS_PER_SECOND, " per second"),
        at_least("rows into PostgreSQL", 1 / wall["postgresql plain"], ROWS_PER_SECOND, " per second"),
    ]
