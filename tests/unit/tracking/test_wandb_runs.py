"""Weights & Biases by its real SDK, offline: what it wrote into its transaction log is read back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.tracking.conftest import make_record
from tracking.errors import ProviderUnavailableError
from tracking.outbox import Receipt
from tracking.sender import SenderProcess
from tracking.settings import Provider

SECRET = "local" + "5" * 35
READ = """
import json, struct, sys
from wandb.proto import wandb_internal_pb2 as pb

def name(item):
    return item.key or ".".join(item.nested_key)

def records(content):
    # A log in LevelDB's form: blocks of 32 KiB, each record in parts of checksum, length and kind.
    assert content[:4] == b":W&B"
    at, whole = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last of its parts
            yield whole
            whole = b""

found = {"history": [], "summary": {}, "config": {}, "artifacts": [], "exit": None}
for data in records(open(sys.argv[1], "rb").read()):
    record = pb.Record()
    record.ParseFromString(data)
    match record.WhichOneof("record_type"):
        case "run":
            run = record.run
            found["run"] = [run.run_id, run.display_name, run.project, run.entity, run.job_type, run.host]
            found["tags"] = list(run.tags)
            found["config"] |= {name(item): json.loads(item.value_json) for item in run.config.update}
        case "history":
            found["history"].append({name(item): json.loads(item.value_json) for item in record.history.item})
        case "summary":
            found["summary"] |= {name(item): json.loads(item.value_json) for item in record.summary.update}
        case "artifact":
            files = [[entry.path, entry.local_path] for entry in record.artifact.manifest.contents]
            found["artifacts"].append([record.artifact.name, record.artifact.type, files])
        case "exit":
            found["exit"] = record.exit.exit_code
print(json.dumps(found))
"""


@pytest.fixture
def sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SenderProcess]:
    monkeypatch.setenv("WANDB_MODE", "offline")
    options: dict[str, Any] = {"project": "fairness", "entity": "team", "base_url": "http://127.0.0.1:9"}
    options |= {"folder": str(tmp_path / "wandb"), "request_seconds": 30.0}
    (tmp_path / "wandb").mkdir()
    made = SenderProcess(Provider.WANDB, options, {"WANDB_API_KEY": SECRET})
    yield made
    made.close()


def kept(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "record.json"
    path.write_text(make_record(**changes).model_dump_json())
    return path


def logs(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "wandb" / "offline" / "wandb").glob("offline-run-*/*.wandb"))


def read(path: Path) -> dict[str, Any]:
    # In a process of its own: the SDK's protobuf classes and ours are not for one process.
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_run_has_config_history_summary_tags_and_both_reports(sender: SenderProcess, tmp_path: Path) -> None:
    record = make_record()
    assert sender.deliver(kept(tmp_path), 120) == ("t-1", Receipt(record.delivery_id, None))
    (log,) = logs(tmp_path)
    found = read(log)
    run_id, name, project, entity, kind, host = found["run"]
    assert (run_id, name, project, entity, kind) == (
        record.delivery_id,
        record.run_name,
        "fairness",
        "team",
        "ml_bias",
    )
    assert host == "fairmind"
    assert set(found["tags"]) == {"ml_bias", "credit", "fairmind", "bias_detection"}
    config = {key: value for key, value in found["config"].items() if key != "_wandb"}
    assert config == {
        "test_id": "t-1",
        "model_id": "credit",
        "test_type": "ml_bias",
        "dataset_id": "people",
        "model_version": "3",
        "rows": 12,
        "metadata_test_id": "another",
    }
    (history,) = found["history"]
    numbers = {key: value for key, value in history.items() if not key.startswith("_")}
    assert numbers == {
        "accuracy": 0.85,
        "passed": 1.0,
        "groups_female_selection_rate": 0.25,
        "groups_male_selection_rate": 0.5,
        "summary_rows": 12.0,
    }
    assert history["_step"] == 0
    assert found["summary"].items() >= numbers.items()
    for key, value in {
        "bias_detected": True,
        "risk_level": "high",
        "rows": 12,
        "metrics_not_finite": "groups_female_ratio",
        "fairmind_delivery": record.delivery_id,
    }.items():
        assert found["summary"][key] == value
    ((artifact, artifact_type, files),) = found["artifacts"]
    assert (artifact, artifact_type) == (f"bias-test-{record.delivery_id}", "bias_test")
    contents = {name: Path(local) for name, local in files}
    assert set(contents) == {"bias_test.json", "bias_test.html"}
    assert contents["bias_test.html"].read_text() == "<p>Größe</p>"
    assert json.loads(contents["bias_test.json"].read_text())["id"] == "t-1"
    assert found["exit"] == 0


def test_the_same_test_sent_again_is_one_run_and_another_is_another(sender: SenderProcess, tmp_path: Path) -> None:
    for _ in range(2):
        sender.deliver(kept(tmp_path), 120)
    assert len(logs(tmp_path)) == 1
    sender.deliver(kept(tmp_path, test_id="t-2"), 120)
    assert len(logs(tmp_path)) == 2
    assert len({read(log)["run"][1] for log in logs(tmp_path)}) == 2


def test_ids_too_long_for_a_label_are_cut(sender: SenderProcess, tmp_path: Path) -> None:
    sender.deliver(kept(tmp_path, model_id="m" * 500), 120)
    (log,) = logs(tmp_path)
    found = read(log)
    assert "m" * 64 in found["tags"]
    assert found["config"]["model_id"] == "m" * 500


def test_the_key_is_in_no_file_and_on_no_command_line(sender: SenderProcess, tmp_path: Path) -> None:
    sender.deliver(kept(tmp_path), 120)
    assert sender.process_id is not None
    assert SECRET.encode() not in Path(f"/proc/{sender.process_id}/cmdline").read_bytes()
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holding == []


def test_a_mode_that_sends_nothing_is_a_problem_and_no_delivery(
    sender: SenderProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(ProviderUnavailableError, match="WANDB_MODE=disabled sends nothing"):
        sender.deliver(kept(tmp_path), 120)
