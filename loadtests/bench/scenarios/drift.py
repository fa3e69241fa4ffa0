"""What the drift of 50 features of a million rows costs, beside Evidently: no server."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from loadtests.bench.contenders import ONE_THREAD
from loadtests.bench.environments import PEERS, ensure_environment, pinned_versions
from loadtests.bench.findings import Finding, at_most
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage

ROWS: Final = 1_000_000
PEER_ROWS: Final = 100_000
"""What Evidently gets, and ours for the comparison: it had not finished a million rows after seven minutes."""

ROUNDS: Final = 7
PEER_ROUNDS: Final = 3
SECONDS: Final = 2.0
_PEER: Final = "evidently"
_FEWER: Final = "report of fewer rows"
_SCRIPTS: Final = Path(__file__).parent.parent / "drift-scripts"


def run(stage: Stage) -> list[Section]:
    """Measure ours, then Evidently, each in a process of its own with one thread."""
    programs = ensure_environment(_PEER, stage.say) if stage.with_peers else None
    stage.say(f"50 features of {ROWS:,} rows; beside Evidently of {PEER_ROWS:,}, which takes some ten seconds")
    with _rows(ROWS) as folder:
        ours = _cost(folder)
    if programs is None:
        return [section_of(ours)]
    with _rows(PEER_ROWS) as folder:
        script = PEERS / _PEER / "drift.py"
        theirs = json.loads(_told(str(programs / "python"), script, folder, str(PEER_ROUNDS)))["seconds"]
        return [section_of(ours, (_cost(folder), theirs))]


def section_of(ours: Mapping[str, Any], beside: tuple[Mapping[str, Any], Sequence[float]] | None = None) -> Section:
    """Return the rows of the page from what the processes printed; `beside`: ours, Evidently's, of fewer rows."""
    seconds: dict[str, list[float]] = dict(ours["seconds"])
    if beside is not None:
        seconds |= {_FEWER: beside[0]["seconds"]["report"], _PEER: list(beside[1])}
    median = {name: statistics.median(each) for name, each in seconds.items()}
    titles = {
        "report": "**FairMind Serving**, a table in memory beside the profile of a version",
        "profile": "**FairMind Serving**, making that profile, once per version",
        _FEWER: "**FairMind Serving**, a smaller table",
        _PEER: f"Evidently {pinned_versions(_PEER)[_PEER]}, its preset of data drift by PSI, from two data frames",
    }
    rows = [
        [
            titles[name],
            f"{PEER_ROWS if name in {_FEWER, _PEER} else ROWS:,}",
            f"{median[name]:,.2f}",
            f"{min(each):,.2f}",
            f"{median[_PEER] / median[name]:,.0f} ×" if name == _FEWER else "",
        ]
        for name, each in seconds.items()
    ]
    notes = [
        "50 features: 40 numbers, 10 texts. Seconds of CPU of a process with one thread each: what others do "
        "on the machine is not counted.",
        "Ours tests and sizes every feature (PSI, Jensen-Shannon, Kolmogorov-Smirnov or chi-squared; missing, "
        f"new and out-of-range values); {len(ours['drifted'])} of the 10 columns that had moved are called drift.",
        "Evidently reads the reference's rows each time; ours has their counts. Live traffic is counted as it is "
        "archived, so that a report of it reads counts alone and costs milliseconds.",
    ]
    if beside is not None:
        notes.append(
            f"Evidently has {PEER_ROWS:,} rows, and is compared with ours of as many: with {ROWS:,} it was stopped "
            "after seven minutes."
        )
    head = ("", "rows", "median, s CPU", "least, s CPU", "Evidently takes")
    return Section("Drift beside Evidently", head, rows, findings_of(median), notes, seconds)


def findings_of(median: Mapping[str, float]) -> list[Finding]:
    """Return the target and what became of it, from median seconds."""
    return [at_most("CPU of the drift of 50 features of 1M rows", median["report"], SECONDS, " s")]


@contextmanager
def _rows(count: int) -> Iterator[str]:
    """Yield a folder with so many rows of the reference, and as many that are compared with it."""
    with tempfile.TemporaryDirectory(prefix="fairmind-drift-") as folder:
        _told(sys.executable, _SCRIPTS / "rows.py", str(count), folder)
        yield folder


def _cost(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_told(sys.executable, _SCRIPTS / "cost.py", folder, str(ROUNDS)))
    return found


def _told(python: str, script: Path, *arguments: str) -> str:
    return subprocess.run(  # noqa: S603 - our own command
        [python, str(script), *arguments],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
