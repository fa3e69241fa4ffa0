"""Models as somebody logs them who never heard of this project: plain MLflow, nothing of ours."""

from __future__ import annotations

import importlib.metadata
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

_LIBRARIES = ("scikit-learn", "numpy", "pandas", "scipy", "cloudpickle", "skops")
REQUIREMENTS = [f"{name}=={importlib.metadata.version(name)}" for name in _LIBRARIES]
"""What every one of them is logged with: one environment serves them all."""


@dataclass(frozen=True)
class Stranger:
    """A fitted model with rows it takes."""

    model: Any
    frame: Any

    def rows(self, count: int) -> list[dict[str, Any]]:
        """Return the first rows as requests have them."""
        head = self.frame[:count]
        frame = head if isinstance(head, pd.DataFrame) else pd.DataFrame(head, columns=list(map(str, range(2))))
        return frame.to_dict("records")

    def probabilities(self, count: int) -> Any:
        """Return what the model says of the first rows at home: P(second class)."""
        return self.model.predict_proba(self.frame[:count])[:, 1]


def pipeline_with_text(seed: int = 0) -> Stranger:
    """A pipeline on a data frame with a text column; its labels are text."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 80, 300).astype(float),
            "amount": random.normal(3000, 1000, 300),
            "job": random.choice(["nurse", "smith", "clerk"], 300),
        }
    )
    label = np.where(frame["age"] / 40 + (frame["job"] == "smith") + random.normal(0, 1, 300) > 2, "good", "bad")
    columns = ColumnTransformer(
        [("n", StandardScaler(), ["age", "amount"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["job"])]
    )
    return Stranger(Pipeline([("columns", columns), ("model", LogisticRegression())]).fit(frame, label), frame)


def forest_on_a_matrix(seed: int = 0) -> Stranger:
    """A forest fitted on a bare numpy matrix."""
    stranger = pipeline_with_text(seed)
    matrix = stranger.frame[["age", "amount"]].to_numpy()
    label = matrix[:, 0] * 50 + matrix[:, 1] > 5_500
    return Stranger(RandomForestClassifier(10, random_state=seed).fit(matrix, label), matrix)


def save(stranger: Stranger, folder: Path, *, signed: bool = True, example: bool = True, **how: Any) -> Path:
    """Save as `mlflow.sklearn.save_model` does by itself, but for what `how` says."""
    import mlflow.sklearn

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's hints for people
        mlflow.sklearn.save_model(stranger.model, folder, **_described(stranger, signed, example) | how)
    return folder


def log(
    stranger: Stranger, name: str, tracking_uri: str, *, signed: bool = True, example: bool = True, **how: Any
) -> None:
    """Register as `mlflow.sklearn.log_model(…, registered_model_name=…)` does."""
    import mlflow
    import mlflow.sklearn

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(tracking_uri)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mlflow.start_run():
                described = _described(stranger, signed, example) | how
                mlflow.sklearn.log_model(stranger.model, name="model", registered_model_name=name, **described)
    finally:
        mlflow.set_tracking_uri(before)


def _described(stranger: Stranger, signed: bool, example: bool) -> dict[str, Any]:
    from mlflow.models import infer_signature

    described: dict[str, Any] = {"pip_requirements": REQUIREMENTS, "serialization_format": "cloudpickle"}
    if signed:
        described["signature"] = infer_signature(stranger.frame, stranger.model.predict(stranger.frame))
    if example:
        described["input_example"] = stranger.frame[:5]
    return described
