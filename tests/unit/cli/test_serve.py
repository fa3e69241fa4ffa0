"""`fairmind serve`: refuses to be reachable without keys, and passes on what it was told."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bentos.configuration import ConfigurationError
from bentos.errors import InsecureError
from cli.app import app
from cli.failures import UsageError
from cli.serve import serve_command


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("FAIRMIND_", "MLFLOW_", "BENTOML_HOME")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FAIRMIND_HOME", "state")
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the process would have become: the tests are to go on."""
    calls: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *arguments: calls.append(arguments))
    return calls


def test_without_options_it_listens_on_loopback_as_the_settings_say(home: Path) -> None:
    command, environment = serve_command()
    assert command[:5] == [sys.executable, "-m", "bentoml", "serve", "service:FairMind"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--port") + 1] == environment["FAIRMIND_BENTOS_PORT"] == "3000"
    assert (Path(command[command.index("--working-dir") + 1]) / "service.py").exists()
    assert environment["FAIRMIND_BENTOS_INSECURE"] == "false"


def test_the_home_is_passed_on_as_an_absolute_path(home: Path) -> None:
    _, environment = serve_command()
    assert environment["FAIRMIND_HOME"] == str(home.resolve())
    assert environment["BENTOML_HOME"].startswith(str(home.resolve()))


def test_the_files_of_tls_are_passed_on_as_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("certificate", "key"):
        (tmp_path / name).touch()
        monkeypatch.setenv(f"FAIRMIND_BENTOS_TLS_{name.upper()}", name)
    _, environment = serve_command()
    assert environment["FAIRMIND_BENTOS_TLS_CERTIFICATE"] == str(tmp_path / "certificate")
    assert environment["FAIRMIND_BENTOS_TLS_KEY"] == str(tmp_path / "key")
    assert "FAIRMIND_BENTOS_TLS_CLIENT_CA" not in environment


def test_options_win_over_the_environment_which_wins_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRMIND_BENTOS_PORT", "4000")
    monkeypatch.setenv("FAIRMIND_BENTOS_WORKERS", "3")
    monkeypatch.setenv("FAIRMIND_BENTOS_HOST", "127.0.0.2")
    monkeypatch.setenv("BENTOML_HOME", "/elsewhere")
    command, environment = serve_command(port=5000, grpc_port=5001)
    told = {
        name: environment[f"FAIRMIND_BENTOS_{name}"]
        for name in ("HOST", "PORT", "GRPC_PORT", "WORKERS", "INSECURE")
    }
    assert told == {
        "HOST": "127.0.0.2",
        "PORT": "5000",
        "GRPC_PORT": "5001",
        "WORKERS": "3",
        "INSECURE": "false",
    }
    assert (command[command.index("--port") + 1], command[command.index("--host") + 1]) == ("5000", "127.0.0.2")
    assert environment["BENTOML_HOME"] == "/elsewhere"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "10.0.0.1"])
def test_beyond_loopback_it_refuses_unless_told_to(host: str) -> None:
    with pytest.raises(InsecureError, match=r"reachable beyond this machine.*fairmind keys create.*--insecure"):
        serve_command(host=host)
    command, environment = serve_command(host=host, insecure=True)
    assert command[command.index("--host") + 1] == environment["FAIRMIND_BENTOS_HOST"] == host
    assert environment["FAIRMIND_BENTOS_INSECURE"] == "true"


def test_a_host_from_the_environment_is_refused_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRMIND_BENTOS_HOST", "0.0.0.0")
    with pytest.raises(InsecureError, match="--insecure"):
        serve_command()
    monkeypatch.setenv("FAIRMIND_BENTOS_INSECURE", "true")
    assert serve_command()[1]["FAIRMIND_BENTOS_INSECURE"] == "true"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_every_loopback_address_is_fine(host: str) -> None:
    assert serve_command(host=host)[1]["FAIRMIND_BENTOS_HOST"] == host


def test_a_name_is_no_address() -> None:
    with pytest.raises(UsageError, match=r"'localhost' is not an IP address.*127\.0\.0\.1"):
        serve_command(host="localhost")


def test_a_setting_that_does_not_exist_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRMIND_BENTOS_PROT", "3")
    with pytest.raises(ConfigurationError, match="did you mean FAIRMIND_BENTOS_PORT"):
        serve_command()


@pytest.mark.parametrize(
    "option", [["--port", "0"], ["--port", "65536"], ["--grpc-port", "0"], ["--workers", "0"], ["--workers", "two"]]
)
def test_a_number_out_of_range_is_wrong_usage(option: list[str], replaced: list[Any]) -> None:
    result = CliRunner().invoke(app, ["serve", *option])
    assert (result.exit_code, replaced) == (2, [])
    assert option[0] in result.output


def test_the_process_becomes_the_server(replaced: list[Any]) -> None:
    assert CliRunner().invoke(app, ["serve", "--port", "4321", "--workers", "2"]).exit_code == 0
    ((path, command, environment),) = replaced
    assert path == command[0] == sys.executable
    assert (environment["FAIRMIND_BENTOS_PORT"], environment["FAIRMIND_BENTOS_WORKERS"]) == ("4321", "2")
