"""The snippets of the page about protocols, run as they stand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import VARIABLES, Server, python_of
from tests.clients.page import THE_MODEL, at_ports, snippets

pytestmark = pytest.mark.clients
OWN_ENVIRONMENT = {
    "Triton's client": "triton",
    "KServe's client": "kserve",
    "The Open Inference Protocol's client": "open_inference",
    "MLflow's client": "mlflow",
}
CLIENTS = [heading for heading in snippets() if heading != THE_MODEL]


def test_the_page_has_a_snippet_per_client() -> None:
    assert CLIENTS == [
        "curl",
        "httpx",
        "Triton's client",
        "KServe's client",
        "The Open Inference Protocol's client",
        "MLflow's client",
        "BentoML's clients",
        "Open Inference Protocol over gRPC",
    ]


@pytest.mark.parametrize("heading", CLIENTS)
def test_a_snippet_runs_as_it_stands(heading: str, server: Server, tmp_path: Path) -> None:
    ((language, code),) = snippets()[heading]
    python = python_of(OWN_ENVIRONMENT.get(heading))
    command = ["sh", "-eu", "-c"] if language == "sh" else [str(python), "-c"]
    done = subprocess.run(
        [*command, at_ports(code, server.http, server.grpc)],
        cwd=tmp_path,
        env=VARIABLES,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "gold" in done.stdout
    assert "error" not in done.stdout
