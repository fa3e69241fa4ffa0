"""`fairmind models`: what is registered, what its gates say, and the aliases moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from cli.context import Context
from compilation.parity import CandidateResult, Proof, Verdict
from registry.digest import digest_folder
from registry.errors import GateRefusedError, InvalidReferenceError, ModelNotFoundError
from registry.versions import DIGEST_TAG
from rollout import rollouts
from rollout.errors import RolloutConflictError
from rollout.plan import Plan
from rollout.serving_store import serving_states
from tests.fakes.registry import FakeRegistry

Command = Callable[..., Result]
Answer = Callable[[Sequence[str]], Any]


def test_models_are_listed_with_aliases_gates_and_traffic(
    fairmind: Command, answer: Answer, deployment: Context
) -> None:
    (model,) = answer(["models", "list"])["models"]
    assert [version["version"] for version in model["versions"]] == ["3", "2", "1"]
    lines = {line.split()[0]: line for line in fairmind("models", "list").output.splitlines() if "credit/" in line}
    assert ["0 of 1 pass" in lines["credit/3"], "1 of 1 pass" in lines["credit/1"]] == [True, True]
    assert ["champion" in lines["credit/1"], "100%" in lines["credit/1"]] == [True, True]
    assert ["challenger" in lines["credit/2"], " 0%" in lines["credit/2"]] == [True, True]


def test_during_a_rollout_the_traffic_is_its_split(
    fairmind: Command, deployment: Context, registry: FakeRegistry
) -> None:
    plan = Plan.parse({"model": "credit", "steps": [{"weight": 0.2}]})
    rollouts.start(deployment.control, plan, registry, actor="ada", now=datetime.now(UTC))
    lines = {line.split()[0]: line for line in fairmind("models", "list").output.splitlines() if "credit/" in line}
    assert ["80%" in lines["credit/1"], "20%" in lines["credit/2"]] == [True, True]


def test_without_models_the_list_says_how_to_train_one(fairmind: Command, registry: FakeRegistry) -> None:
    registry._versions.clear()
    assert "fairmind train" in fairmind("models", "list").output


def test_a_version_is_shown_by_every_way_to_name_it(fairmind: Command, answer: Answer) -> None:
    for reference in ("credit@champion", "credit/1", "models:/credit/1", "credit"):
        assert answer(["models", "show", reference])["version"] == "1"
    shown = fairmind("models", "show", "credit/3").output
    for word in ("credit/3", "equalized_odds_difference", "SEX", "0.1700", "fail", "sha256:"):
        assert word in shown


def test_a_version_shows_the_proof_that_came_with_its_files(
    fairmind: Command, answer: Answer, registry: FakeRegistry, tmp_path: Path
) -> None:
    proof = Proof(
        rows=17_197,
        adversarial_rows=240,
        largest_difference=3e-16,
        decisions_changed=0,
        tolerance=1e-6,
        microseconds_per_row={1: 8.0, 1024: 0.6},
        versions={"numpy": "2.4"},
    )
    folder = tmp_path / "proven" / "fairmind"
    folder.mkdir(parents=True)
    proof.save(folder)
    registry.register("proven", folder.parent, {DIGEST_TAG: digest_folder(folder.parent)})
    assert answer(["models", "show", "proven/1"])["proof"] == proof.model_dump(mode="json")
    shown = fairmind("models", "show", "proven/1").output
    assert "equal to 3e-16 on 17,197 rows" in shown
    assert answer(["models", "show", "credit/1"])["proof"] is None


def test_a_version_shows_what_could_have_served_it_and_what_does(
    fairmind: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    costs = {1: 10.0, 1024: 1.0}
    proof = Proof(
        rows=10,
        adversarial_rows=5,
        largest_difference=0.0,
        decisions_changed=0,
        tolerance=1e-6,
        microseconds_per_row=costs,
        versions={},
        candidates=(
            CandidateResult(
                name="onnx-trees", verdict=Verdict.PROVEN, largest_difference=2e-16, microseconds_per_row=costs
            ),
            CandidateResult(
                name="treelite", verdict=Verdict.PROVEN, largest_difference=0.0, microseconds_per_row=costs
            ),
            CandidateResult(
                name="onnx-float32", verdict=Verdict.REFUSED, reason="3 decisions changed", largest_difference=0.02
            ),
            CandidateResult(name="onnx-float64", verdict=Verdict.NOT_CONVERTIBLE, reason="an [odd] node"),
        ),
        chosen=("onnx-trees", "treelite"),
        crossover_rows=256,
    )
    folder = tmp_path / "proven" / "fairmind"
    folder.mkdir(parents=True)
    proof.save(folder)
    registry.register("proven", folder.parent, {DIGEST_TAG: digest_folder(folder.parent)})
    lines = fairmind("models", "show", "proven/1").output.splitlines()
    row = {line.split()[0]: line for line in lines if line.strip()}
    assert "below 256 rows" in row["onnx-trees"]
    assert "from 256 rows" in row["treelite"]
    assert "onnx-float32: 3 decisions changed" in lines
    assert "onnx-float64: an [odd] node" in lines


@pytest.mark.parametrize("text", ["see [/ticket]", "[bold]loud[/bold]"])
def test_tags_are_shown_as_they_were_written(fairmind: Command, registry: FakeRegistry, text: str) -> None:
    registry.set_tag("credit", "1", "note", text)
    result = fairmind("models", "show", "credit/1")
    assert result.exit_code == 0, result.exception
    assert text in result.output


def test_a_promoted_version_is_served_at_once_and_comes_back(
    fairmind: Command, answer: Answer, deployment: Context
) -> None:
    assert answer(["models", "promote", "credit/2"]) == {
        "name": "credit",
        "version": "2",
        "alias": "champion",
        "previous_version": "1",
        "overridden": False,
        "undecided": [],
    }
    assert serving_states(deployment.control)["credit"].champion.version == "2"
    assert answer(["models", "rollback", "credit"]) == {"name": "credit", "version": "1"}
    assert serving_states(deployment.control)["credit"].champion.version == "1"
    assert "credit@champion is version 2, was version 1" in fairmind("models", "promote", "credit/2").output
    assert "credit@champion is version 1 again" in fairmind("models", "rollback", "credit").output


def test_a_refused_version_is_promoted_by_an_override_only(
    fairmind: Command, answer: Answer, registry: FakeRegistry, deployment: Context
) -> None:
    assert isinstance(fairmind("models", "promote", "credit/3").exception, GateRefusedError)
    assert answer(["models", "promote", "credit/3", "--override", "agreed"])["overridden"] is True
    (champion,) = [version for version in registry.aliased() if "champion" in version.aliases]
    assert champion.tags["fairmind.override.by"] == deployment.actor


def test_another_alias_can_be_moved(answer: Answer, registry: FakeRegistry) -> None:
    assert answer(["models", "promote", "credit/1", "--alias", "challenger"])["alias"] == "challenger"
    (version,) = registry.aliased()
    assert version.aliases == {"champion", "challenger"}


def test_during_a_rollout_nothing_is_promoted_by_hand(
    fairmind: Command, deployment: Context, registry: FakeRegistry
) -> None:
    plan = Plan.parse({"model": "credit", "steps": [{"weight": 0.2}]})
    rollouts.start(deployment.control, plan, registry, actor="ada", now=datetime.now(UTC))
    for command in (["promote", "credit/2"], ["rollback", "credit"]):
        assert isinstance(fairmind("models", *command).exception, RolloutConflictError)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (["show", "credit/9"], ModelNotFoundError),
        (["show", "a@b@c"], InvalidReferenceError),
        (["promote", "nope/1"], ModelNotFoundError),
        (["rollback", "credit"], ModelNotFoundError),
    ],
)
def test_what_is_not_there_is_named(fairmind: Command, command: list[str], error: type[Exception]) -> None:
    assert isinstance(fairmind("models", *command).exception, error)
