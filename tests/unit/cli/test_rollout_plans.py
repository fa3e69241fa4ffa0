"""`fairmind rollout lint`, `simulate` and `report`: before a plan runs, and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cli.context import Context
from rollout.errors import InvalidPlanError, RolloutNotFoundError

Command = Callable[..., Result]
Answer = Callable[[Sequence[str]], Any]

PLAN = """
model: credit
steps:
  - {weight: 0.5, min_duration: 1h, max_duration: 2d}
guardrails:
  - {metric: dp_diff, attribute: SEX, groups: ["1", "2"], margin: 0.05}
"""


@pytest.fixture
def plan(deployment: Context, tmp_path: Path) -> str:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return str(path)


def test_lint_says_what_it_takes_and_what_was_assumed(fairmind: Command, answer: Answer, plan: str) -> None:
    shown = fairmind("rollout", "lint", plan, "--units-per-day", "100000")
    assert shown.exit_code == 0
    assert "units in each arm" in shown.output
    told = answer(["rollout", "lint", plan, "--units-per-day", "100000"])
    assert {one["level"] for one in told["findings"]} == {"info"}
    assert told["power"][0]["guardrail"] == "dp_diff:SEX"
    assert told["traffic"]["units_per_day"] == 100_000


def test_lint_of_a_plan_that_cannot_be_carried_out_ends_with_status_3(fairmind: Command, plan: str) -> None:
    found = fairmind("rollout", "lint", plan, "--units-per-day", "50")
    assert found.exit_code == 3
    assert "error step_too_short" in found.output


def test_simulate_says_how_rollouts_end(fairmind: Command, answer: Answer, plan: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    asked = ["rollout", "simulate", plan, "--runs", "3", "--units-per-day", "100000"]
    harmful = [*asked, "--effect", "dp_diff:SEX=0.2", "--report", str(page)]
    assert answer(asked)["ends"]["rolled_back"]["count"] == 0
    assert answer(harmful)["ends"]["rolled_back"]["by"] == {"dp_diff:SEX": 3}
    assert "rolled back" in page.read_text()
    assert "promoted" in fairmind(*asked).output


@pytest.mark.parametrize("effect", ["accuracy=0.1", "dp_diff:SEX"])
def test_an_effect_of_nothing_is_refused(fairmind: Command, plan: str, effect: str) -> None:
    found = fairmind("rollout", "simulate", plan, "--effect", effect, "--runs", "1")
    assert found.exception is not None
    assert "effect" in str(found.exception) or isinstance(found.exception, InvalidPlanError)


def test_a_report_is_written_of_a_rollout_that_runs(
    fairmind: Command, answer: Answer, tmp_path: Path, deployment: Context
) -> None:
    split, page = tmp_path / "split.yaml", tmp_path / "report.html"
    split.write_text("model: credit\nsteps:\n  - weight: 0.2\n")
    rollout_id = answer(["rollout", "start", str(split)])["id"]
    assert answer(["rollout", "report", rollout_id, "-o", str(page)])["output"] == str(page)
    assert rollout_id in page.read_text()
    assert "A manual split: nothing is judged" in page.read_text()


def test_a_report_of_no_rollout_is_refused(fairmind: Command, deployment: Context, tmp_path: Path) -> None:
    found = fairmind("rollout", "report", "r-none", "-o", str(tmp_path / "report.html"))
    assert isinstance(found.exception, RolloutNotFoundError)
