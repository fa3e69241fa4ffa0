"""`fairmind mlops`: what is on, and a test in a file that arrives, waits, or is no test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cli.children import free_port
from tracking.outbox import Outbox, Receipt
from tracking.record import BiasTestRecord
from tracking.settings import Provider

Command = Callable[..., Result]
TEST: dict[str, Any] = {
    "test_id": "test_123",
    "model_id": "my_model",
    "test_type": "ml_bias",
    "results": {"accuracy": 0.85},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "test.json"
    path.write_text(json.dumps(TEST))
    return path


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLOPS_PROVIDER", "WANDB_API_KEY", "WANDB_ENTITY", "WANDB_PROJECT", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


def test_the_status_says_what_is_on(fairmind: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.loads(fairmind("mlops", "status", "--json").stdout)
    assert (told["enabled"], told["status"]["provider"], told["delivery"]) == (False, "none", {})
    monkeypatch.setenv("MLOPS_PROVIDER", "Both")
    monkeypatch.setenv("WANDB_API_KEY", "hunter2")
    shown = fairmind("mlops", "status")
    assert shown.exit_code == 0
    assert "MLOPS_PROVIDER=both" in shown.stdout
    assert "project=fairmind-bias-detection" in shown.stdout
    assert "hunter2" not in shown.output


def test_a_test_is_logged_offline_and_its_run_is_told(
    fairmind: Command, file: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("MLOPS_PROVIDER", "wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("FAIRMIND_TRACKING_ANSWER_SECONDS", "120")
    done = fairmind("mlops", "log-test", str(file), "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)["logging_status"]["wandb"]
    assert (told["enabled"], told["success"], told["url"]) == (True, True, None)
    (log,) = home.glob("tracking/wandb/offline/wandb/offline-run-*/*.wandb")
    assert told["run_id"] in log.name


def test_a_provider_that_is_away_is_told_with_status_1_and_the_test_is_kept(
    fairmind: Command, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_PROVIDER", "mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("FAIRMIND_TRACKING_ANSWER_SECONDS", "120")
    done = fairmind("mlops", "log-test", str(file))
    assert done.exit_code == 1
    assert "does not answer; the result is kept and sent later" in done.stdout
    delivery = json.loads(fairmind("mlops", "status", "--json").stdout)["delivery"]["mlflow"]
    assert delivery["waiting"] == 1
    assert "does not answer" in delivery["problem"]


def test_a_result_that_was_refused_is_sent_again_from_its_file(
    fairmind: Command, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    outbox = Outbox(home / "tracking")
    outbox.add(BiasTestRecord.of("t", "m", "ml_bias", {"rate": float("nan")}), [Provider.WANDB])
    (entry,) = outbox.waiting()
    outbox.settle(entry, Provider.WANDB, Receipt(refused="too odd"))
    (refused,) = outbox.folder("refused").iterdir()
    monkeypatch.setenv("MLOPS_PROVIDER", "wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("FAIRMIND_TRACKING_ANSWER_SECONDS", "120")
    done = fairmind("mlops", "log-test", str(refused))
    assert (done.exit_code, entry.delivery_id in done.stdout) == (0, True), done.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no object"),
        ("{}", "lacks test_id, model_id, test_type, results"),
        (json.dumps(TEST | {"test_type": "other"}), "other"),
        (json.dumps(TEST | {"test_id": ""}), "id: String should have at least 1 character"),
    ],
)
def test_a_file_that_is_no_test_is_bad_input(fairmind: Command, file: Path, content: str, said: str) -> None:
    file.write_text(content)
    done = fairmind("mlops", "log-test", str(file))
    assert said in str(done.exception)


def test_without_a_provider_the_remedy_is_told(fairmind: Command, file: Path) -> None:
    done = fairmind("mlops", "log-test", str(file))
    assert "set MLOPS_PROVIDER" in str(done.exception)
