"""The menu of estimators: scikit-learn classes by a plain name, each with the types its stored form may hold."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from inference.signature import Task
from training.config import EstimatorConfig, UnknownCategories
from training.errors import EstimatorError
from training.features import Features, preprocessor

# What skops does not trust by itself. The first is the encoder's dtype; none of them runs code when it is loaded.
_ALWAYS = ("numpy.dtype",)
_HIST_TREES = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
_TREES = ("sklearn.tree._tree.Tree",)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of estimator; `dense` estimators do not take the sparse matrix that one-hot encoding makes."""

    estimator: type[BaseEstimator]
    dense: bool = False
    trusted: tuple[str, ...] = ()

    @property
    def trusted_types(self) -> list[str]:
        """The types that a stored pipeline of this kind may hold; one that holds others is refused."""
        return [*_ALWAYS, *self.trusted]


CLASSIFIERS: Mapping[str, Kind] = {
    "logistic_regression": Kind(LogisticRegression),
    "gradient_boosting": Kind(HistGradientBoostingClassifier, dense=True, trusted=_HIST_TREES),
    "random_forest": Kind(RandomForestClassifier, trusted=_TREES),
}
REGRESSORS: Mapping[str, Kind] = {
    "linear_regression": Kind(LinearRegression),
    "ridge": Kind(Ridge),
    "gradient_boosting": Kind(HistGradientBoostingRegressor, dense=True, trusted=_HIST_TREES),
    "random_forest": Kind(RandomForestRegressor, trusted=_TREES),
}
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"logistic_regression": {"max_iter": 1000}}


def default_estimators(task: Task) -> dict[str, EstimatorConfig]:
    """Return what is trained when a configuration names no estimator: a linear model first, then boosted trees."""
    linear = "linear_regression" if task is Task.REGRESSION else "logistic_regression"
    return {
        "linear" if task is Task.REGRESSION else "logistic": EstimatorConfig(kind=linear),
        "boosted": EstimatorConfig(kind="gradient_boosting"),
    }


def kind_of(name: str, config: EstimatorConfig, task: Task) -> Kind:
    """Return the entry of the menu that a configuration means.

    Raises:
        EstimatorError: there is no such kind for the task, or it has no such parameter.
    """
    menu = REGRESSORS if task is Task.REGRESSION else CLASSIFIERS
    if config.kind not in menu:
        known = ", ".join(menu)
        wanted = "regression" if task is Task.REGRESSION else "classification"
        raise EstimatorError(name, f"kind '{config.kind}' does not do {wanted}; choose one of {known}")
    chosen = menu[config.kind]
    accepted = inspect.signature(chosen.estimator).parameters
    unknown = [key for key in config.params if key not in accepted]
    if unknown:
        raise EstimatorError(name, f"{config.kind} has no parameter '{unknown[0]}'; it has {', '.join(accepted)}")
    return chosen


def build(
    name: str, config: EstimatorConfig, *, task: Task, features: Features, unknown: UnknownCategories, seed: int
) -> Pipeline:
    """Return the unfitted pipeline; an estimator that draws random numbers gets `seed` unless its params say else.

    Raises:
        EstimatorError: there is no such kind for the task, or it has no such parameter.
    """
    chosen = kind_of(name, config, task)
    params = {**_DEFAULTS.get(config.kind, {}), **config.params}
    if "random_state" in inspect.signature(chosen.estimator).parameters:
        params.setdefault("random_state", seed)
    steps = [
        ("preprocess", preprocessor(features, unknown, dense=chosen.dense)),
        ("model", chosen.estimator(**params)),
    ]
    return Pipeline(steps)


def leave_a_core() -> AbstractContextManager[object]:
    """Return a context in which OpenMP uses one core less than there are.

    Its threads wait for each other by spinning: with one of them kept off its core by another process, boosting
    was measured to take 65 s instead of 4 s.
    """
    limited: AbstractContextManager[object] = threadpool_limits(max(1, available_cores() - 1), user_api="openmp")
    return limited


def available_cores() -> int:
    """Return the number of cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fit(
    name: str,
    pipeline: Pipeline,
    table: pd.DataFrame,
    labels: NDArray[Any],
    weights: NDArray[np.float64] | None = None,
) -> list[str]:
    """Fit the pipeline, on rows of the given weights; return a note where the solver stopped before it was done.

    Raises:
        EstimatorError: scikit-learn refuses a parameter's value.
    """
    weighted = {} if weights is None else {f"{pipeline.steps[-1][0]}__sample_weight": weights}
    with noted_convergence(name) as notes:
        pipeline.fit(table, labels, **weighted)
    return notes


@contextmanager
def noted_convergence(name: str) -> Iterator[list[str]]:
    """Fit in the body: the notes are complete once it is done, and say where a solver stopped before it was.

    Raises:
        EstimatorError: scikit-learn refuses a parameter's value.
    """
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield notes
        except (ValueError, TypeError) as error:
            # scikit-learn's first line names the parameter and what it may be; later ones may quote data.
            raise EstimatorError(name, str(error).splitlines()[0]) from error
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            notes.append(f"estimator '{name}' stopped before it converged; give it more iterations (max_iter)")
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
