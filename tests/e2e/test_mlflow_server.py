"""An MLflow server of somebody's own: its strangers are served where it is trusted, and it may go away."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.children import answers, free_port, running, wait_until
from registry.mlflow_registry import MlflowRegistry
from tests.fakes.strangers import Stranger, log, pipeline_with_text
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.long

AWAY_SECONDS = 6.0


@dataclass(frozen=True)
class MlflowServer:
    """An MLflow server on loopback: its database and artifacts stay when it stops."""

    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        command = [str(Path(sys.executable).with_name("mlflow")), "server", "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        # Its job runner starts seven processes that nobody here needs.
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        log_file = self.folder / "server.log"
        with running("the MLflow server", command, kept | quiet, log_file) as process:
            wait_until("the MLflow server", process, log_file, lambda: answers(f"{self.url}/health"), PATIENCE)
            yield


@pytest.fixture(scope="module")
def strangers() -> dict[str, Stranger]:
    return {"first": pipeline_with_text(), "second": pipeline_with_text(1)}


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> MlflowServer:
    return MlflowServer(tmp_path_factory.mktemp("mlflow"), free_port())


def problems(served: Any) -> dict[str, str]:
    found: dict[str, str] = served.get("/api/v1/status").json()["problems"]
    return found


def probabilities(served: Any, stranger: Stranger) -> list[float]:
    rows = [{"features": row} for row in stranger.rows(20)]
    return [one["probability"] for one in served.predict(rows, "theirs")]


def test_a_plain_version_is_served_from_a_trusted_server_through_its_absence_and_refused_from_an_untrusted_one(
    tmp_path: Path,
    mlflow: MlflowServer,
    strangers: dict[str, Stranger],
    new_deployment: Callable[[Path], Any],
    load: Any,
) -> None:
    deployment = new_deployment(tmp_path / "home")
    deployment.settings.update(
        {
            "MLFLOW_TRACKING_URI": mlflow.url,
            "FAIRMIND_REGISTRY_TRUSTED": mlflow.url,
            "FAIRMIND_REGISTRY_POLL_SECONDS": "0.5",
            "FAIRMIND_REGISTRY_TIMEOUT_SECONDS": "2",
        }
    )
    registry = MlflowRegistry(mlflow.url, timeout_seconds=5)
    with contextlib.ExitStack() as stack:
        with mlflow.running():
            for stranger in strangers.values():
                log(stranger, "theirs", mlflow.url)
            registry.set_alias("theirs", "champion", "1")
            served = stack.enter_context(deployment.serving())
            served.wait_for_workers(lambda detail: "theirs" in detail["models"])
            np.testing.assert_allclose(
                probabilities(served, strangers["first"]), strangers["first"].probabilities(20), atol=1e-9
            )
            asking = stack.enter_context(load(served.url, strangers["first"].rows(20), clients=2).running())
            asking.wait_for(20)
        # The server is gone: its process has ended, its port refuses.
        until(lambda: mlflow.url in problems(served).get("registry", ""), told=lambda: problems(served))
        began = time.monotonic()
        while time.monotonic() - began < AWAY_SECONDS:
            asking.wait_for(20)
        assert served.get("/readyz").status_code == 200
        assert served.get("/api/v1/models").status_code == 503
        with mlflow.running():
            until(lambda: "registry" not in problems(served), told=lambda: problems(served))
            registry.set_alias("theirs", "champion", "2")
            served.wait_for_workers(lambda detail: detail["models"]["theirs"]["champion"] == "2")
            np.testing.assert_allclose(
                probabilities(served, strangers["second"]), strangers["second"].probabilities(20), atol=1e-9
            )
            asking.wait_for(20)
            assert asking.failed == []
            stack.close()
            refused(new_deployment(tmp_path / "untrusting"), mlflow.url)


def refused(deployment: Any, url: str) -> None:
    with deployment.serving(
        until="/livez", MLFLOW_TRACKING_URI=url, FAIRMIND_REGISTRY_POLL_SECONDS="0.5"
    ) as served:

        def is_refused(detail: dict[str, Any]) -> bool:
            problem = detail["problems"].get("theirs/2", "")
            return f"FAIRMIND_REGISTRY_TRUSTED={url}" in problem and "is not trusted to run code" in problem

        served.wait_for_workers(is_refused)  # each follows in its own time: of two readings one may say less yet
        assert served.get("/readyz").status_code == 503
        answer = served.post("/predict", {"instances": [{"features": {}}]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
        assert "FAIRMIND_REGISTRY_TRUSTED" in served.get("/api/v1/models").json()["problems"]["theirs/2"]
