"""Trains XGBoost or LightGBM models and keeps what they predict; run where they are installed.

For each case NAME: NAME.json and NAME.ubj, or NAME.txt, with NAME.npy, what it predicts for rows.npy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

ROWS, CLASSES, ROUNDS = 1500, 4, 25
CATEGORICAL = [3, 4]

random = np.random.default_rng(0)
X = np.column_stack([random.normal(size=(ROWS, 3)), random.integers(0, 8, ROWS), random.integers(0, 90, ROWS)])
SCORE = X[:, 0] + X[:, 1] * X[:, 2] + np.sin(X[:, 3]) + np.cos(X[:, 4]) + 0.3 * random.normal(size=ROWS)
HOLES = np.where(random.random(X.shape) < 0.1, np.nan, X)
TARGETS = {
    "binary": (SCORE > 0).astype(int),
    "multi": np.digitize(SCORE, [-1.0, 0.0, 1.0]),
    "value": SCORE * 1000.0 + 5000.0,
    "values": np.column_stack([SCORE, -SCORE]),
    "positive": np.exp(SCORE),
    "share": 1.0 / (1.0 + np.exp(-SCORE)),
}
XGBOOST = {
    "binary:logistic": "binary",
    "multi:softprob": "multi",
    "reg:squarederror": "value",
    "reg:absoluteerror": "value",
    "reg:logistic": "share",
    "count:poisson": "positive",
    "reg:gamma": "positive",
    "reg:tweedie": "positive",
}
LIGHTGBM = {
    "binary": "binary",
    "multiclass": "multi",
    "regression": "value",
    "regression_l1": "value",
    "quantile": "value",
    "cross_entropy": "share",
    "poisson": "positive",
    "gamma": "positive",
    "tweedie": "positive",
}
OPTIONS = {
    "plain": {},
    "never missing": {"use_missing": False},
    "forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
    "one leaf": {"min_data_in_leaf": ROWS - 10},
    "steep": {"sigmoid": 0.7},
}


def train_xgboost(folder: Path) -> None:
    import xgboost

    kinds = ["c" if place in CATEGORICAL else "q" for place in range(X.shape[1])]
    cases = [(objective, target, kind) for objective, target in XGBOOST.items() for kind in (None, kinds)]
    for objective, target, kind in [*cases, ("reg:squarederror", "values", None)]:
        data = xgboost.DMatrix(HOLES, TARGETS[target], feature_types=kind, enable_categorical=kind is not None)
        options = {"objective": objective, "max_depth": 5, "max_cat_to_onehot": 3, "nthread": 1}
        if target == "multi":
            options["num_class"] = CLASSES
        booster = xgboost.train(options, data, ROUNDS)
        name = f"{objective.replace(':', ' ')} {target}{' categories' if kind else ''}"
        for ending in ("json", "ubj"):
            booster.save_model(folder / f"{name}.{ending}")
        np.save(folder / f"{name}.npy", booster.predict(data))
        np.save(folder / f"{name} 7.npy", booster.predict(data, iteration_range=(0, 7)))
    np.save(folder / "rows.npy", HOLES)


def train_lightgbm(folder: Path) -> None:
    import lightgbm

    rows = np.concatenate([HOLES, X, -X, 0.0 * X, np.where(random.random(X.shape) < 0.3, 1e30, X)])
    for objective, target in LIGHTGBM.items():
        for option, settings in OPTIONS.items():
            for categorical in ([], CATEGORICAL):
                options = {"objective": objective, "num_threads": 1, "verbosity": -1, "num_leaves": 15, **settings}
                if target == "multi":
                    options["num_class"] = CLASSES
                data = lightgbm.Dataset(
                    HOLES, TARGETS[target], categorical_feature=categorical, params=dict(options)
                )
                booster = lightgbm.train(options, data, ROUNDS)
                name = f"{objective} {option}{' categories' if categorical else ''}"
                booster.save_model(folder / f"{name}.txt")
                np.save(folder / f"{name}.npy", booster.predict(rows))
    np.save(folder / "rows.npy", rows)


if __name__ == "__main__":
    {"xgboost": train_xgboost, "lightgbm": train_lightgbm}[sys.argv[1]](Path(sys.argv[2]))
