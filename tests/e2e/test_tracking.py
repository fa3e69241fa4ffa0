"""Results of tests at real servers: MLflow on SQLite and on PostgreSQL, and one for Weights & Biases' SDK."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from mlflow import MlflowClient
from pydantic import SecretStr
from uv import find_uv_bin

from cli.children import answers, free_port, running, wait_until
from database.home import Home
from tests.waiting import until
from tracking.mlops_integration import MlopsIntegration
from tracking.opening import open_tracker
from tracking.record import BiasTestRecord
from tracking.settings import Choice, TrackingSettings
from tracking.tracker import Tracker

SERVERS = Path(__file__).with_name("servers")
KEPT = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "WANDB_"))}
KEY = "local" + "0" * 35

T = TypeVar("T")


def record(test_id: str) -> BiasTestRecord:
    results = {"SEX": {"selection_rate": {"1": 0.5, "2": 0.25}}, "overall_risk": "high", "verdict": "fail"}
    return BiasTestRecord.of(test_id, "credit", "ml_bias", results, {"rows": 40}, html="<p>a report</p>")


@dataclass(frozen=True)
class Server:
    """A server on loopback that can be started again with what it had."""

    name: str
    port: int
    folder: Path
    command: list[str]
    health: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        log = self.folder / "server.log"
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with running(self.name, self.command, KEPT | quiet, log) as process:
            wait_until(self.name, process, log, lambda: answers(self.url + self.health), 240)
            yield


def in_its_environment(name: str, *command: str) -> list[str]:
    """Return the command as run with the locked libraries of `servers/<name>`."""
    return [find_uv_bin(), "run", "--quiet", "--locked", "--isolated", "--project", str(SERVERS / name), *command]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def new_tracker(home: Home) -> Iterator[Callable[..., Tracker]]:
    made: list[Tracker] = []

    def make(tracking_uri: str | None = None, **settings: Any) -> Tracker:
        patience = {"retry_seconds": 0.2, "longest_retry_seconds": 1.0, "answer_seconds": 120.0}
        made.append(open_tracker(TrackingSettings(**patience | settings), home, tracking_uri))
        return made[-1]

    yield make
    for tracker in made:
        tracker.stop()


@pytest.fixture
def sqlite_server(tmp_path: Path) -> Server:
    port = free_port()
    command = [str(Path(sys.executable).with_name("mlflow")), "server", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    return Server("the MLflow server", port, tmp_path, command, "/health")


@pytest.fixture
def postgres_server(tmp_path: Path) -> Server:
    port = free_port()
    serve = ["python", str(SERVERS / "postgres" / "serve.py"), str(tmp_path / "artifacts"), str(port)]
    command = in_its_environment("postgres", *serve)
    return Server("the MLflow server on PostgreSQL", port, tmp_path, command, "/health")


@pytest.fixture
def wandb_server(tmp_path: Path) -> Server:
    port = free_port()
    serve = ["python", str(SERVERS / "openwandb" / "serve.py"), str(tmp_path / "data"), str(port)]
    return Server("openwandb", port, tmp_path, in_its_environment("openwandb", *serve), "/")


def delivered_through_absence(server: Server, new_tracker: Callable[..., Tracker]) -> None:
    """Submit while the server is away, start it, take it away again, and look that each run is there once."""
    tracker = new_tracker(server.url, provider=Choice.MLFLOW)
    tracker.start()
    for number in range(3):
        tracker.submit(record(f"t-{number}"))
    until(lambda: "does not answer" in tracker.problems().get("mlflow", ""))
    with server.running():
        until(lambda: not tracker.waiting())
        assert tracker.problems() == {}
        client = MlflowClient(server.url)
        experiment = client.get_experiment_by_name("fairmind_bias_detection")
        runs = client.search_runs([experiment.experiment_id])
        assert sorted(run.data.params["test_id"] for run in runs) == ["t-0", "t-1", "t-2"]
        assert {run.info.status for run in runs} == {"FINISHED"}
        assert all(run.data.metrics == {"SEX_selection_rate_1": 0.5, "SEX_selection_rate_2": 0.25} for run in runs)
        assert all(run.data.tags["risk_level"] == "high" for run in runs)
        assert len({run.info.run_name for run in runs}) == 3
        for run in runs:
            url = f"{server.url}/get-artifact?path=bias_test.html&run_uuid={run.info.run_id}"
            assert httpx.get(url, timeout=30, trust_env=False).text == "<p>a report</p>"
        run_id = runs[0].info.run_id
        told = MlopsIntegration(tracker, server.url).get_run_url("mlflow", run_id)
        assert told == f"{server.url}/#/experiments/{experiment.experiment_id}/runs/{run_id}"
        assert experiment.experiment_id != "0"
    tracker.submit(record("t-3"))
    until(tracker.problems)


@pytest.mark.long
def test_mlflow_on_sqlite_gets_what_waited_for_it(
    sqlite_server: Server, new_tracker: Callable[..., Tracker]
) -> None:
    delivered_through_absence(sqlite_server, new_tracker)
    with sqlite_server.running():
        again = new_tracker(sqlite_server.url, provider=Choice.MLFLOW)
        until(lambda: not again.waiting())
        (run,) = MlflowClient(sqlite_server.url).search_runs(["1"], "params.test_id = 't-3'")
        assert run.info.status == "FINISHED"


def test_the_program_on_the_page_stores_and_logs(tmp_path: Path, home: Home) -> None:
    page = Path(__file__).parents[2].joinpath("docs", "tracking.md").read_text()
    (program,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    chosen = {
        "MLOPS_PROVIDER": "mlflow",
        "FAIRMIND_HOME": str(home.root),
        "FAIRMIND_TRACKING_ANSWER_SECONDS": "120",
    }
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=KEPT | chosen, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "stored test_456" in done.stdout
    assert done.stdout.splitlines()[-1] == "{'wandb': False, 'mlflow': True}"


@pytest.mark.long
def test_mlflow_on_postgres_gets_what_waited_for_it(
    postgres_server: Server, new_tracker: Callable[..., Tracker]
) -> None:
    delivered_through_absence(postgres_server, new_tracker)


RUNS, KILLS = 30, 6

DELIVER = """
import sys, threading
from pathlib import Path
from database.home import Home
from tracking.opening import open_tracker
from tracking.settings import Choice, TrackingSettings

open_tracker(TrackingSettings(provider=Choice.MLFLOW), Home.at(Path(sys.argv[1])), sys.argv[2]).start()
threading.Event().wait()
"""


@pytest.mark.long
def test_whoever_is_killed_while_a_run_is_half_way_every_run_is_there_once_and_whole(
    sqlite_server: Server, home: Home, new_tracker: Callable[..., Tracker], tmp_path: Path
) -> None:
    tracker = new_tracker(sqlite_server.url, provider=Choice.MLFLOW)
    expected = [f"t-{number:02}" for number in range(RUNS)]
    for test_id in expected:
        tracker.submit(record(test_id))
    with sqlite_server.running():
        client = MlflowClient(sqlite_server.url)
        experiment_id = client.create_experiment("fairmind_bias_detection")
        halves: set[str] = set()
        for _ in range(KILLS):
            command = [sys.executable, "-c", DELIVER, str(home.root), sqlite_server.url]
            with running("the process that delivers", command, KEPT, tmp_path / "deliver.log") as process:
                until(lambda: half_way(client, experiment_id) - halves or process.poll() is not None)
                process.kill()
                assert process.wait() == -signal.SIGKILL
            halves.update(half_way(client, experiment_id))  # it may have come to the end of it first
            if len(halves) == 2:
                break
        assert halves
        tracker.start()
        until(lambda: not tracker.waiting())
        runs = client.search_runs([experiment_id])
        assert sorted(run.data.params["test_id"] for run in runs) == expected
        assert {run.info.status for run in runs} == {"FINISHED"}
        for run in runs:
            assert len(client.get_metric_history(run.info.run_id, "SEX_selection_rate_1")) == 1
            assert {file.path for file in client.list_artifacts(run.info.run_id)} == {
                "bias_test.html",
                "bias_test.json",
            }


def half_way(client: MlflowClient, experiment_id: str) -> set[str]:
    runs = client.search_runs([experiment_id], "attributes.status = 'RUNNING'")
    return {run.info.run_id for run in runs}


@pytest.mark.long
def test_the_sdk_of_weights_and_biases_sends_a_run_to_a_server(
    wandb_server: Server, new_tracker: Callable[..., Tracker], tmp_path: Path
) -> None:
    """Its real SDK, online, at a third party's server, for the vendor's own is an image of containers only.

    That proves what the SDK is told and sends: runs, their config, tags, numbers and summary, the address, and that
    a run sent again is continued with its numbers there once, given a server that says which runs have begun, as
    `servers/openwandb/serve.py` has it do. It proves nothing of what the vendor's server makes of it: this one
    keeps no files of artifacts, and checks no key.
    """
    tracker = new_tracker(
        provider=Choice.WANDB,
        wandb_base_url=wandb_server.url,
        wandb_api_key=SecretStr(KEY),
        wandb_project="fairness",
    )
    tracker.start()
    tracker.submit(record("t-0"))
    until(tracker.problems)
    with wandb_server.running():
        until(lambda: not tracker.waiting())
        told = MlopsIntegration(tracker, "").log_bias_test("t-1", "credit", "llm_bias", {"bias_score": 0.5})
        outcome = told["wandb"]
        assert outcome["url"] == f"{wandb_server.url}/default/fairness/runs/{outcome['run_id']}"
        tracker.submit(record("t-0"))  # as if its receipt had been lost
        until(lambda: not tracker.waiting())
        forget_the_summary(tmp_path / "data" / "openwandb.db")
        tracker.submit(record("t-0"))  # as if its numbers had arrived, and its summary had not
        until(lambda: not tracker.waiting())
    database = sqlite3.connect(f"file:{tmp_path / 'data' / 'openwandb.db'}?mode=ro", uri=True)
    with contextlib.closing(database):
        rows = database.execute(
            "select run_id, display_name, state, config_json, summary_json, tags_json from runs"
        )
        runs = {json.loads(config)["test_id"]["value"]: row for row in rows if (config := row[3])}
        assert set(runs) == {"t-0", "t-1"}
        assert {row[2] for row in runs.values()} == {"finished"}
        summary = json.loads(runs["t-0"][4])
        assert (summary["risk_level"], summary["bias_detected"], summary["SEX_selection_rate_1"]) == (
            "high",
            True,
            0.5,
        )
        assert set(json.loads(runs["t-1"][5])) == {"llm_bias", "credit", "fairmind", "bias_detection"}
        points = database.execute(
            "select run_id, key, step, value from metrics where key not like '\\_%' escape '\\'"
        )
        first = record("t-0").delivery_id
        assert sorted(points) == sorted(
            [
                (outcome["run_id"], "bias_score", 0, 0.5),
                (first, "SEX_selection_rate_1", 0, 0.5),
                (first, "SEX_selection_rate_2", 0, 0.25),
            ]
        )
        artifacts = set(database.execute("select run_id, name, artifact_type from artifacts"))
        assert artifacts == {(run_id, f"bias-test-{run_id}", "bias_test") for run_id in (first, outcome["run_id"])}


def forget_the_summary(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as database, database:
        database.execute("update runs set summary_json = '{}'")
