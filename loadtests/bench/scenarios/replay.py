"""What the replay of a million logged rows costs: no server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from loadtests.bench.findings import Finding, at_most
from loadtests.bench.models import STRINGS
from loadtests.bench.report import Section
from loadtests.bench.stage import Stage
from loadtests.errors import AnswersDifferError
from sources.named import CensusPart, census_employment

ROWS: Final = 1_000_000
SECONDS: Final = 60.0
BYTES: Final = 1e9
_SCRIPTS: Final = Path(__file__).parent.parent / "replay-scripts"


def run(stage: Stage) -> list[Section]:
    """Log answers to a million people as four weeks would, and replay another version on them."""
    folder = stage.scratch / "replay"
    folder.mkdir()
    people = census_employment(CensusPart.LATER_YEARS).read(stage.data_folder)
    labels = census_employment(CensusPart.LATER_LABELS).read(stage.data_folder)
    people.merge(labels, on="id").to_parquet(folder / "people.parquet")
    stage.say(f"{ROWS:,} rows are logged")
    _script("logged.py", str(stage.home), STRINGS.name, str(ROWS), str(folder / "people.parquet"), str(folder))
    stage.say("and replayed")
    found: dict[str, Any] = json.loads(_script("cost.py", STRINGS.name, str(folder)))
    if found["rows"] != ROWS or found["differing"]:
        problem = f"{found['rows']:,} of {ROWS:,} rows are compared, {found['differing']} come out otherwise"
        raise AnswersDifferError("the replay", 0, problem)
    each = 1e6 * found["seconds"] / ROWS
    rows = [
        ["time", f"{found['seconds']:,.1f} s", f"{each:,.1f} µs"],
        ["CPU", f"{found['cpu_seconds']:,.1f} s", f"{1e6 * found['cpu_seconds'] / ROWS:,.1f} µs"],
        ["memory at its peak", f"{found['peak_bytes'] / 1e6:,.0f} MB", ""],
    ]
    notes = [
        f"{ROWS:,} requests of one row over four weeks ({STRINGS.title}), each of its own unit, two protected "
        "attributes each, in SQLite and Parquet; another logistic regression scores them, with outcomes of "
        f"{found['known']:,} rows. {found['changed_decisions']:,} decisions would change: {found['verdict']}.",
    ]
    head = ("", "all rows", "per row")
    return [Section("The replay of a million logged rows", head, rows, findings_of(found), notes, found)]


def findings_of(found: dict[str, Any]) -> list[Finding]:
    """Return the targets and what became of them."""
    return [
        at_most("replay of 1M logged rows", found["seconds"], SECONDS, " s"),
        at_most("memory of that replay at its peak", found["peak_bytes"] / 1e6, BYTES / 1e6, " MB"),
    ]


def _script(name: str, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, str(_SCRIPTS / name), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
