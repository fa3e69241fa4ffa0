"""A real Prometheus scrapes real processes: faults become alerts in a webhook, every panel has data."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.observability import MONITORING, Prometheus, Webhook, observing, ran, tool
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.debian

DASHBOARDS = sorted((MONITORING / "grafana" / "dashboards").glob("*.json"))
VARIABLES = {"$model": ".*", "$__rate_interval": "10s", "[1h]": "[20s]"}
SETTINGS = {
    "FAIRMIND_REGISTRY_POLL_SECONDS": "0.5",
    "FAIRMIND_BENTOS_MAX_IN_FLIGHT": "4",
    "FAIRMIND_BENTOS_TIMEOUT_SECONDS": "20",
    "FAIRMIND_MONITORING_SEGMENT_SECONDS": "2",
}


class Traffic:
    """Everything a panel wants to see, over and over: predictions of both variants, refusals, outcomes."""

    def __init__(self, url: str, features: list[dict[str, Any]]) -> None:
        self._url, self._features = url, features
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._done.set()
            self._thread.join(60)

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30, trust_env=False) as client:
            count = 0
            while not self._done.is_set():
                count += 1
                with contextlib.suppress(httpx.HTTPError, KeyError):  # while there is a fault
                    self._round(client, count)
                self._done.wait(0.05)

    def _round(self, client: httpx.Client, count: int) -> None:
        rows = [
            {
                "features": self._features[(count + place) % len(self._features)],
                "unit": f"person-{count}-{place}",
                "protected": {"SEX": "ab"[(count + place) % 2]},
            }
            for place in range(5)
        ]
        answered = client.post("/predict", json={"instances": rows}).json()["predictions"]
        outcomes = [{"prediction_id": one["prediction_id"], "outcome": one["prediction"]} for one in answered]
        client.post("/api/v1/outcomes", json=outcomes)
        names = list(self._features[0])
        inputs = [
            {
                "name": name,
                "datatype": "BYTES" if isinstance(rows[0]["features"][name], str) else "FP64",
                "shape": [1],
                "data": [rows[0]["features"][name]],
            }
            for name in names
        ]
        client.post("/v2/models/small/infer", json={"inputs": inputs})
        if count % 10 == 0:
            client.post("/predict", json={"instances": [{"features": {"age": "forty"}}]})


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with Webhook().listening() as listening:
        yield listening


SPLIT: dict[str, Any] = {"model": "small", "steps": [{"weight": 0.3}]}
WATCHED: dict[str, Any] = {
    "model": "small",
    "steps": [{"mode": "shadow", "sample": 1.0, "min_duration": "1h"}],
    "guardrails": [{"metric": "error_rate", "margin": 0.5, "on_violation": "warn"}],
    "eval_interval": "1s",
}


def start(running: Any, plan: dict[str, Any]) -> None:
    """Start a rollout; the one before, if there is any, is given up."""
    for one in running.get("/api/v1/rollouts").json()["rollouts"]:
        if one["finished_at"] is None:
            running.post(f"/api/v1/rollouts/{one['id']}/abort", {})
    until(lambda: all(one["finished_at"] for one in running.get("/api/v1/rollouts").json()["rollouts"]))
    started = running.post("/api/v1/rollouts?override=it+is+watched+for+seconds", plan)
    assert started.status_code < 300, started.text


@pytest.fixture
def watched(served: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """For the dashboard of rollouts, one with guardrails and shadow traffic; then the split again."""
    if request.node.callspec.params["dashboard"].stem != "rollouts":
        yield
        return
    start(served, WATCHED)
    yield
    start(served, SPLIT)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    new_small: Callable[[Path], Any],
    small_features: list[dict[str, Any]],
) -> Iterator[Any]:
    """Two workers with a champion and a challenger, a rollout, and traffic."""
    deployment = new_small(tmp_path_factory.mktemp("observed") / "home")
    deployment.fairmind("models", "promote", "small/2", "--alias", "challenger")
    with deployment.serving(**SETTINGS) as running:
        running.wait_for_workers(lambda detail: detail["ready"])
        with Traffic(running.url, small_features).running():
            start(running, SPLIT)
            yield running


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, served: Any, webhook: Webhook) -> Iterator[Prometheus]:
    with observing(tmp_path_factory.mktemp("prometheus") / "data", served.url, webhook) as found:
        yield found


# ---- what is written ----


def test_rules_and_configurations_are_what_prometheus_and_alertmanager_take(tmp_path: Path) -> None:
    # The configuration names a file of credentials, which must be there to be checked.
    key = tmp_path / "key"
    key.touch()
    config = (MONITORING / "prometheus.yml").read_text(encoding="utf-8")
    config = config.replace("/run/secrets/fairmind-metrics-key", str(key))
    (tmp_path / "prometheus.yml").write_text(config, encoding="utf-8")
    (tmp_path / "alerts.yml").write_bytes((MONITORING / "alerts.yml").read_bytes())
    assert "SUCCESS" in ran(tool("promtool"), "check", "config", str(tmp_path / "prometheus.yml"))
    ran(tool("amtool"), "check-config", str(MONITORING / "alertmanager.yml"))


def test_every_alert_fires_in_its_case_and_is_silent_in_the_other() -> None:
    assert "SUCCESS" in ran(tool("promtool"), "test", "rules", "alerts_test.yml", cwd=MONITORING)


# ---- what is scraped ----


def test_the_exposition_of_a_live_service_has_no_fault_that_promtool_knows(
    served: Any, prometheus: Prometheus
) -> None:
    until(lambda: prometheus.query("fairmind_signature_mismatches_total"), told=lambda: "no row was refused")
    text = served.get("/metrics").text
    assert ran(tool("promtool"), "check", "metrics", given=text) == ""


def panels(dashboard: Path) -> list[tuple[str, str]]:
    """Return the title and the query of everything that a dashboard asks."""
    content = json.loads(dashboard.read_text(encoding="utf-8"))
    return [(panel["title"], target["expr"]) for panel in content["panels"] for target in panel.get("targets", [])]


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_has_data(prometheus: Prometheus, dashboard: Path) -> None:
    empty = {}
    deadline = time.monotonic() + PATIENCE  # drift is looked at once a minute, once features are archived
    for title, expr in panels(dashboard):
        query = expr
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        while not (found := prometheus.query(query)) and time.monotonic() < deadline:
            time.sleep(0.5)
        if not found or any(sample["value"][1] == "NaN" for sample in found[:1]):
            empty[title] = query
    assert empty == {}


# ---- faults ----


def processes(served: Any, service: str) -> list[psutil.Process]:
    """Return the server's processes of one service."""
    found = []
    for process in psutil.Process(served.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            words = process.cmdline()
            if "--service-name" in words and words[words.index("--service-name") + 1] == service:
                found.append(process)
    return found


def test_clients_that_hold_all_places_make_an_alert_and_their_going_ends_it(
    served: Any, prometheus: Prometheus, webhook: Webhook
) -> None:
    until(lambda: prometheus.query('fairmind_requests_total{code="200"}'), told=lambda: "nothing was answered")
    host, port = served.url.removeprefix("http://").split(":")
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
    with contextlib.ExitStack() as slow:
        deadline = time.monotonic() + PATIENCE
        while ("FairMindErrorRate", "firing") not in webhook.told:
            assert time.monotonic() < deadline, webhook.told
            connection = slow.enter_context(socket.create_connection((host, int(port))))
            connection.sendall(head)
            time.sleep(0.1)
    webhook.wait_for("FairMindErrorRate", "resolved")


def test_a_companion_that_hangs_makes_an_alert_and_its_return_ends_it(
    served: Any, prometheus: Prometheus, webhook: Webhook
) -> None:
    until(lambda: prometheus.query('up{job="fairmind"} == 1'), told=lambda: "no scrape is answered")
    (companion,) = processes(served, "FairMindCompanion")
    companion.send_signal(signal.SIGSTOP)
    try:
        webhook.wait_for("FairMindDown", "firing")
    finally:
        companion.send_signal(signal.SIGCONT)
    webhook.wait_for("FairMindDown", "resolved")


def test_what_a_killed_worker_counted_stays(served: Any) -> None:
    def predicted() -> float:
        text = served.get("/metrics").text
        found = re.findall(r"^fairmind_predictions_total\{.+\} (\S+)$", text, flags=re.MULTILINE)
        return sum(map(float, found))

    def limit() -> float:
        (found,) = re.findall(
            r"^fairmind_requests_in_flight_limit (\S+)$", served.get("/metrics").text, re.MULTILINE
        )
        return float(found)

    before = until(predicted, told=lambda: "nothing was predicted")
    until(lambda: limit() == 8, told=limit)
    victim = served.get("/readyz").json()["worker"]
    psutil.Process(victim).kill()
    # What it counted since it saved last, a fifth of a second ago, is gone: no more of it than was counted since.
    assert predicted() >= before
    until(lambda: limit() == 8, told=limit)  # another took its place
    assert predicted() >= before
