"""`/api/v1/mlops`: FairMind's bodies; and a bias test is logged, but never held up by a provider."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from assessment.fairmind import LlmRecord, MetricRecord
from assessment.result import BiasTestResult
from assessment.store import find
from assessment.stored import StoredTest
from bentos.bias_test_service import BiasTestService
from bentos.companion import Companion
from bentos.control_api import control_api
from monitoring.metrics import ServingMetrics
from tests.fakes.senders import FakeSender
from tracking import opening
from tracking.outbox import Outbox
from tracking.record import BiasTestRecord, BiasTestType
from tracking.settings import Choice, Provider, TrackingSettings
from tracking.tracker import Tracker

TEST = {
    "test_id": "test_123",
    "model_id": "my_model",
    "test_type": "ml_bias",
    "results": {"accuracy": 0.85, "bias_score": 0.12},
    "metadata": {"model_type": "classification"},
}
BIAS_TEST = {
    "favourable": 1,
    "predictions": [1, 0] * 20,
    "instances": [{"protected": {"SEX": str(row % 4 // 2)}, "outcome": 1} for row in range(40)],
}

Ask = Callable[..., httpx.Response]
NewApi = Callable[..., Ask]


@pytest.fixture
def new_api(new_companion: Callable[..., Companion], tmp_path: Path) -> NewApi:
    """Makes control APIs over a Companion whose tracker is the given one, or that of the given settings."""

    def make(tracking: Tracker | TrackingSettings) -> Ask:
        companion = new_companion()
        if isinstance(tracking, Tracker):
            companion.tracker = tracking
        else:
            companion.tracker = _opened(companion, tracking)
        companion.tracker.start()
        application = control_api(companion, tmp_path)

        async def ask(method: str, path: str, **request: Any) -> httpx.Response:
            transport = httpx.ASGITransport(application)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **request)

        return lambda method, path, **request: asyncio.run(ask(method, path, **request))

    return make


def _opened(companion: Companion, settings: TrackingSettings) -> Tracker:
    from tracking.opening import open_tracker

    return open_tracker(settings, companion.home, None, observer=companion.metrics)


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


@pytest.fixture
def api(new_api: NewApi, sender: FakeSender, outbox: Outbox) -> Ask:
    settings = TrackingSettings(provider=Choice.MLFLOW, retry_seconds=0.01, answer_seconds=5)
    return new_api(Tracker(settings, outbox, {Provider.MLFLOW: sender}))


@pytest.fixture
def silent() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def nested(deep: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(deep):
        value = {"deeper": value}
    return value


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_the_status_has_fairminds_body(api: Ask) -> None:
    answer = api("GET", "/api/v1/mlops/status").json()
    uri = answer["status"]["mlflow"].pop("tracking_uri")
    assert uri.startswith("sqlite:///")
    assert answer == {
        "success": True,
        "status": {
            "provider": "mlflow",
            "wandb": {"enabled": False, "project": None, "entity": None},
            "mlflow": {"enabled": True, "experiment_name": "fairmind_bias_detection"},
        },
        "enabled": True,
    }


def test_a_test_is_logged_and_its_run_found_by_its_id(api: Ask) -> None:
    answer = api("POST", "/api/v1/mlops/log-test", json=TEST)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    run_id = told["logging_status"]["mlflow"]["run_id"]
    url = f"http://runs/{run_id}"
    assert told == {
        "success": True,
        "logging_status": {
            "wandb": {"enabled": False, "success": False},
            "mlflow": {"enabled": True, "success": True, "run_id": run_id, "url": url},
        },
    }
    found = api("GET", f"/api/v1/mlops/run-url/mlflow/{run_id}")
    assert found.json() == {"success": True, "provider": "mlflow", "run_id": run_id, "url": url}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"test_id": None}, "test_id"),
        ({"test_type": "other"}, "test_type"),
        ({"results": 3}, "results"),
        ({"metadata": nested(65)}, "metadata"),
    ],
)
def test_a_body_that_is_no_test_is_422_and_names_the_field(api: Ask, change: dict[str, Any], field: str) -> None:
    answer = api("POST", "/api/v1/mlops/log-test", json=TEST | change)
    assert refused(answer) == (422, "invalid_request")
    assert answer.json()["error"]["message"].startswith(field)


@pytest.mark.parametrize(
    "results", [b'{"rate": NaN, "other": Infinity}', b'{"said": "\\ud800"}', b'{"huge": 1e999}']
)
def test_odd_values_are_logged(api: Ask, sender: FakeSender, results: bytes) -> None:
    body = b'{"test_id": "t", "model_id": "m", "test_type": "llm_bias", "results": ' + results + b"}"
    answer = api("POST", "/api/v1/mlops/log-test", content=body, headers={"content-type": "application/json"})
    assert answer.json()["logging_status"]["mlflow"]["success"], answer.text
    assert list(sender.runs.values()) == ["t"]


def test_without_a_provider_a_test_is_refused_with_the_remedy(new_api: NewApi, outbox: Outbox) -> None:
    api = new_api(Tracker(TrackingSettings(), outbox, {}))
    assert api("GET", "/api/v1/mlops/status").json()["enabled"] is False
    answer = api("POST", "/api/v1/mlops/log-test", json=TEST)
    assert refused(answer) == (400, "tracking_disabled")
    assert "MLOPS_PROVIDER" in answer.json()["error"]["message"]


def test_addresses_that_nobody_has_are_refused(api: Ask, sender: FakeSender) -> None:
    path = "/api/v1/mlops/run-url"
    assert refused(api("GET", f"{path}/neptune/abc")) == (400, "unknown_provider")
    assert refused(api("GET", f"{path}/wandb/abc")) == (400, "tracking_disabled")
    assert refused(api("GET", f"{path}/mlflow/abc")) == (404, "run_not_found")
    sender.is_away = True
    away = api("GET", f"{path}/mlflow/abc")
    assert refused(away) == (503, "provider_unavailable")
    assert away.headers["retry-after"] == "1"


def logged(sender: FakeSender, count: int) -> dict[str, BiasTestRecord]:
    """Return the records that have arrived, by the ids of their tests, once there are so many."""
    deadline = time.monotonic() + 10
    while len(sender.records) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return sender.records


def test_bias_tests_of_every_kind_are_logged_and_ours_with_their_report(
    new_companion: Callable[..., Companion], tmp_path: Path, sender: FakeSender
) -> None:
    companion = new_companion()
    companion.tracker = Tracker(
        TrackingSettings(provider=Choice.MLFLOW), Outbox(tmp_path / "outbox"), {Provider.MLFLOW: sender}
    )
    companion.tracker.start()
    service = BiasTestService(companion)
    at_once = service.ask(BIAS_TEST, user_id="ada")
    assert isinstance(at_once, BiasTestResult)
    task = service.ask({**BIAS_TEST, "task": True}, user_id="ben")
    assert isinstance(task, StoredTest)
    service.work()
    language = service.keep_llm(
        LlmRecord(model_id="gpt", results={"toxicity": MetricRecord(score=0.2, passed=True)}), user_id="cyd"
    )
    records = logged(sender, 3)
    assert {id_: record.user_id for id_, record in records.items()} == {
        at_once.test_id: "ada",
        task.id: "ben",
        language["test_id"]: "cyd",
    }
    assert records[at_once.test_id].results == at_once.model_dump(mode="json")
    assert [id_ for id_, record in records.items() if record.html is None] == [language["test_id"]]
    assert records[language["test_id"]].test_type is BiasTestType.LLM_BIAS
    assert records[language["test_id"]].results == language
    companion.tracker.stop()


def test_a_test_says_which_runs_it_has(
    new_companion: Callable[..., Companion], sender: FakeSender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_PROVIDER", "mlflow")
    monkeypatch.setattr(opening, "_sender", lambda *_: sender)
    companion = new_companion()
    companion.tracker.start()
    test = BiasTestService(companion).ask(BIAS_TEST, user_id="ada")
    assert isinstance(test, BiasTestResult)
    logged(sender, 1)
    deadline = time.monotonic() + 10
    while "mlflow_run_id" not in (known := find(companion.control, test.test_id).to_dict()["metadata"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert sender.runs == {known["mlflow_run_id"]: test.test_id}
    companion.tracker.stop()


def test_where_too_many_wait_a_bias_test_is_answered_and_what_is_dropped_is_counted(
    new_api: NewApi, sender: FakeSender, tmp_path: Path
) -> None:
    sender.is_away = True
    metrics = ServingMetrics(tmp_path / f"{os.getpid()}-1.json")
    outbox = Outbox(tmp_path / "outbox", max_waiting=1)
    api = new_api(
        Tracker(TrackingSettings(provider=Choice.MLFLOW), outbox, {Provider.MLFLOW: sender}, observer=metrics)
    )
    assert [api("POST", "/bias_test", json=BIAS_TEST).status_code for _ in range(3)] == [200] * 3
    metrics.save()
    assert 'fairmind_tracking_results_total{outcome="dropped"} 2.0' in api("GET", "/metrics").text


def test_a_provider_that_is_away_is_a_problem_of_the_deployment_and_a_number_for_prometheus(
    api: Ask, sender: FakeSender
) -> None:
    sender.is_away = True
    api("POST", "/bias_test", json=BIAS_TEST)
    deadline = time.monotonic() + 10
    while "mlflow" not in (problems := api("GET", "/api/v1/status").json()["problems"]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert problems["mlflow"] == "it is away; results that wait: 1"
    assert "fairmind_tracking_waiting 1.0" in api("GET", "/metrics").text


def test_providers_that_hang_neither_fail_nor_slow_a_bias_test(new_api: NewApi, silent: str) -> None:
    """The real processes that send, beside a server that takes connections and never answers."""
    seconds = {}
    for choice in (Choice.NONE, Choice.WANDB):
        settings = TrackingSettings(provider=choice, wandb_base_url=silent, wandb_api_key=SecretStr("x" * 40))
        api = new_api(settings)
        took = []
        for _ in range(5):
            began = time.monotonic()
            assert api("POST", "/bias_test", json=BIAS_TEST).status_code == 200
            took.append(time.monotonic() - began)
        seconds[choice] = min(took)
    assert seconds[Choice.WANDB] < seconds[Choice.NONE] + 0.25
