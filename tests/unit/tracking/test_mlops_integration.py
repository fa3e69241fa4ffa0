"""FairMind's Python API: what it says of itself, logging by hand, addresses of runs, and saving a test's result."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.fakes.senders import FakeSender
from tests.unit.tracking.conftest import Counts, NewTracker, make_record
from tests.waiting import until
from tracking.bias_test_results import BiasTestResults
from tracking.errors import (
    ProviderUnavailableError,
    RunNotFoundError,
    TrackingDisabledError,
    UnknownProviderError,
)
from tracking.mlops_integration import MlopsIntegration
from tracking.outbox import Outbox
from tracking.record import BiasTestRecord
from tracking.settings import Provider

TEST: dict[str, Any] = {"test_id": "t", "model_id": "m", "test_type": "ml_bias", "results": {"accuracy": 0.5}}
URI = "https://ada:hunter2@mlflow.example/"


@pytest.fixture
def integration(new_tracker: NewTracker, sender: FakeSender) -> MlopsIntegration:
    tracker = new_tracker(sender)
    tracker.start()
    return MlopsIntegration(tracker, URI)


def test_the_status_says_what_is_on_and_no_secret(new_tracker: NewTracker) -> None:
    tracker = new_tracker(
        FakeSender(Provider.WANDB), FakeSender(), wandb_api_key=SecretStr("hunter3"), wandb_entity="team"
    )
    integration = MlopsIntegration(tracker, URI)
    assert integration.is_enabled()
    assert integration.get_status() == {
        "provider": "both",
        "wandb": {"enabled": True, "project": "fairmind-bias-detection", "entity": "team"},
        "mlflow": {
            "enabled": True,
            "tracking_uri": "https://mlflow.example",
            "experiment_name": "fairmind_bias_detection",
        },
    }


def test_what_is_off_has_no_settings(new_tracker: NewTracker) -> None:
    integration = MlopsIntegration(new_tracker(), URI)
    assert not integration.is_enabled()
    status = integration.get_status()
    assert status["wandb"] == {"enabled": False, "project": None, "entity": None}
    assert status["mlflow"] == {"enabled": False, "tracking_uri": None, "experiment_name": None}
    off = {"enabled": False, "success": False}
    assert integration.log_bias_test(**TEST) == {"wandb": off, "mlflow": off}


def test_a_test_logged_by_hand_is_told_with_its_run(integration: MlopsIntegration, sender: FakeSender) -> None:
    told = integration.log_bias_test(**TEST, metadata={"a": 1})
    (run_id,) = sender.runs
    assert told == {
        "wandb": {"enabled": False, "success": False},
        "mlflow": {"enabled": True, "success": True, "run_id": run_id, "url": f"http://runs/{run_id}"},
    }
    assert integration.log_bias_test(**TEST, metadata={"a": 1}) == told
    assert len(sender.runs) == 1


def test_a_provider_that_is_away_is_told_at_once_and_gets_it_later(
    integration: MlopsIntegration, sender: FakeSender, outbox: Outbox
) -> None:
    sender.is_away = True
    told = integration.log_bias_test(**TEST)["mlflow"]
    assert told == {
        "enabled": True,
        "success": False,
        "run_id": None,
        "error": "it is away; the result is kept and sent later",
    }
    sender.is_away = False
    until(lambda: not outbox.waiting())
    assert list(sender.runs.values()) == ["t"]


def test_a_provider_that_hangs_is_waited_for_no_longer_than_the_settings_say(
    new_tracker: NewTracker, sender: FakeSender
) -> None:
    sender.hang.clear()
    tracker = new_tracker(sender, answer_seconds=0.2)
    tracker.start()
    began = time.monotonic()
    told = MlopsIntegration(tracker, URI).log_bias_test(**TEST)["mlflow"]
    assert 0.2 <= time.monotonic() - began < 3
    assert told["error"] == "it has not answered yet; the result is kept and sent later"


def test_a_refused_test_is_told_with_the_reason(integration: MlopsIntegration, sender: FakeSender) -> None:
    sender.refuses = {"t"}
    assert integration.log_bias_test(**TEST)["mlflow"]["error"] == "too odd"


def test_a_full_outbox_is_told_and_counted(
    new_tracker: NewTracker, sender: FakeSender, tmp_path: Path, counts: Counts
) -> None:
    tracker = new_tracker(sender, outbox=Outbox(tmp_path / "small", max_waiting=1))
    tracker.submit(make_record())
    told = MlopsIntegration(tracker, URI).log_bias_test(**TEST)["mlflow"]
    assert "FAIRMIND_TRACKING_MAX_WAITING" in told["error"]
    assert counts["dropped"] == 1


def test_a_disk_that_refuses_is_told(new_tracker: NewTracker, sender: FakeSender, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    tracker = new_tracker(sender, outbox=Outbox(tmp_path / "file"))
    assert MlopsIntegration(tracker, URI).log_bias_test(**TEST)["mlflow"]["error"] == "it cannot be kept on disk"


def test_a_test_is_logged_by_hand_where_an_event_loop_is_running(
    integration: MlopsIntegration, sender: FakeSender
) -> None:
    async def notebook() -> dict[str, Any]:
        return integration.log_bias_test(**TEST)

    assert asyncio.run(notebook())["mlflow"]["success"]
    assert list(sender.runs.values()) == ["t"]


def test_addresses_of_runs_are_asked_for_once(integration: MlopsIntegration, sender: FakeSender) -> None:
    sender.runs["abc"] = "t"
    assert integration.get_run_url("mlflow", "abc") == "http://runs/abc"
    sender.is_away = True
    assert integration.get_run_url("mlflow", "abc") == "http://runs/abc"
    with pytest.raises(ProviderUnavailableError):
        integration.get_run_url("mlflow", "def")


def test_a_provider_that_hangs_keeps_few_who_ask_for_addresses(
    new_tracker: NewTracker, sender: FakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking, answered = threading.Barrier(5), threading.Event()

    def hang(run_id: str, seconds: float) -> str:
        asking.wait(seconds)
        answered.wait(seconds)
        return f"http://runs/{run_id}"

    monkeypatch.setattr(sender, "url", hang)
    integration = MlopsIntegration(new_tracker(sender, timeout_seconds=20), URI)
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(integration.get_run_url, "mlflow", str(number)) for number in range(4)]
        asking.wait(10)
        with pytest.raises(ProviderUnavailableError, match="4 others wait"):
            integration.get_run_url("mlflow", "more")
        answered.set()
        assert [future.result() for future in waiting] == [f"http://runs/{number}" for number in range(4)]


def test_an_address_that_needs_no_asking_is_made_from_the_settings(new_tracker: NewTracker) -> None:
    away = FakeSender(Provider.WANDB)
    away.is_away = True
    integration = MlopsIntegration(new_tracker(away, wandb_entity="my team"), URI)
    expected = "https://wandb.ai/my%20team/fairmind-bias-detection/runs/abc"
    assert integration.get_run_url("wandb", "abc") == expected


@pytest.mark.parametrize(
    ("provider", "run_id", "error"),
    [
        ("neptune", "abc", UnknownProviderError),
        ("wandb", "abc", TrackingDisabledError),
        ("mlflow", "abc", RunNotFoundError),
        ("mlflow", "../../etc", RunNotFoundError),
    ],
)
def test_addresses_that_nobody_has(
    integration: MlopsIntegration, provider: str, run_id: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        integration.get_run_url(provider, run_id)


class Store:
    """Keeps records in memory, or refuses."""

    def __init__(self) -> None:
        self.kept: list[BiasTestRecord] = []
        self.is_away = False

    def save(self, record: BiasTestRecord) -> None:
        if self.is_away:
            raise ConnectionError("password=hunter2")
        self.kept.append(record)


SAVED: dict[str, Any] = {**TEST, "user_id": "ada", "dataset_id": None, "metadata": {"a": 1}}


def test_saving_a_result_stores_and_logs_it(new_tracker: NewTracker, sender: FakeSender, outbox: Outbox) -> None:
    store, tracker = Store(), new_tracker(sender)
    tracker.start()
    assert asyncio.run(BiasTestResults(store, tracker).save_test_result(**SAVED))
    until(lambda: not outbox.waiting())
    (kept,) = store.kept
    assert (kept.id, kept.user_id, kept.metadata) == ("t", "ada", {"a": 1})
    assert list(sender.runs) == [kept.delivery_id]


def test_what_could_not_be_stored_is_not_logged_and_said_to_be_so(
    new_tracker: NewTracker, sender: FakeSender, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store()
    store.is_away = True
    assert not asyncio.run(BiasTestResults(store, new_tracker(sender)).save_test_result(**SAVED))
    assert outbox.waiting() == []
    assert "could not be stored: ConnectionError" in caplog.text
    assert "hunter2" not in caplog.text


def test_saving_waits_for_no_provider(new_tracker: NewTracker, sender: FakeSender) -> None:
    sender.hang.clear()
    tracker = new_tracker(sender)
    tracker.start()
    began = time.monotonic()
    assert asyncio.run(BiasTestResults(Store(), tracker).save_test_result(**SAVED))
    assert time.monotonic() - began < 2
