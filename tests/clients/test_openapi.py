"""Whatever the OpenAPI document says may be asked: no server error, and nothing that the document does not say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients.conftest import MODEL, VARIABLES, Server, python_of

pytestmark = pytest.mark.clients

UNCHECKED = ("positive_data_acceptance", "ignored_auth")
"""Which rows a model takes is in its own signature and not in the document; there are no keys on loopback."""

SEED = "6"
"""The same in each run: what is found is then the fault of a commit, and not of luck. Whoever looks for more takes
other seeds, and more examples."""


def test_schemathesis_finds_no_server_error_and_no_violation(server: Server, tmp_path: Path) -> None:
    program = python_of("schemathesis").with_name("schemathesis")
    command = [
        *(str(program), "run", f"{server.url}/api/v1/openapi.json"),
        *("--checks", "all", "--exclude-checks", ",".join(UNCHECKED)),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", "20"),
        *("--continue-on-failure", "--warnings", "off"),
        *("--seed", SEED),
    ]
    (tmp_path / "schemathesis.toml").write_text(f'[parameters]\nmodel = "{MODEL}"\nversion = "1"\n')
    done = subprocess.run(
        command, cwd=tmp_path, env=VARIABLES, capture_output=True, text=True, timeout=270, check=False
    )
    assert done.returncode == 0, done.stdout[-8_000:]
