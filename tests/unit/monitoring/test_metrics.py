"""Metrics of many processes: what a dead one held is gone, what it counted stays."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitoring.exposition import StateMetrics, exposition
from monitoring.metrics import BATCH_ROWS, QUEUE_DEPTH, ServingMetrics
from monitoring.metrics_folders import process_metrics, prune_metrics

WORKER = """
import pathlib, sys
from monitoring.metrics_folders import process_metrics
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


def age(*folders: Path) -> None:
    """Make folders as if nobody had changed them for an hour."""
    for folder in folders:
        os.utime(folder, (time.time() - 3600,) * 2)


def test_folders_of_dead_deployments_are_removed_and_no_others(tmp_path: Path) -> None:
    # Process ids say nothing: another container's deployment has ids that are nobody's here, or somebody else's.
    own, gone, used = (tmp_path / name for name in ("metrics-7-100", f"metrics-{os.getpid()}-1", "metrics-7-200"))
    before, fresh = tmp_path / "metrics-8", tmp_path / "metrics-7-300"
    others = [tmp_path / "metrics-of-mine", tmp_path / "models-1"]
    for folder in (own, before, fresh, *others):
        folder.mkdir()
    for folder in (gone, used):
        folder.mkdir()
        processes = [start(folder), start(folder)]
        end(processes.pop())
        if folder == gone:
            processes[0].kill()
            end(processes[0])
    try:
        age(own, gone, used, before, *others)
        prune_metrics(tmp_path, own)
        assert sorted(tmp_path.iterdir()) == sorted([own, used, fresh, *others])
    finally:
        end(processes[0])
    age(used)
    prune_metrics(tmp_path, fresh)
    assert sorted(tmp_path.iterdir()) == sorted([fresh, *others])


def test_a_supervisor_whose_process_id_was_another_s_before_has_a_folder_of_its_own() -> None:
    program = "import pathlib, monitoring.metrics_folders as m; print(m.deployment_folder(pathlib.Path('run')))"
    told = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert told[0] == told[1]
    assert told[0].startswith(f"run/metrics-{os.getpid()}-")
    # Every process of another parent is in another folder, and so is every one of a parent that started later.
    nested = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {program!r}]).returncode)"
    other = subprocess.run([sys.executable, "-c", nested], capture_output=True, text=True, check=True)
    _, _, started = told[0].rpartition("-")
    assert not other.stdout.strip().endswith(f"-{started}")


def test_a_process_id_that_is_given_again_brings_no_queue_back(tmp_path: Path) -> None:
    before = ServingMetrics(tmp_path / f"{os.getpid()}-1.json")
    before.for_model("credit").queue_changed(500)
    before.logged("spooled", 7)
    before.save()
    now = process_metrics(tmp_path)
    now.for_model("credit").queue_changed(2)
    now.save()
    found = samples(tmp_path)
    assert found["fairmind_queue_depth"] == 2
    assert found["fairmind_prediction_log_rows_total"] == 7


def test_the_queues_of_the_versions_of_a_model_add_up() -> None:
    metrics = ServingMetrics()
    champion, challenger = metrics.for_model("credit"), metrics.for_model("credit")
    champion.queue_changed(40)
    challenger.queue_changed(2)
    challenger.queue_changed(0)
    assert metrics.value(QUEUE_DEPTH, "credit") == 40
    champion.queue_changed(0)
    assert metrics.value(QUEUE_DEPTH, "credit") == 0


def test_what_another_release_counted_in_other_buckets_does_not_stop_the_rest(tmp_path: Path) -> None:
    histograms = [[BATCH_ROWS, "credit", [1, 2], 3.0], ["fairmind_gone", "credit", [1], 1.0]]
    counters = [["fairmind_prediction_log_rows", "spooled", 7]]
    content = {"counter": counters, "gauge": [], "histogram": histograms}
    (tmp_path / "1-1.json").write_bytes(orjson.dumps(content))
    metrics = process_metrics(tmp_path)
    metrics.for_model("credit").batch_ran(3, 0.1)
    metrics.save()
    found = samples(tmp_path)
    assert found["fairmind_prediction_log_rows_total"] == 7
    assert found["fairmind_batch_rows_count"] == 1


def test_a_disk_that_refuses_is_said_once_and_nobody_is_served_worse(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "metrics"
    metrics = process_metrics(folder)
    metrics.logged("spooled", 1)
    metrics.save()
    shutil.rmtree(folder)  # taken for a dead deployment's
    metrics.logged("spooled", 1)
    metrics.save()
    assert samples(folder)["fairmind_prediction_log_rows_total"] == 2
    shutil.rmtree(folder)
    folder.touch()  # no folder can be made there
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            metrics.logged("spooled", 1)
            metrics.save()
    assert len(caplog.records) == 1
    folder.unlink()
    metrics.save()
    assert samples(folder)["fairmind_prediction_log_rows_total"] == 5
