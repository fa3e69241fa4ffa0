"""`fairmind rollout`: every command, as a person reads it and as a script does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import update

from cli.context import Context
from cli.failures import UsageError
from registry.errors import GateRefusedError, RegistryUnavailableError
from rollout.errors import InvalidPlanError, RolloutConflictError, RolloutNotFoundError
from rollout.outbox import Kind, post, promotion_key
from rollout.serving_store import serving_states
from rollout.tables import ROLLOUT_EVENT
from tests.fakes.registry import FakeRegistry

Command = Callable[..., Result]
Answer = Callable[[Sequence[str]], Any]


@pytest.fixture
def plan(deployment: Context, tmp_path: Path) -> str:
    path = tmp_path / "plan.yaml"
    path.write_text("model: credit\nsteps:\n  - weight: 0.2\n")
    return str(path)


@pytest.fixture
def started(answer: Answer, plan: str) -> str:
    return str(answer(["rollout", "start", plan])["id"])


def test_without_rollouts_the_list_says_how_to_start_one(fairmind: Command, answer: Answer) -> None:
    assert "fairmind rollout start" in fairmind("rollout", "list").output
    assert answer(["rollout", "list"]) == {"rollouts": []}


def test_a_rollout_goes_from_start_to_abort(answer: Answer, plan: str, deployment: Context) -> None:
    rollout = answer(["rollout", "start", plan])
    name = rollout["id"]
    assert (rollout["state"], rollout["weight"], rollout["created_by"]) == ("canary", 0.2, deployment.actor)
    shown = answer(["rollout", "status", name])
    assert [(event["action"], event["actor"]) for event in shown.pop("history")] == [("started", deployment.actor)]
    assert shown.items() >= rollout.items()
    assert answer(["rollout", "weight", name, "0.35"])["weight"] == 0.35
    assert serving_states(deployment.control)["credit"].weight_bp == 3_500
    assert answer(["rollout", "pause", name, "--reason", "complaints"])["reason"] == "complaints"
    assert answer(["rollout", "resume", name])["state"] == "canary"
    assert answer(["rollout", "abort", name, "--reason", "enough"])["state"] == "rolled_back"
    history = answer(["rollout", "status", name])["history"]
    assert [event["action"] for event in history] == ["started", "weight_changed", "paused", "resumed", "aborted"]
    assert {event["actor"] for event in history} == {deployment.actor}
    assert [one["id"] for one in answer(["rollout", "list"])["rollouts"]] == [name]


def test_a_promoted_rollout_moves_the_alias(answer: Answer, started: str, registry: FakeRegistry) -> None:
    assert answer(["rollout", "promote", started])["state"] == "promoted"
    (champion,) = [version for version in registry.aliased() if "champion" in version.aliases]
    assert champion.version == "2"


def test_people_read_a_table(fairmind: Command, started: str, deployment: Context) -> None:
    for command in (["list"], ["status", started], ["weight", started, "0.25"]):
        result = fairmind("rollout", *command)
        assert result.exit_code == 0
        for word in (started, "credit", "canary"):
            assert word in result.output
    assert "25.00%" in fairmind("rollout", "list").output
    shown = fairmind("rollout", "status", started).output
    for word in ("History", "weight changed", deployment.actor):
        assert word in shown


def test_a_promotion_that_waits_for_the_registry_is_told(
    fairmind: Command, answer: Answer, started: str, deployment: Context
) -> None:
    assert answer(["rollout", "status", started])["promotion"] is None
    with deployment.control.begin() as connection:
        asked = {"key": promotion_key(started), "model": "credit", "payload": {"version": "2"}}
        post(connection, Kind.PROMOTE, **asked, now=datetime.now(UTC))
    shown = fairmind("rollout", "status", started).output
    assert "Waits for the registry" in shown
    assert "fairmind models promote credit/2" in shown


@pytest.mark.parametrize("reason", ["see [/ticket]", "[bold]loud[/bold]", "[red"])
def test_a_reason_is_shown_as_it_was_written(fairmind: Command, started: str, reason: str) -> None:
    for command in (["pause", started, "--reason", reason], ["list"], ["status", started]):
        result = fairmind("rollout", *command)
        assert result.exit_code == 0, result.exception
        assert reason in result.output


def test_a_gate_refuses_until_it_is_overridden(
    fairmind: Command, answer: Answer, plan: str, tmp_path: Path
) -> None:
    refused = tmp_path / "refused.yaml"
    refused.write_text('model: credit\nchallenger: "3"\nsteps: [{weight: 0.1}]\n')
    assert isinstance(fairmind("rollout", "start", str(refused)).exception, GateRefusedError)
    name = answer(["rollout", "start", str(refused), "--override", "to compare only"])["id"]
    assert isinstance(fairmind("rollout", "promote", name).exception, GateRefusedError)
    assert answer(["rollout", "promote", name, "--override", "agreed"])["state"] == "promoted"


def test_a_second_start_is_a_conflict(fairmind: Command, started: str, plan: str) -> None:
    assert isinstance(fairmind("rollout", "start", plan).exception, RolloutConflictError)


@pytest.mark.parametrize("weight", ["0.6", "nan", "inf"])
def test_a_weight_that_cannot_be_is_named(fairmind: Command, started: str, weight: str) -> None:
    assert isinstance(fairmind("rollout", "weight", started, weight).exception, InvalidPlanError)


def test_a_weight_that_is_no_number_is_wrong_usage(fairmind: Command, started: str) -> None:
    for wrong in ("much", "", "0.1,", "0.1;0.2"):
        assert isinstance(fairmind("rollout", "weight", started, wrong).exception, UsageError)


@pytest.mark.parametrize("command", ["status", "pause", "resume", "abort", "promote"])
def test_an_unknown_rollout_is_named(fairmind: Command, command: str) -> None:
    error = fairmind("rollout", command, "r-nope").exception
    assert isinstance(error, RolloutNotFoundError)
    assert "r-nope" in str(error)


def test_a_plan_that_is_not_there_is_named(fairmind: Command) -> None:
    error = fairmind("rollout", "start", "nowhere.yaml").exception
    assert isinstance(error, InvalidPlanError)
    assert "nowhere.yaml" in str(error)


def test_without_the_registry_a_rollout_can_still_be_ended(
    fairmind: Command, answer: Answer, started: str, plan: str, registry: FakeRegistry
) -> None:
    registry.away = True
    assert answer(["rollout", "abort", started])["state"] == "rolled_back"
    assert isinstance(fairmind("rollout", "start", plan).exception, RegistryUnavailableError)


@pytest.fixture
def guarded(tmp_path: Path) -> str:
    path = tmp_path / "guarded.yaml"
    path.write_text("model: credit\nsteps: [{weight: 0.2}]\nguardrails: [{metric: error_rate, margin: 0.01}]\n")
    return str(path)


def test_a_guarded_rollout_is_taken_up_by_a_controller_and_its_log_verified(
    fairmind: Command, answer: Answer, guarded: str, deployment: Context
) -> None:
    started = fairmind("rollout", "start", guarded)
    assert "Traffic of the last day that carries a unit: nothing was asked of it." in started.output
    assert "It begins when its challenger is loaded" in started.output
    (name,) = [one["id"] for one in answer(["rollout", "list"])["rollouts"]]
    for _ in range(2):
        assert fairmind("rollout", "controller", "--once").exit_code == 0
    assert answer(["rollout", "status", name])["state"] == "canary"
    shown = fairmind("rollout", "status", name).output
    for word in ("Evaluation", "error_rate", "no data"):
        assert word in shown
    assert isinstance(fairmind("rollout", "approve", name).exception, RolloutConflictError)
    assert "as written" in fairmind("rollout", "verify-log", name).output
    assert answer(["rollout", "verify-log"])["rollouts"][0]["problem"] is None
    with deployment.control.begin() as connection:
        connection.execute(update(ROLLOUT_EVENT).where(ROLLOUT_EVENT.c.number == 2).values(actor="eve"))
    failed = fairmind("rollout", "verify-log", name)
    assert failed.exit_code == 1
    assert "event 2" in failed.output


def test_without_rollouts_there_is_no_log_to_verify(fairmind: Command) -> None:
    assert "nothing to check" in fairmind("rollout", "verify-log").output


def test_several_challengers_are_weighted_together_and_told_apart(
    fairmind: Command, answer: Answer, plan: str, deployment: Context, registry: FakeRegistry
) -> None:
    path = Path(plan)
    path.write_text('model: credit\nchallengers: ["2", "3"]\nsteps:\n  - weights: [0.1, 0.2]\n')
    name = answer(["rollout", "start", plan, "--override", "a pilot"])["id"]
    assert answer(["rollout", "weight", name, "0.2,0.05"])["weight"] == 0.2
    assert "champion 75.00%, challenger 20.00%, challenger-2 5.00%" in fairmind("rollout", "status", name).output
