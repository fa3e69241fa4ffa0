"""From a prepared folder to a model that answers, and what is wrong with one that does not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.decision import Decision
from inference.errors import RuntimeLoadError
from inference.signature import Column, ColumnType, Signature, Task
from runners.errors import RunnerStartError
from runners.loading import is_runner, load_runner
from runners.policy import RunnerPolicy
from runners.runtime import RunnerRuntime
from tests.fakes.mlflow_models import ODD_MODEL, save_code
from tests.unit.runners.test_process import ODD


@pytest.fixture
def version(tmp_path: Path) -> Path:
    model = save_code(tmp_path / "model", "odd", "Odd", ODD_MODEL)
    prepared = tmp_path / "version" / "fairmind"
    prepared.mkdir(parents=True)
    signature = Signature(columns=(Column(name="0", type=ColumnType.STRING),), task=Task.OPAQUE, matrix=True)
    specification = {"format": 1, "python": sys.executable, "model": str(model), "flavour": "sklearn", **ODD}
    (prepared / "signature.json").write_text(signature.model_dump_json(), encoding="utf-8")
    (prepared / "decision.json").write_text(Decision().model_dump_json(), encoding="utf-8")
    (prepared / "runner.json").write_text(json.dumps(specification), encoding="utf-8")
    return prepared.parent


def test_a_prepared_version_answers(version: Path) -> None:
    assert is_runner(version)
    model = load_runner(version, RunnerPolicy(call_seconds=5.0))
    assert isinstance(model.runtime, RunnerRuntime)
    assert model.runtime.process.process_id is not None
    try:
        answer = model.predict({"0": np.array(["a", "b"], dtype=object)}, 2)
    finally:
        model.runtime.close()
    assert answer.prediction.tolist() == ["A", "B"]
    assert model.runtime.process.process_id is None


def damage(name: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "decision.json").unlink(), r"decision\.json cannot be read"),
        (lambda folder: (folder / "runner.json").write_text("{"), r"runner\.json is damaged"),
        (damage("runner.json", format=2), r"runner\.json is damaged"),
        (damage("signature.json", task="guess"), r"signature\.json is damaged"),
        (damage("decision.json", threshold=0.5), "a threshold is for binary classifiers"),
    ],
)
def test_a_damaged_folder_says_what_is_wrong(version: Path, change: Callable[[Path], Any], message: str) -> None:
    change(version / "fairmind")
    with pytest.raises(RuntimeLoadError, match=message):
        load_runner(version)


def test_a_model_that_does_not_load_leaves_no_process(version: Path) -> None:
    damage("runner.json", python="/no/such/python")(version / "fairmind")
    with pytest.raises(RunnerStartError, match="cannot be run"):
        load_runner(version)


def test_a_folder_of_another_kind_is_no_runner(tmp_path: Path) -> None:
    assert not is_runner(tmp_path)
