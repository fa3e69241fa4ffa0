"""What a window over ten million logged predictions costs to read, and to test for bias: no server."""

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
from loadtests.bench.findings import Finding, at_most
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage
from loadtests.errors import AnswersDifferError

PREDICTIONS: Final = 10_000_000
ROUNDS: Final = 9
SECONDS: Final = 0.2
_QUERY: Final = Path(__file__).parent.parent / "monitoring-scripts" / "window_query.py"
_TITLES: Final = {
    "month": "counts of all 30 days, both variants",
    "variant": "counts of all 30 days, the challenger alone",
    "day": "counts of the last day, in buckets of five minutes",
    "test": "bias test of all 30 days: three attributes, intervals, verdicts, what chance would show",
}


def run(stage: Stage) -> list[Section]:
    """Fill a table of counts as ten million predictions would, and read it."""
    stage.say(f"{PREDICTIONS:,} predictions are drawn and counted")
    folder = stage.scratch / "windows"
    folder.mkdir()
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, str(_QUERY), str(folder), str(PREDICTIONS), str(ROUNDS)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    if found["counted"] != PREDICTIONS:
        raise AnswersDifferError(
            "the window", 0, f"{found['counted']:,} of {PREDICTIONS:,} predictions are counted"
        )
    seconds: Mapping[str, Sequence[float]] = found["seconds"]
    median = {name: statistics.median(each) for name, each in seconds.items()}
    rows = [
        [title, f"{1e3 * median[name]:,.0f}", f"{1e3 * max(seconds[name]):,.0f}"] for name, title in _TITLES.items()
    ]
    notes = [
        f"{PREDICTIONS:,} predictions of one model over 30 days, of 36 combinations of groups, two labels and two "
        f"variants, 70 % with an outcome, are {found['cells']:,} rows of counts in SQLite: days, hours, and "
        "buckets of five minutes for the last day.",
        "The predictions were drawn and counted into the buckets that they would be in; their own rows were not "
        "written, and nothing measured here reads those.",
    ]
    head = ("", "median, ms", "slowest, ms")
    return [Section("A window of ten million predictions", head, rows, findings_of(median), notes, dict(seconds))]


def findings_of(median: Mapping[str, float]) -> list[Finding]:
    """Return the targets and what became of them, from median seconds."""
    return [at_most("counts of a window over 10M predictions", median["month"], SECONDS, " s")]
