"""`fairmind replay`, `fairmind replays`: what is asked, what is kept and shown, and the exit statuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bentos.replays import Replays
from cli import replay as command
from cli.context import Context
from cli.failures import REFUSED, exit_status
from replay.comparing import Contender
from tests.unit.replay.replay_home import SERVED, ReplayHome, Threshold, answered, contender


@pytest.fixture
def replayed(deployment: Context, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A deployment whose champion answered 300 people an hour ago, and whose versions decide by a threshold."""
    monkeypatch.setattr(command, "results", Console(highlight=False, width=300))
    incomes = [place / 300 for place in range(300)]
    jobs = ["nurse", "guard"] * 150
    protected = [{"sex": "f"}, {"sex": "m"}] * 150
    home = ReplayHome(deployment.home.root, deployment.log)
    home.serve(answered("r", incomes, jobs=jobs, protected=protected))
    monkeypatch.setattr(Replays, "_contender", lambda _self, version: _contender(version.version))
    monkeypatch.setattr("cli.replay.datetime", _An_Hour_Later)
    return deployment


class _An_Hour_Later:
    @staticmethod
    def now(_zone: Any) -> Any:
        return SERVED + timedelta(hours=1)


def _contender(version: str) -> Contender:
    return contender(version, Threshold(harmed="nurse") if version == "2" else Threshold())


def test_harm_is_shown_kept_and_an_exit_status(
    replayed: Context, fairmind: Any, answer: Any, tmp_path: Path
) -> None:
    done = fairmind("replay", "--model", "credit@challenger", "--window", "2h", "--report", "replay.html")
    assert done.exit_code == REFUSED, done.output
    assert "✗ violated" in done.output
    assert "sex = f" in done.output
    assert "Decisions that would change" in (tmp_path / "replay.html").read_text()
    (listed,) = answer(["replays", "list"])["replays"]
    assert (listed["verdict"], listed["challenger_version"], listed["against_version"]) == ("violated", "2", "1")
    shown = answer(["replays", "show", listed["id"]])
    assert shown["id"] == listed["id"]


def test_what_is_wrongly_asked_is_one_line_with_the_remedy(
    deployment: Context, fairmind: Callable[..., Any]
) -> None:
    wrong = {
        ("--model", "credit/2", "--window", "soon"): "--window",
        ("--model", "credit/2", "--against", "other@champion"): "versions of one model",
        ("--model", "credit/9"): "no model version 'credit/9'",
        ("--model", "credit/2"): "`fairmind models adopt credit/2`",
    }
    for arguments, told in wrong.items():
        error = fairmind("replay", *arguments).exception
        assert told in str(error)
        assert exit_status(error) == 2
    assert "there is no replay 'rp-1'" in str(fairmind("replays", "show", "rp-1").exception)
    assert fairmind("replays", "list").exit_code == 0
