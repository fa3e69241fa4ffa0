"""`fairmind models set-threshold`, on a version that was trained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from rich.console import Console
from typer.testing import CliRunner

from cli import models, set_threshold
from cli.app import app
from cli.failures import BAD_INPUT, exit_status
from registry.errors import GateRefusedError
from tests.fakes import pipelines
from training.config import TrainingConfig
from training.errors import DecisionError, ThresholdError
from training.store import TrackingStore
from training.train import train

Run = Callable[..., Result]


@pytest.fixture(scope="module")
def trained(store: TrackingStore, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A version whose accuracy has a floor."""
    folder = tmp_path_factory.mktemp("choosy")
    frame = pipelines.people(400)
    frame["sex"] = np.random.default_rng(3).choice(["f", "m"], len(frame))
    frame["y"] = np.array(["no", "yes"])[pipelines.labels(frame)]
    frame.to_csv(folder / "people.csv", index=False)
    content = TrainingConfig.for_table(folder / "people.csv", "y", ["sex"], "choosy").model_dump(by_alias=True)
    content["gates"] = {"quality": [{"metric": "accuracy", "at_least": 0.6}]}
    content["estimators"] = {"logistic": {"kind": "logistic_regression"}}
    (version,) = train(TrainingConfig.parse(content, where="test"), store=store, data_folder=folder)
    return str(version.reference)


@pytest.fixture
def run(store: TrackingStore, trained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `fairmind models …`; REF is the trained version."""
    monkeypatch.setenv("FAIRMIND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    monkeypatch.chdir(tmp_path)
    for module in (models, set_threshold):
        monkeypatch.setattr(module, "results", Console(highlight=False, width=300))

    def call(command: str, *arguments: str) -> Result:
        given = [argument.replace("REF", trained) for argument in arguments]
        return CliRunner().invoke(app, ["models", command, *given])

    return call


def test_a_version_at_another_threshold_is_shown_with_its_gates_and_the_next_step(run: Run) -> None:
    done = run("set-threshold", "REF", "0.45", "--why", "fewer refusals")

    assert done.exit_code == 0, done.output
    title = done.stdout.splitlines()[0]
    made, _, origin = title.partition(" deciding at 0.45")[0].partition(" is ")
    assert made.split("/")[0] == origin.split("/")[0] == "choosy"
    for word in ("accuracy", "sex.demographic_parity_difference", "pass", f"next: fairmind models promote {made}"):
        assert word in done.stdout
    shown = json.loads(run("show", made, "--json").stdout)
    assert shown["tags"]["fairmind.decision.reason"] == "fewer refusals"
    assert shown["tags"]["fairmind.decision_of"] == origin.split("/")[1]
    assert shown["proof"]["decisions_changed"] == 0


def test_failing_gates_are_said_and_stop_the_promotion_only(run: Run) -> None:
    done = run("set-threshold", "REF", "1")

    assert done.exit_code == 0, done.output
    assert "would be refused: quality gate accuracy is " in done.stderr
    assert "next:" not in done.stdout
    answer = json.loads(run("set-threshold", "REF", "0.999", "--json").stdout)
    assert (answer["threshold"], len(answer["refused_by"])) == (0.999, 1)
    assert isinstance(run("promote", answer["reference"]).exception, GateRefusedError)


@pytest.mark.parametrize("threshold", ["0.1234", "12", "nan"])
def test_a_threshold_that_cannot_be_is_wrong_usage(run: Run, threshold: str) -> None:
    failed = run("set-threshold", "REF", threshold).exception

    assert isinstance(failed, ThresholdError)
    assert exit_status(failed) == BAD_INPUT == exit_status(DecisionError("choosy/1", "it cannot"))
