"""Small data and ordinary scikit-learn pipelines, as a user would write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

CITIES = ("Bonn", "Köln", "Ulm", "Trier")


def people(rows: int = 120, seed: int = 0, *, missing: bool = True) -> pd.DataFrame:
    """Return people with two numbers, two strings and a boolean; with gaps in all but the boolean when asked."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, rows).astype(float),
            "city": random.choice(CITIES, rows),
            "member": random.random(rows) < 0.5,
            "income": random.lognormal(8, 1, rows).round(2),
            "job": random.choice(["a", "b", "c"], rows),
        }
    ).astype({"city": "str", "job": "str"})
    if missing:
        for place, name in enumerate(["age", "city", "income", "job"]):
            frame.loc[frame.index[place :: 11 + place], name] = np.nan
    return frame


def labels(frame: pd.DataFrame, classes: int = 2, seed: int = 1) -> np.ndarray:
    """Return labels that depend on the people and on chance."""
    noise = np.random.default_rng(seed).normal(0, 10, len(frame))
    score = frame["age"].fillna(50).to_numpy() + 15 * frame["member"].to_numpy() + noise
    return np.searchsorted(np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1]), score)


def preprocessing(unknown: str = "ignore") -> ColumnTransformer:
    """Return imputed and scaled numbers, imputed and one-hot encoded strings and booleans."""
    return ColumnTransformer(
        [
            ("numbers", Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())]), ["income", "age"]),
            (
                "strings",
                Pipeline(
                    [
                        ("fill", SimpleImputer(strategy="most_frequent")),
                        ("encode", OneHotEncoder(handle_unknown=unknown, sparse_output=False)),
                    ]
                ),
                ["job", "city"],
            ),
            ("flags", OneHotEncoder(drop="if_binary", sparse_output=False), ["member"]),
        ]
    )


def fitted(estimator: Any, frame: pd.DataFrame, target: Any, steps: Any = None) -> Pipeline:
    """Return the estimator behind the preprocessing, fitted."""
    steps = preprocessing() if steps is None else steps
    return Pipeline([("preprocess", steps), ("model", estimator)]).fit(frame, target)
