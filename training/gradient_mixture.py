"""Fairlearn's exponentiated gradient, and one deterministic model of what it finds."""

from __future__ import annotations

import hashlib
import warnings
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import Pipeline

from training.estimators import noted_convergence
from training.made_estimators import logistic, mixture
from training.mitigated_rows import MitigatedRows
from training.mitigation import Constraint

MOST_TRAININGS: Final = 20
_LEAST_WEIGHT: Final = 1e-6
_CERTAIN: Final = 40.0  # log-odds whose probability is 1 up to float64's last digit


def fit_mixture(
    name: str, pipeline: Pipeline, table: pd.DataFrame, rows: MitigatedRows, constraint: Constraint
) -> tuple[Pipeline, list[float], list[str]]:
    """Return a mitigated pipeline, the weights of its members, and notes.

    `ExponentiatedGradient` (Agarwal et al. 2018) trains the pipeline's model again and again on rows weighted and
    relabelled so that the constraint costs less, and returns a lottery between the models it made. Served is their
    mean: the members' probabilities in the lottery's proportions, decided at one half. That is the same for the
    same row each time, and is not what the theorem is about: only what is measured afterwards holds.

    Args:
        name: Of the estimator, for messages.
        pipeline: Preprocessing, which is kept as it was fitted, and the model to train anew.
        table: The training rows. Those without a group are left out here.
        rows: Their groups and labels.
        constraint: Which rates are to be the same in every group, up to Fairlearn's 0.01.

    Raises:
        EstimatorError: scikit-learn refuses a parameter's value.
    """
    from fairlearn.reductions import ExponentiatedGradient

    preprocess, model = pipeline.named_steps["preprocess"], pipeline.named_steps["model"]
    known = rows.is_known
    features = preprocess.transform(table.iloc[np.flatnonzero(known)])
    oracle = _Oracle(model, features, {})
    gradient = ExponentiatedGradient(oracle, _moment(constraint, rows.second_is_favourable))
    with noted_convergence(name) as notes:
        for kind in (FutureWarning, DeprecationWarning):  # Fairlearn's own, about pandas
            warnings.filterwarnings("ignore", category=kind)
        places = np.arange(int(known.sum())).reshape(-1, 1)
        gradient.fit(places, rows.is_second[known].astype(np.int64), sensitive_features=rows.names[known])
    if len(oracle.trained) == MOST_TRAININGS:
        notes.append(f"the search for models to mix ended at {MOST_TRAININGS} trainings, its limit")
    weighed = [
        (_as_member(gradient.predictors_[place], features.shape[1]), float(weight))
        for place, weight in gradient.weights_.items()
        if weight > _LEAST_WEIGHT
    ]
    members, weights = [member for member, _ in weighed], [weight for _, weight in weighed]
    mixed = Pipeline([("preprocess", preprocess), ("model", mixture(members, weights, model.classes_))])
    left_out = len(known) - int(known.sum())
    if left_out:
        notes.append(f"{left_out} rows whose {rows.attribute} is not known were left out of the mitigation")
    return mixed, weights, list(dict.fromkeys(notes))


class _Oracle(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What Fairlearn trains: the model, always on the same rows, at most `MOST_TRAININGS` times, and never twice
    on the same labels and weights.

    Left alone, Fairlearn trains 30 to 400 models. Once these are spent, it is given the first one again: it takes
    that for no improvement, and finds the best lottery between the models that it has. Rows are passed as places
    only, since Fairlearn takes no sparse matrix and copies others.
    """

    def __init__(self, model: Any, features: Any, trained: dict[bytes, tuple[Any, NDArray[np.int64]]]) -> None:
        self.model, self.features, self.trained = model, features, trained

    def __sklearn_clone__(self) -> _Oracle:
        return _Oracle(self.model, self.features, self.trained)

    def fit(self, _places: object, labels: ArrayLike, sample_weight: ArrayLike) -> _Oracle:
        wanted, weights = np.asarray(labels), np.asarray(sample_weight)
        key = hashlib.sha256(wanted.tobytes() + weights.tobytes()).digest()
        if key not in self.trained and len(self.trained) < MOST_TRAININGS:
            made = clone(self.model).fit(self.features, wanted, sample_weight=weights)
            self.trained[key] = made, made.predict(self.features)
        self.trained_, self.predicted_ = self.trained.get(key) or next(iter(self.trained.values()))
        return self

    def predict(self, _places: object) -> NDArray[np.int64]:
        return self.predicted_


def _moment(constraint: Constraint, second_is_favourable: bool) -> Any:
    from fairlearn import reductions

    match constraint:
        case Constraint.DEMOGRAPHIC_PARITY:
            return reductions.DemographicParity()
        case Constraint.EQUALIZED_ODDS:
            return reductions.EqualizedOdds()
        case Constraint.EQUAL_OPPORTUNITY:
            # Where the first class is favourable, its true positives are the second's true negatives.
            if second_is_favourable:
                return reductions.TruePositiveRateParity()
            return reductions.FalsePositiveRateParity()


def _as_member(predictor: Any, features: int) -> Any:
    """Return the predictor; one that always gives the same answer as a model that can be compiled."""
    if not isinstance(predictor, DummyClassifier):
        return predictor.trained_
    return logistic(np.zeros(features), _CERTAIN if predictor.constant == 1 else -_CERTAIN)
