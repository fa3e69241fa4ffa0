"""Fitted scikit-learn estimators put together from numbers and from other fitted ones, as `fit` would leave them.

A mitigated version is library classes only, like every other one: it is stored as skops, compiled, proven and
served in the same way, and whoever loads it from MLflow needs nothing of this project or of Fairlearn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import LabelEncoder


def logistic(coefficients: ArrayLike, intercept: float) -> LogisticRegression:
    """Return the binary model whose P(1) is the logistic of `coefficients` [F] · features + `intercept`."""
    made = LogisticRegression()
    made.coef_ = np.asarray(coefficients, dtype=np.float64).reshape(1, -1)
    made.intercept_ = np.array([intercept], dtype=np.float64)
    made.classes_ = np.array([0, 1])
    made.n_features_in_ = made.coef_.shape[1]
    made.n_iter_ = np.array([0], dtype=np.int32)
    return made


def mixture(members: Sequence[Any], weights: Sequence[float], classes: NDArray[Any]) -> VotingClassifier:
    """Return the model whose probabilities are the weighted mean of those of its fitted binary members."""
    named = [(f"member_{place}", member) for place, member in enumerate(members)]
    made = VotingClassifier(named, voting="soft", weights=list(weights))
    made.estimators_ = list(members)
    made.le_ = LabelEncoder().fit(classes)
    made.classes_ = made.le_.classes_
    return made


def shifted(scorer: Any, method: str, final: LogisticRegression) -> StackingClassifier:
    """Return the binary model that asks `final` about the scorer's answer followed by the features themselves.

    Args:
        scorer: Fitted, on the labels as they are.
        method: Which of its answers: `decision_function`, or `predict_proba` of its second class.
        final: Takes one feature more than the scorer.
    """
    made = StackingClassifier([("scores", scorer)], final, stack_method=method, passthrough=True, cv="prefit")
    made.estimators_ = [scorer]
    made.stack_method_ = [method]
    made.final_estimator_ = final
    made._label_encoder = LabelEncoder().fit(scorer.classes_)
    made.classes_ = made._label_encoder.classes_
    return made
