"""What a rollout's evidence costs to keep, and to judge once ten million exposures are counted: no server."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

from loadtests.bench.contenders import ONE_THREAD
from loadtests.bench.findings import Finding, at_most
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage
from loadtests.errors import AnswersDifferError

EXPOSURES: Final = 10_000_000
GUARDRAILS: Final = 6
ROUNDS: Final = 9
SECONDS: Final = 1.0
_SCRIPT: Final = Path(__file__).parent.parent / "rollout-scripts" / "evidence.py"
_LOOKS: Final = {
    "read_seconds": "evidence of all steps, read",
    "look_seconds": "the same, and six guardrails judged",
}
_TITLES: Final = {
    "unsplit": "kept beside the log, per row of a model that is not split",
    "new": "kept beside the log, per row of a unit seen for the first time, exposed and answered",
    "known": "kept beside the log, per row of a unit that was seen before",
}


def run(stage: Stage) -> list[Section]:
    """Fill the counts of a rollout as ten million exposures would, read them, and show its sink rows."""
    stage.say(f"{EXPOSURES:,} exposures are counted")
    folder = stage.scratch / "rollout_evaluation"
    folder.mkdir()
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, str(_SCRIPT), str(folder), str(EXPOSURES), str(ROUNDS)],
        env={**os.environ, **ONE_THREAD},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    if found["counted"] != EXPOSURES:
        raise AnswersDifferError("the evidence", 0, f"{found['counted']:,} of {EXPOSURES:,} exposures are counted")
    if len(found["verdicts"]) != GUARDRAILS or "error" in found["verdicts"].values():
        raise AnswersDifferError("the evaluation", 0, f"the verdicts are {found['verdicts']}")
    rows = [
        [title, f"{1e3 * statistics.median(found[kind]):,.1f} ms", f"{1e3 * max(found[kind]):,.1f} ms"]
        for kind, title in _LOOKS.items()
    ]
    for kind, title in _TITLES.items():
        each = found["row_seconds"][kind]
        rows.append([title, f"{1e6 * statistics.median(each):,.1f} µs", f"{1e6 * max(each):,.1f} µs"])
    notes = [
        f"{EXPOSURES:,} exposures of a ramp in four steps, two arms, six guardrails and nine groups are "
        f"{found['cells']:,} rows of counts in SQLite. No evaluation reads exposures, or the units they are of.",
    ]
    head = ("", "median", "slowest")
    raw = {**{kind: found[kind] for kind in _LOOKS}, **found["row_seconds"]}
    findings = findings_of(*(statistics.median(found[kind]) for kind in _LOOKS))
    return [Section("A rollout of ten million exposures", head, rows, findings, notes, raw)]


def findings_of(read: float, look: float) -> list[Finding]:
    """Return the targets and what became of them, from median seconds."""
    return [
        at_most("evidence of a rollout over 10M exposures", read, SECONDS, " s"),
        at_most("an evaluation with 6 guardrails over 10M exposures", look, SECONDS, " s"),
    ]
