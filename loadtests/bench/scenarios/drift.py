"""What the drift of 50 features of a million rows costs, beside Evidently: no server."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from loadtests.bench.contenders import ONE_THREAD
from loadtests.bench.environments import PEERS, ensure_environment, pinned_versions
from loadtests.bench.findings import Finding, at_most
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage

ROWS: Final = 1_000_000
ROUNDS: Final = 7
SECONDS: Final = 2.0
_PEER: Final = "evidently"
_SCRIPTS: Final = Path(__file__).parent.parent / "drift-scripts"


def run(stage: Stage) -> list[Section]:
    """Measure ours, then Evidently, each in a process of its own with one thread."""
    programs = ensure_environment(_PEER, stage.say) if stage.with_peers else None
    stage.say(f"50 features of {ROWS:,} rows, of which Evidently takes a minute or two")
    with tempfile.TemporaryDirectory(prefix="fairmind-drift-") as folder:
        _told(sys.executable, _SCRIPTS / "rows.py", str(ROWS), folder)
        ours = json.loads(_told(sys.executable, _SCRIPTS / "cost.py", folder, str(ROUNDS)))
        theirs: list[float] = []
        if programs is not None:
            script = PEERS / _PEER / "drift.py"
            theirs = json.loads(_told(str(programs / "python"), script, folder, "1"))["seconds"]
    return [section_of(ours, theirs)]


def section_of(ours: Mapping[str, Any], theirs: list[float]) -> Section:
    """Return the rows of the page from what both processes printed."""
    seconds: dict[str, list[float]] = {**ours["seconds"], **({_PEER: theirs} if theirs else {})}
    median = {name: statistics.median(each) for name, each in seconds.items()}
    titles = {
        "report": "**FairMind Serving**, a table in memory beside the profile of a version",
        "profile": "**FairMind Serving**, making that profile, once per version",
        _PEER: f"Evidently {pinned_versions(_PEER)[_PEER]}, its preset of data drift by PSI, from two data frames",
    }
    rows = [
        [titles[name], f"{median[name]:,.2f}", f"{min(each):,.2f}", _ratio(name, median)]
        for name, each in seconds.items()
    ]
    notes = [
        f"50 features of {ROWS:,} rows: 40 numbers, 10 texts; a process with one thread each.",
        "Ours tests and sizes every feature (PSI, Jensen-Shannon, Kolmogorov-Smirnov or chi-squared; missing, "
        f"new and out-of-range values); {len(ours['drifted'])} of the 10 columns that had moved are called drift.",
        "Evidently reads the reference's rows each time; ours has their counts. Live traffic is counted as it is "
        "archived, so that a report of it reads counts alone and costs milliseconds.",
    ]
    head = ("", "median, s", "quickest, s", "Evidently takes")
    return Section("Drift beside Evidently", head, rows, findings_of(median), notes, seconds)


def findings_of(median: Mapping[str, float]) -> list[Finding]:
    """Return the target and what became of it, from median seconds."""
    return [at_most("drift of 50 features of 1M rows", median["report"], SECONDS, " s")]


def _ratio(name: str, median: Mapping[str, float]) -> str:
    return f"{median[_PEER] / median[name]:,.0f} ×" if name == "report" and _PEER in median else ""


def _told(python: str, script: Path, *arguments: str) -> str:
    return subprocess.run(  # noqa: S603 - our own command
        [python, str(script), *arguments],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
