"""A server that real clients talk to, each client from a locked environment of its own.

Together in the project's lock they would bring other versions of pandas and protobuf than the product has: each
folder here is a project of uv's with a script, which gets what to do as JSON and prints what it got as JSON.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest

from cli.children import answers, free_port, running, wait_until
from tests import environments
from tests.clients.page import THE_MODEL, snippets

CLIENTS = Path(__file__).resolve().parent
FAIRMIND = Path(sys.executable).with_name("fairmind")
MODEL = "plans"
COLUMNS = {"age": "FP64", "income": "FP64", "member": "BOOL", "city": "BYTES"}
KEPT = {name: value for name, value in os.environ.items() if not name.startswith(("FAIRMIND_", "MLFLOW_"))}
VARIABLES = KEPT | {"PATH": f"{FAIRMIND.parent}:{os.environ['PATH']}"}
"""The environment of whatever runs here: the commands of the product are found, settings of this shell are not."""


@dataclass(frozen=True)
class Server:
    """A running server with one model, and the people it is asked about."""

    url: str
    http: int
    grpc: int
    frame: pd.DataFrame

    def rows(self, count: int) -> list[dict[str, Any]]:
        """Return that many rows, the same fifty again and again."""
        return (self.frame.to_dict("records") * (count // len(self.frame) + 1))[:count]

    def expected(self, count: int) -> tuple[list[Any], list[float]]:
        """Return labels and P(classes[1]) of that many rows, by our own route."""
        body = {"instances": [{"features": row} for row in self.rows(count)]}
        response = httpx.post(f"{self.url}/predict", json=body, timeout=60, trust_env=False)
        assert response.status_code == 200, response.text
        found = response.json()["predictions"]
        return [one["prediction"] for one in found], [one["probability"] for one in found]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clients")
    log, port, grpc_port = folder / "server.log", free_port(), free_port()
    variables = VARIABLES | {"FAIRMIND_HOME": str(folder / "home"), "FAIRMIND_BENTOS_GRPC_PORT": str(grpc_port)}
    for language, code in snippets()[THE_MODEL]:
        interpreter = ["sh", "-eu", "-c"] if language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*interpreter, code], cwd=folder, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    frame = pd.read_csv(folder / "plans.csv").drop(columns="plan").head(50).astype({"age": float})
    command = [str(FAIRMIND), "serve", "--port", str(port), "--workers", "1"]
    with running("the server", command, variables, log) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until("the server", process, log, lambda: answers(f"{url}/readyz"), 120)
        yield Server(url, port, grpc_port, frame)


Drive = Callable[..., Any]


@pytest.fixture(scope="session")
def drive(server: Server) -> Drive:
    """Runs a client's script in its own environment and returns what it printed."""

    def run(client: str, **more: Any) -> Any:
        told = {"http": server.http, "grpc": server.grpc, "model": MODEL, "columns": COLUMNS} | more
        return environments.asked(CLIENTS / client, told)

    return run


def python_of(client: str | None) -> Path:
    """Return the Python of a client's environment; for all others, as BentoML's, the product's own."""
    return environments.python_of(CLIENTS / (client or ""))
