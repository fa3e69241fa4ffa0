"""The command line of training; the errors it raises become one line and an exit status in the root command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from cli.failures import UsageError
from cli.train import register
from tests.fakes.biased import biased_people
from training.errors import ConfigError, MitigationError
from training.store import TrackingStore


@pytest.fixture
def run(store: TrackingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FAIRMIND_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.tracking_uri)
    monkeypatch.chdir(tmp_path)
    root = typer.Typer()
    register(root)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(root, arguments)

    # The experiment is made with the session's artifact folder, whichever test comes first.
    with store.run("first", params={}, tags={}):
        return call


def test_a_bare_table_is_trained_and_measured_and_nothing_is_gated(run: Any, people_csv: Path) -> None:
    done = run("--data", str(people_csv), "--target", "y", "--protected", "sex, job", "--name", "bare", "--json")

    assert done.exit_code == 0, done.output
    versions = json.loads(done.stdout)["versions"]
    assert [version["reference"] for version in versions] == ["bare/1", "bare/2"]
    assert all(version["gates"] == [] for version in versions)
    assert "job.demographic_parity_difference" in versions[0]["metrics"]
    assert "bare: logistic: fitting on 450 rows" in done.stderr


def test_a_configuration_shows_its_gates_and_what_refuses(run: Any, people_csv: Path, tmp_path: Path) -> None:
    content = {
        "name": "gated",
        "source": {"kind": "file", "path": people_csv.name},
        "label": "y",
        "favourable": "yes",
        "protected": ["sex"],
        "estimators": {"only": {"kind": "logistic_regression"}},
        "gates": {"quality": [{"metric": "accuracy", "at_least": 0.9999}]},
    }
    path = tmp_path / "gated.yaml"
    path.write_text(yaml.safe_dump(content))
    done = run(str(path))

    assert done.exit_code == 0, done.output
    assert "gated/1" in done.stdout
    assert "sex.demographic_parity_difference" in done.stdout
    assert "next: fairmind models promote" not in done.stdout
    assert "would be refused" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ([], UsageError, "either a configuration, or --data"),
        (["a.yaml", "--data", "b.csv"], UsageError, "either a configuration, or --data"),
        (["--data", "b.csv"], UsageError, "--data needs --target"),
        (["a.yaml", "--target", "y"], UsageError, "go with --data"),
        (["a.yaml"], ConfigError, "there is no such file"),
        (["--data", "b.csv", "--target", "y", "--protected", "y"], ConfigError, "both the label and a protected"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    run: Any, arguments: list[str], error: type[Exception], reason: str
) -> None:
    done = run(*arguments)

    assert isinstance(done.exception, error)
    assert reason in str(done.exception)


def test_a_mitigation_is_printed_as_before_and_after_with_what_was_paid(run: Any, tmp_path: Path) -> None:
    biased_people(900).to_csv(tmp_path / "people.csv", index=False)
    table = [
        "--data",
        "people.csv",
        "--target",
        "y",
        "--protected",
        "sex",
        "--favourable",
        "yes",
        "--name",
        "evened",
    ]
    done = run(*table, "--mitigate", "threshold", "--protected-as-features")

    assert done.exit_code == 0, done.output
    for word in (
        "evened/2 is evened/1 mitigated for sex by threshold",
        "selection_rate of 'f'",
        "roc_auc",
        "change",
    ):
        assert word in done.stdout
    answer = json.loads(run(*table, "--mitigate", "reweighing", "--json").stdout)["versions"]
    assert [version["mitigation"] and version["mitigation"]["method"] for version in answer] == [
        None,
        "reweighing",
        None,
        "reweighing",
    ]


@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        (["--attribute", "sex"], UsageError, "go with --mitigate"),
        (["--constraint", "equalized_odds"], UsageError, "go with --mitigate"),
        (["--mitigate", "threshold"], ConfigError, "a mitigation needs the favourable label named"),
        (["--mitigate", "threshold", "--attribute", "z"], ConfigError, "for 'z', which is not among the protected"),
        (["--mitigate", "threshold", "--favourable", "yes"], MitigationError, "--protected-as-features"),
    ],
)
def test_a_mitigation_that_cannot_be_is_refused(
    run: Any, people_csv: Path, options: list[str], error: type[Exception], reason: str
) -> None:
    done = run("--data", str(people_csv), "--target", "y", "--protected", "sex", *options)

    assert isinstance(done.exception, error)
    assert reason in str(done.exception)


def test_a_method_that_does_not_exist_is_wrong_usage_and_the_others_are_named(run: Any, people_csv: Path) -> None:
    done = run("--data", str(people_csv), "--target", "y", "--mitigate", "wishing")

    assert done.exit_code == 2
    assert "reweighing" in done.output
