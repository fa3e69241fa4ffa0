"""Servers of somebody else's in processes of their own: `mlflow models serve` and MLServer."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from cli.children import answers, free_port, running, wait_until
from loadtests.bench.environments import ensure_environment
from tests.conftest import THREADS

SERVERS = Path(__file__).parent / "servers"
NAME = "census"
VERSION = "2031-05"
"""The name and the version under which MLServer serves the model; MLflow's protocol knows neither."""
_READY_SECONDS = 180.0


@dataclass(frozen=True)
class Theirs:
    """A running server: how a variant of it is added, and what it says of itself."""

    add: tuple[str, ...]
    """The URL and the options of `fairmind variants add`."""
    pid: int
    asked: Callable[[], int]
    """How often it was asked to score since it was started."""

    def processes(self) -> set[tuple[int, float]]:
        """Return its processes, each with the time at which it was started."""
        head = psutil.Process(self.pid)
        return {(process.pid, process.create_time()) for process in [head, *head.children(recursive=True)]}


def train_theirs(table: Path, label: str, folder: Path) -> None:
    """Have somebody else train on a table: `folder` then has an MLflow store and the pipeline as joblib."""
    folder.mkdir()
    command = [sys.executable, str(SERVERS / "theirs" / "train.py"), str(table), label, _store(folder), str(folder)]
    with running("their training", command, _environment(folder), folder / "training.log") as process:
        assert process.wait(300) == 0, (folder / "training.log").read_text()[-3_000:]


@contextlib.contextmanager
def mlflow_models_serve(folder: Path) -> Iterator[Theirs]:
    """Serve what was trained there as MLflow's documentation says."""
    port, log = free_port(), folder / "mlflow.log"
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "--env-manager", "local"]
    command += ["--model-uri", (folder / "model.uri").read_text(), "--workers", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    url = f"http://127.0.0.1:{port}"
    with running("mlflow models serve", command, _environment(folder), log) as process:
        wait_until("mlflow models serve", process, log, lambda: answers(f"{url}/ping"), _READY_SECONDS)
        asked = re.compile(r'"POST /invocations[^"]*" 200')
        yield Theirs((url, "--protocol", "mlflow"), process.pid, lambda: len(asked.findall(log.read_text())))


@contextlib.contextmanager
def mlserver(folder: Path) -> Iterator[Theirs]:
    """Serve the pipeline by MLServer's scikit-learn runtime, from the locked environment that the benchmark has."""
    programs = ensure_environment("mlserver", lambda _words: None)
    http, grpc, metrics, log = free_port(), free_port(), free_port(), folder / "mlserver.log"
    settings: dict[str, Any] = {"host": "127.0.0.1", "http_port": http, "grpc_port": grpc, "metrics_port": metrics}
    settings |= {"parallel_workers": 0, "debug": False}
    model = {"name": NAME, "implementation": "mlserver_sklearn.SKLearnModel"}
    model |= {"parameters": {"uri": str(folder / "model.joblib"), "version": VERSION}}
    home = folder / "mlserver"
    home.mkdir()
    (home / "settings.json").write_text(json.dumps(settings))
    (home / "model-settings.json").write_text(json.dumps(model))
    ready = f"http://127.0.0.1:{http}/v2/models/{NAME}/ready"

    def asked() -> int:
        told = httpx.get(f"http://127.0.0.1:{metrics}/metrics", trust_env=False).text
        counted = re.findall(r"^model_infer_request_success_total\{.*\} (\S+)$", told, re.MULTILINE)
        return int(sum(map(float, counted)))

    with running(
        "MLServer", [str(programs / "mlserver"), "start", str(home)], _environment(folder), log
    ) as process:
        wait_until("MLServer", process, log, lambda: answers(ready), _READY_SECONDS)
        options = ("--protocol", "oip-grpc", "--remote-model", NAME)
        options += ("--output", "label=predict", "--output", "probabilities=predict_proba")
        yield Theirs((f"grpc://127.0.0.1:{grpc}", *options), process.pid, asked)


def _store(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FAIRMIND_", "MLFLOW_"))}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return kept | dict.fromkeys(THREADS, "1") | {"MLFLOW_TRACKING_URI": _store(folder), "PATH": programs}
