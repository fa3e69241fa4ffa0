"""`fairmind reproduce`: one logged decision made again, in words and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli import reproduce
from cli.context import Context
from cli.failures import BAD_INPUT, FAILED, exit_status
from explanation.errors import NotInstalledError
from inference.columns import columns_from_rows
from inference.loading import load_model
from registry.digest import digest_folder
from registry.versions import DIGEST_TAG
from tests.fakes.records import prediction_record
from tests.fakes.registry import FakeRegistry
from tests.unit.monitoring.log_home import LogHome
from tests.unit.replay.deployment import THRESHOLD, write_versions

ROW = {"age": 51.3, "amount": 2500.0, "job": "smith"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_versions(tmp_path_factory.mktemp("versions"))[THRESHOLD]


@pytest.fixture
def logged(deployment: Context, registry: FakeRegistry, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Version 4 of the model answered `r-0` and `r-1`; nothing came before, and there is no profile."""
    monkeypatch.setattr(reproduce, "results", Console(highlight=False, width=300))
    monkeypatch.setattr(reproduce, "console", Console(highlight=False, width=300))
    registry.register("credit", folder, {DIGEST_TAG: digest_folder(folder)})
    model = load_model(folder / "fairmind")
    answered = model.predict(columns_from_rows([ROW, ROW], model.signature), 2)
    scores = answered.scores(model.signature)
    assert scores is not None
    values = {"predictions": answered.prediction.tolist(), "scores": scores.tolist(), "features": [ROW, ROW]}
    home = LogHome(deployment.home.root, deployment.log)
    home.write([prediction_record("r", 2, model_version="4", served_at=1_790_000_000.5, **values)])
    home.settle()
    return deployment


def test_all_of_it_is_printed_as_json(logged: Context, answer: Callable[..., Any]) -> None:
    told = answer(["reproduce", "r-1"])
    assert (told["same"], told["threshold"], told["features"]) == (True, 0.4, ROW)
    assert told["explanation"] is None
    assert "nothing to compare the row with" in told["unexplained"]


def test_a_decision_that_is_the_same_is_shown_with_its_rule_and_its_row(logged: Context, fairmind: Any) -> None:
    shown = fairmind("reproduce", "r-0", "--no-explain")
    assert shown.exit_code == 0
    for words in ("r-0: the same, bit for bit", "1 at 0.4 and above", "credit/4", "sha256:", "'smith'"):
        assert words in shown.output, words


def test_one_that_cannot_be_made_again_says_why_and_ends_with_1(
    logged: Context, fairmind: Any, registry: FakeRegistry
) -> None:
    registry.delete("credit", "4")
    shown = fairmind("reproduce", "r-0")
    assert shown.exit_code == FAILED
    assert "not reproduced: credit/4 (of unknown digest), which answered at" in shown.output


def test_an_id_that_nobody_gave_is_bad_input(logged: Context, fairmind: Any) -> None:
    failed = fairmind("reproduce", "nope-0")
    assert failed.exception is not None
    assert exit_status(failed.exception) == BAD_INPUT


@pytest.mark.long  # shap takes seconds to import
def test_an_explanation_is_shown_feature_by_feature(
    logged: Context, fairmind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = LogHome(logged.home.root, logged.log)
    others = [ROW | {"age": float(age)} for age in range(20, 60)]
    home.write([prediction_record("b", 40, model_version="4", served_at=1_789_999_000.5, features=others)])
    home.settle()
    shown = fairmind("reproduce", "r-0")
    assert "What makes the probability of 1" in shown.output
    assert "all subsets of features, beside 40 rows logged before it" in shown.output

    def missing() -> Any:
        raise NotInstalledError

    monkeypatch.setattr("explanation.shapley._shap", missing)
    without = fairmind("reproduce", "r-0")
    assert without.exit_code == 0
    assert "not explained: explanations need the library shap" in without.output
