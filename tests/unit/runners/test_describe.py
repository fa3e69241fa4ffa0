"""What a model tells of itself, so that it is served as it decides at home."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from runners.child import load_beside
from runners.specification import RunnerSpecification
from tests.fakes.mlflow_models import save_code, save_sklearn
from tests.unit.runners.conftest import Start

random = np.random.default_rng(0)
X = random.normal(size=(60, 3))
TWO, THREE = np.where(X[:, 0] > 0, "yes", "no"), np.arange(60) % 3
MATRIX = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}]
GRID: dict[str, Any] = {"C": [1.0, 2.0]}

MODELS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "a pipeline": (
        make_pipeline(StandardScaler(), LogisticRegression()),
        TWO,
        {"task": "binary", "classes": ["no", "yes"], "threshold": None, "has_proba": True},
    ),
    "three classes": (RandomForestClassifier(3), THREE, {"task": "multiclass", "classes": [0, 1, 2]}),
    "a search": (GridSearchCV(LogisticRegression(), GRID), TWO, {"task": "binary", "classes": ["no", "yes"]}),
    "a calibrated model": (CalibratedClassifierCV(LinearSVC()), TWO, {"task": "binary"}),
    "a threshold": (
        FixedThresholdClassifier(LogisticRegression(), threshold=0.12, response_method="predict_proba"),
        TWO,
        {"task": "binary", "threshold": 0.12},
    ),
    "a threshold of the first class": (
        FixedThresholdClassifier(LogisticRegression(), threshold=0.12, pos_label="no"),
        TWO,
        {"task": "opaque", "classes": [], "threshold": None},
    ),
    "no probabilities": (LinearSVC(), TWO, {"task": "opaque", "classes": [], "has_proba": False}),
    "several labels per row": (KNeighborsClassifier(), X[:, :2] > 0, {"task": "opaque"}),
    "a regressor": (LinearRegression(), X[:, 0], {"task": "regression", "outputs": [], "n_features": 3}),
    "two values": (RandomForestRegressor(3), X[:, :2], {"task": "regression", "outputs": ["0", "1"]}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_what_its_decisions_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """By what runs in the model's process, here in this one: starting one for each takes seconds."""
    model, target, expected = MODELS[name]
    folder = save_sklearn(model.fit(X, target), tmp_path / "model")
    known = {"python": sys.executable, "flavour": "sklearn", "serialization": "cloudpickle", "model": folder}
    specification = RunnerSpecification.model_validate(known | {"inputs": MATRIX}).model_dump(mode="json")
    monkeypatch.setattr(sys, "path", [*sys.path])  # the model's own code comes first on it
    monkeypatch.setattr(sys, "path_hooks", [*sys.path_hooks])
    tables = load_beside("child_table").TableMaker
    described = json.loads(json.dumps(load_beside("child_model").ChildModel(specification, tables).describe()))
    assert {part: described[part] for part in expected} == expected


def test_a_process_says_the_same_of_its_model(start: Start, tmp_path: Path) -> None:
    model, target, expected = MODELS["a threshold"]
    described = start(save_sklearn(model.fit(X, target), tmp_path / "model"), inputs=MATRIX).describe()
    assert {part: described[part] for part in expected} == expected


def test_a_classifier_of_somebody_s_own_may_decide_as_it_likes(start: Start, tmp_path: Path) -> None:
    source = """
import numpy as np
class Own:
    classes_ = np.array([0, 1])
    def predict_proba(self, matrix): return np.full((len(matrix), 2), 0.5)
    def predict(self, matrix): return np.ones(len(matrix))
"""
    folder = save_code(tmp_path / "model", "own", "Own", source)
    process = start(folder, code_paths=("code",), serialization="pickle", inputs=MATRIX)
    assert process.describe()["task"] == "opaque"
