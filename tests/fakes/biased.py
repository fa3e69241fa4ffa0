"""People of whom one sex is favoured, by what is recorded of them and by the label itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from training.config import EstimatorConfig, TrainingConfig, UnknownCategories
from training.data import TrainingData, prepare
from training.estimators import build
from training.mitigated_rows import MitigatedRows, mitigated_rows
from training.split import Rows

KINDS: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "gradient_boosting": {"max_iter": 10},
    "random_forest": {"n_estimators": 10, "min_samples_leaf": 10},
}
"""Every kind of classifier, with parameters that make it quick."""


def biased_people(rows: int = 1_500, seed: int = 0) -> pd.DataFrame:
    """Return two numbers, two texts and a label `y` ("yes" is good) that women get less often.

    `score` differs between the sexes, `sex` is missing in one row of forty.
    """
    draw = np.random.default_rng(seed)
    woman = draw.random(rows) < 0.4
    score = draw.normal(50, 10, rows) - 6 * woman
    age = draw.integers(18, 80, rows)
    job = draw.choice(["clerk", "smith", "baker"], rows)
    merit = score + 0.2 * age + 4 * (job == "smith") - 5 * woman + draw.normal(0, 6, rows)
    sex = np.where(woman, "f", "m").astype(object)
    sex[draw.random(rows) < 0.025] = None
    return pd.DataFrame(
        {
            "score": score.round(2),
            "age": age.astype(float),
            "job": pd.Series(job, dtype="str"),
            "sex": pd.Series(sex, dtype="str"),
            "y": pd.Series(np.where(merit > 59, "yes", "no"), dtype="str"),
        }
    )


def configured(method: str = "reweighing", **changes: Any) -> TrainingConfig:
    """Return a configuration that mitigates for sex."""
    content = {
        "name": "m",
        "source": {"kind": "file", "path": "people.csv"},
        "label": "y",
        "favourable": "yes",
        "protected": ["sex"],
        "mitigation": {"method": method},
    }
    return TrainingConfig.parse({**content, **changes}, where="test")


def all_to_train(frame: pd.DataFrame, config: TrainingConfig) -> tuple[TrainingData, MitigatedRows]:
    """Return a table as training data, and all its rows as those of the configured mitigation."""
    data = prepare(frame, config)
    every = np.arange(len(data.table))
    assert config.mitigation is not None
    return data, mitigated_rows(config, config.mitigation, data, Rows(every, every[:0]))


def trained(kind: str, data: TrainingData) -> Pipeline:
    """Return a classifier of one kind, trained on the whole table."""
    config = EstimatorConfig(kind=kind, params=KINDS[kind])
    pipeline = build(
        "m", config, task=data.labels.task, features=data.features, unknown=UnknownCategories.IGNORE, seed=0
    )
    return pipeline.fit(data.table, data.labels.values)
