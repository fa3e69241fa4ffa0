"""What measuring bias on a million rows costs, beside Fairlearn: no server."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from loadtests.bench.contenders import ONE_THREAD
from loadtests.bench.findings import Finding, at_least, at_most
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage
from loadtests.errors import AnswersDifferError

ROWS: Final = 1_000_000
ROUNDS: Final = 7
STRING_SECONDS, CODE_SECONDS, BOOTSTRAP_MILLISECONDS, TIMES_FAIRLEARN = 0.15, 0.01, 50.0, 300.0
_COST: Final = Path(__file__).parent.parent / "fairness-scripts" / "cost.py"
_TITLES: Final = {
    "strings": "**FairMind Serving**, from lists of text",
    "pandas": "**FairMind Serving**, from pandas text columns",
    "codes": "**FairMind Serving**, from pandas categoricals",
    "report": "**FairMind Serving**, the whole report with intervals, tests and verdicts, from categoricals",
    "bootstrap": "**FairMind Serving**, 1,000 bootstrap replicates of every metric, from counts",
    "permutation": "**FairMind Serving**, 1,000 permutations of every metric, from counts",
    "fairlearn": "Fairlearn, `MetricFrame` of ten metrics from text columns",
}


def run(stage: Stage) -> list[Section]:
    """Measure all in turns, in a process of its own with one thread."""
    stage.say(f"{ROWS:,} rows, of which Fairlearn takes a minute per round")
    rounds = 2 if stage.effort.repeats > 2 else 1
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, str(_COST), str(ROWS), str(ROUNDS), str(rounds)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    if found["differ"] > 1e-9:
        raise AnswersDifferError("Fairlearn", 0, f"a metric differs by {found['differ']:.2g}")
    seconds: Mapping[str, Sequence[float]] = found["seconds"]
    median = {name: statistics.median(each) for name, each in seconds.items()}
    rows = [
        [
            f"{title} {version('fairlearn')}" if name == "fairlearn" else title,
            f"{1e3 * median[name]:,.1f}",
            f"{1e3 * min(seconds[name]):,.1f}",
            f"{median['fairlearn'] / median[name]:,.0f} ×" if name in {"strings", "pandas", "codes"} else "",
        ]
        for name, title in _TITLES.items()
    ]
    notes = [
        f"{ROWS:,} rows, two protected attributes with ten groups together, a binary decision and its outcome.",
        "Ours are all rates and aggregates of each attribute and of their intersection; Fairlearn's ten metrics "
        "are of the intersection alone.",
        f"The values agree to {max(found['differ'], 1e-15):.0e}. Fairlearn had {rounds} of the {ROUNDS} rounds.",
    ]
    head = ("", "median, ms", "quickest, ms", "Fairlearn takes")
    return [Section("Measuring bias beside Fairlearn", head, rows, findings_of(median), notes, dict(seconds))]


def findings_of(median: Mapping[str, float]) -> list[Finding]:
    """Return the targets and what became of them, from median seconds."""
    return [
        at_most("every rate of 1M rows from text", median["strings"], STRING_SECONDS, " s"),
        at_most("every rate of 1M rows from codes", median["codes"], CODE_SECONDS, " s"),
        at_least("beside Fairlearn, from text", median["fairlearn"] / median["strings"], TIMES_FAIRLEARN, " ×"),
        at_most("1,000 bootstrap replicates", 1e3 * median["bootstrap"], BOOTSTRAP_MILLISECONDS, " ms"),
    ]
