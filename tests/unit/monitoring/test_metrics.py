"""Metrics of many processes: what a dead one held is gone, what it counted stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from monitoring.exposition import StateMetrics, exposition
from monitoring.metrics import prune_metrics

WORKER = """
import pathlib, sys
from monitoring.metrics import process_metrics
metrics = process_metrics(pathlib.Path(sys.argv[1]))
metrics.for_model("credit").queue_changed(3)
metrics.logged("spooled", 7)
metrics.save()
print("counted", flush=True)
sys.stdin.read()
"""


def start(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "counted\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate()


def samples(folder: Path) -> dict[str, float]:
    text = exposition(StateMetrics(), folder).decode()
    return {
        sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples
    }


def test_the_queue_of_a_dead_process_is_not_waited_in_any_more(tmp_path: Path) -> None:
    tmp_path.joinpath("metrics").mkdir()
    folder = tmp_path / "metrics"
    one, other = start(folder), start(folder)
    try:
        assert samples(folder)["fairmind_queue_depth"] == 6
        end(one)
        found = samples(folder)
        assert found["fairmind_queue_depth"] == 3
        assert found["fairmind_prediction_log_rows_total"] == 14
    finally:
        end(one)
        end(other)
    assert "fairmind_queue_depth" not in samples(folder)


def test_folders_of_dead_deployments_are_removed_and_no_others(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    own = tmp_path / f"metrics-{dead.pid}"
    gone = tmp_path / "metrics-99999999999"  # more than any process can have
    others = [tmp_path / name for name in (f"metrics-{os.getpid()}", "metrics-of-mine", "models-1")]
    for folder in (own, gone, *others):
        folder.mkdir()
        (folder / "counter_1.db").touch()
    prune_metrics(tmp_path, own)
    assert sorted(tmp_path.iterdir()) == sorted([own, *others])
    prune_metrics(tmp_path, others[0])
    assert sorted(tmp_path.iterdir()) == sorted(others)
