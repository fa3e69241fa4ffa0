"""`fairmind models adopt` and `verify`: what they refuse, and a version of ours proven again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from bentos.version_folders import is_ours
from cli.failures import exit_status
from compilation.compile import compile_model
from inference.errors import ParityError
from registry.digest import digest_folder
from registry.versions import DIGEST_TAG
from runners.errors import AdoptionError, UntrustedModelError
from tests.fakes.preparers import HerePreparer
from tests.fakes.registry import FakeRegistry
from tests.fakes.strangers import REQUIREMENTS, pipeline_with_text, save

Command = Callable[..., Result]
Answer = Callable[[Sequence[str]], Any]
SKOPS: dict[str, Any] = {"serialization_format": "skops", "skops_trusted_types": ["numpy.dtype"]}


def compiled(registry: FakeRegistry, folder: Path, *, of: int = 0) -> None:
    """Register `ours`: a model in skops' format with the compiled form of the model of another seed."""
    save(pipeline_with_text(), folder, **SKOPS)
    other = pipeline_with_text(of)
    compile_model(other.model, other.frame).save(folder / "fairmind")
    registry.register("ours", folder, {DIGEST_TAG: digest_folder(folder)})


def test_a_version_of_ours_is_proven_again_on_its_example_or_on_given_rows(
    fairmind: Command, answer: Answer, registry: FakeRegistry, tmp_path: Path
) -> None:
    compiled(registry, tmp_path / "model")
    shown = answer(["models", "verify", "ours/1"])
    assert (shown["name"], shown["version"], shown["proof"]["rows"]) == ("ours", "1", 5)
    pipeline_with_text().frame.to_csv(tmp_path / "rows.csv", index=False)
    given = answer(["models", "verify", "ours/1", "--data", str(tmp_path / "rows.csv")])
    assert given["proof"]["rows"] == 300
    assert "equal to" in fairmind("models", "verify", "ours/1").output


def test_a_compiled_form_of_another_model_is_found_out_with_status_1(
    fairmind: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    compiled(registry, tmp_path / "model", of=1)
    error = fairmind("models", "verify", "ours/1").exception
    assert isinstance(error, ParityError)
    assert exit_status(error) == 1


def test_what_was_compiled_in_training_is_not_adopted(
    fairmind: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    compiled(registry, tmp_path / "model")
    error = fairmind("models", "adopt", "ours/1").exception
    assert isinstance(error, AdoptionError)
    assert "fairmind models verify ours/1" in str(error)
    assert exit_status(error) == 2


def test_what_has_no_compiled_form_cannot_be_verified(
    fairmind: Command, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.register("theirs", save(pipeline_with_text(), tmp_path / "model"))
    error = fairmind("models", "verify", "theirs/1").exception
    assert isinstance(error, AdoptionError)
    assert "fairmind models adopt theirs/1" in str(error)


def test_code_of_a_registry_that_is_not_trusted_is_not_run(
    fairmind: Command, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://ada:secret@mlflow:5000")
    registry.register("theirs", save(pipeline_with_text(), tmp_path / "model"))
    error = fairmind("models", "adopt", "theirs/1").exception
    assert isinstance(error, UntrustedModelError)
    assert "FAIRMIND_REGISTRY_TRUSTED=http://mlflow:5000" in str(error)
    assert exit_status(error) == 2


# ---- a whole adoption ----


@pytest.mark.parametrize("environment", ["this one", pytest.param("made by uv", marks=pytest.mark.long)])
def test_a_version_is_adopted_copied_and_then_one_of_ours(
    environment: str,
    answer: Answer,
    registry: FakeRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if environment == "this one":
        here = HerePreparer(tmp_path / "environments", "here", is_trusted=True)
        monkeypatch.setattr("bentos.stores.open_preparer", lambda _settings, _home: here)
    stranger = pipeline_with_text()
    registry.register("theirs", save(stranger, tmp_path / "model", **SKOPS))
    stranger.frame.to_csv(tmp_path / "rows.csv", index=False)
    registry.read_only = True
    kept = answer(["models", "adopt", "theirs/1", "--data", str(tmp_path / "rows.csv")])
    assert (kept["compiled"], kept["copied"]) == (True, False)
    assert "read-only" in kept["note"]
    assert json.loads(json.dumps(kept["proof"]))["rows"] == 300
    registry.read_only, registry.folders_taken = False, 1
    assert "read-only" in answer(["models", "adopt", "theirs/1"])["note"]
    assert not is_ours(Path(registry.versions("theirs")[0].source))  # what arrived is not the whole
    registry.folders_taken = 2
    assert answer(["models", "adopt", "theirs/1"])["copied"]
    version = registry.versions("theirs")[0]
    assert version.digest == digest_folder(Path(version.source))
    assert answer(["models", "verify", "theirs/1"])["proof"]["largest_difference"] < 1e-6


@pytest.mark.long
def test_data_of_a_registry_that_is_not_trusted_is_adopted_with_wheels_of_safe_releases_only(
    answer: Answer, registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    known = [line for line in REQUIREMENTS if not line.startswith("skops")]
    asked = [*known, "skops==0.11.0", "fairmind-has-no-such-package==1", "pydantic==1.10.0"]
    registry.register("theirs", save(pipeline_with_text(), tmp_path / "model", pip_requirements=asked, **SKOPS))
    assert answer(["models", "adopt", "theirs/1"])["compiled"]
    listed = list((tmp_path / "home").rglob("requirements.txt"))
    made = [path.read_text() for path in listed if (path.parent / ".complete").exists()]
    assert made
    assert all("skops>=" in text and "0.11" not in text and "no-such" not in text for text in made)
