"""Commands on a temporary home whose registry is in memory: no MLflow, no server, no socket."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from bentos.promotions import follow
from cli import context, doctor, models, rollout, train
from cli.app import app
from registry.digest import digest_folder
from registry.gate_record import GATES_TAG, GateKind, GateRecord, GateResult, GateVerdict
from registry.versions import DIGEST_TAG
from tests.fakes.databases import place_databases
from tests.fakes.registry import FakeRegistry

Command = Callable[..., Result]
"""Runs `fairmind …`; what it raises is in the result, as its exit status is."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("FAIRMIND_", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FAIRMIND_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def registry(tmp_path: Path) -> FakeRegistry:
    """`credit` with champion 1, challenger 2, and 3, which its gate refuses."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    registry = FakeRegistry()
    for verdict in (GateVerdict.PASS, GateVerdict.PASS, GateVerdict.FAIL):
        gate = GateResult(
            kind=GateKind.BIAS,
            metric="equalized_odds_difference",
            attribute="SEX",
            value=0.17,
            limit=0.1,
            verdict=verdict,
        )
        record = GateRecord(digest=digest_folder(folder), results=(gate,))
        registry.register("credit", folder, {DIGEST_TAG: record.digest, GATES_TAG: record.to_json()})
    registry.set_alias("credit", "champion", "1")
    registry.set_alias("credit", "challenger", "2")
    return registry


@pytest.fixture
def fairmind(home: Path, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr(context, "open_registry", lambda _settings, _home: registry)
    # A console keeps the stream it was made with; wide, so that no cell is cut.
    for module in (doctor, models, rollout, train):
        monkeypatch.setattr(module, "results", Console(highlight=False, width=300))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return run


@pytest.fixture
def deployment(fairmind: Command, home: Path, registry: FakeRegistry) -> context.Context:
    """The deployment that the commands work on; what serves is what the aliases say."""
    from datetime import UTC, datetime

    place_databases(home)
    opened = context.open_context()
    follow(opened.control, registry, datetime.now(UTC))
    return opened


@pytest.fixture
def answer(fairmind: Command) -> Callable[[Sequence[str]], Any]:
    """Runs a command with --json and returns what it printed."""

    def run(arguments: Sequence[str]) -> Any:
        result = fairmind(*arguments, "--json")
        assert result.exit_code == 0, result.output or result.exception
        return json.loads(result.stdout)

    return run
