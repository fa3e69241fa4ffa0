"""Compiles, proves and stores models where other versions of their libraries are, which is where it is run.

Prints a line of JSON for each model: its name, the candidates that were proven, what is chosen, the difference.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import calibration, ensemble, linear_model, neural_network, tree
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler

sys.path.insert(0, sys.argv[1])

from compilation.candidates import candidates
from compilation.selection import select_runtimes
from compilation.verify import verify

random = np.random.default_rng(0)
N = 300
FRAME = pd.DataFrame(
    {
        "age": random.integers(18, 90, N).astype(float),
        "city": random.choice(["Bonn", "Ulm", "Trier"], N),
        "member": random.random(N) < 0.5,
        "income": random.lognormal(8, 1, N).round(2),
    }
)
FRAME.loc[::9, "age"] = np.nan
FRAME.loc[::7, "city"] = np.nan
SCORE = FRAME["age"].fillna(50) + 10 * FRAME["member"] + random.normal(0, 10, N)
TWO, THREE = (SCORE > 55).astype(int), np.digitize(SCORE, [45, 65])
POSITIVE, SEVERAL = np.exp(SCORE / 50), np.c_[SCORE, -SCORE]


def steps(*more: Any) -> ColumnTransformer:
    fill = SimpleImputer(strategy="most_frequent")
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler(), *more), ["age", "income"]),
            ("strings", make_pipeline(fill, OneHotEncoder(handle_unknown="ignore")), ["city"]),
            ("flags", OneHotEncoder(drop="if_binary"), ["member"]),
        ],
        sparse_threshold=0,
    )


def codes() -> ColumnTransformer:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    return ColumnTransformer([("c", encoder, ["city"]), ("n", "passthrough", ["age", "income"])])


LOGISTIC = linear_model.LogisticRegression(max_iter=500)
CALIBRATED = calibration.CalibratedClassifierCV
MODELS: dict[str, tuple[Any, Any, Any]] = {
    "logistic": (LOGISTIC, TWO, steps()),
    "logistic of three": (LOGISTIC, THREE, steps()),
    "logistic by liblinear": (linear_model.LogisticRegression(solver="liblinear"), TWO, steps()),
    "linear": (linear_model.LinearRegression(), SCORE, steps()),
    "poisson": (linear_model.PoissonRegressor(), POSITIVE, steps()),
    "polynomials": (LOGISTIC, TWO, steps(PolynomialFeatures(2))),
    "tree": (tree.DecisionTreeClassifier(), THREE, steps()),
    "forest": (ensemble.RandomForestClassifier(10), TWO, steps()),
    "forest of values": (ensemble.RandomForestRegressor(5), SEVERAL, steps()),
    "boosting": (ensemble.GradientBoostingClassifier(n_estimators=5), THREE, steps()),
    "histogram boosting": (ensemble.HistGradientBoostingClassifier(max_iter=10), TWO, steps()),
    "categories": (ensemble.HistGradientBoostingClassifier(max_iter=10, categorical_features=[0]), TWO, codes()),
    "network": (neural_network.MLPClassifier((8,), max_iter=300), TWO, steps()),
    "isotonic": (CALIBRATED(LOGISTIC, method="isotonic", cv=2), THREE, steps()),
    "calibrated forest": (CALIBRATED(ensemble.RandomForestClassifier(5), cv=2), TWO, steps()),
}
if sys.argv[2] == "old":
    # Until 1.7 there were two ways to be multinomial, and three classes did not imply it.
    MODELS["multinomial"] = (linear_model.LogisticRegression(multi_class="multinomial"), TWO, steps())
    MODELS["one versus rest"] = (linear_model.LogisticRegression(multi_class="ovr"), THREE, steps())
if sys.argv[2] == "xgboost":
    import xgboost

    options: dict[str, Any] = {"n_estimators": 20, "max_depth": 3}
    MODELS = {
        "two": (xgboost.XGBClassifier(**options), TWO, codes()),
        "three": (xgboost.XGBClassifier(**options), THREE, codes()),
        "value": (xgboost.XGBRegressor(**options), SCORE, codes()),
        "counts": (xgboost.XGBRegressor(objective="count:poisson", **options), POSITIVE, codes()),
        "other missing": (xgboost.XGBRegressor(missing=-1.0, **options), SCORE, steps()),
    }
if sys.argv[2] == "lightgbm":
    import lightgbm

    options = {"n_estimators": 20, "min_child_samples": 5, "verbose": -1}
    MODELS = {
        "two": (lightgbm.LGBMClassifier(**options), TWO, codes()),
        "three": (lightgbm.LGBMClassifier(**options), THREE, codes()),
        "value": (lightgbm.LGBMRegressor(**options), SCORE, codes()),
    }

for name, (estimator, target, before) in MODELS.items():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = Pipeline([("preprocess", before), ("model", estimator)]).fit(FRAME, target)
    line: dict[str, Any] = {"name": name}
    try:
        selected = select_runtimes(candidates(model, FRAME), model, FRAME)
        with tempfile.TemporaryDirectory() as folder:
            selected.compiled.save(Path(folder) / "fairmind")
            verify(Path(folder), model, FRAME)
        proof = selected.proof
        line |= {"chosen": proof.chosen, "difference": proof.largest_difference, "versions": proof.versions}
        line["candidates"] = {result.name: result.verdict.value for result in proof.candidates}
    except Exception as error:
        line["error"] = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps(line) + "\n")
