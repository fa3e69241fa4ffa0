"""`fairmind demo`, as a person runs it, twice in one home."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = pytest.mark.long


def test_the_demo_does_the_main_job_and_a_second_run_adds_versions(tmp_path: Path, fairmind: Any) -> None:
    for run in (1, 2):
        done = fairmind(tmp_path, "demo", "--exit")
        assert done.returncode == 0, done.stderr[-3000:]
        printed = done.stdout
        split = re.search(r"split\s+([\d.]+)% of 4,000 people", printed)
        assert split is not None
        assert 17 < float(split.group(1)) < 23
        assert re.search(r"latency\s+[\d,]+ requests/s, p50 [\d.]+ ms, p99 [\d.]+ ms", printed)
        assert f"employment/{2 * run}" in printed
        rates = [line for line in printed.splitlines() if re.match(r"(champion|challenger)\s+SEX\s+[12]\s", line)]
        assert len(rates) == 4
        assert re.search(r"champion\s+SEX\s+equal_opportunity_dif\S*\s+0\.\d+\s+0\.1\s+pass", printed)
        with sqlite3.connect(tmp_path / "home" / "predictions.db") as log:
            (logged,) = log.execute("SELECT count(*) FROM prediction").fetchone()
            (known,) = log.execute("SELECT count(*) FROM outcome").fetchone()
        log.close()
        assert logged == known == 4_000 * run
    left = [process.cmdline() for process in psutil.process_iter() if str(tmp_path) in " ".join(_words(process))]
    assert left == []


def _words(process: psutil.Process) -> list[str]:
    try:
        return [*process.cmdline(), *process.environ().values()]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []
