"""A threshold for each group: found by Fairlearn, made deterministic, and put behind the model that was trained."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import Pipeline

from fairness.groups import UNKNOWN
from training.made_estimators import logistic, shifted
from training.mitigated_rows import MitigatedRows
from training.mitigation import Constraint

FOLDS: Final = 5
_PROBABILITY_SLOPE: Final = (
    4.0  # of the log-odds at one half, so that a probability moves about as its log-odds would
)


def with_thresholds(
    pipeline: Pipeline, thresholds: Mapping[str, float], table: pd.DataFrame, rows: MitigatedRows
) -> Pipeline:
    """Return the fitted pipeline, deciding for `classes[1]` where its score is above its group's threshold.

    The scores are those of `score_method`. The answered probability is the logistic of the distance from the
    threshold: 0.5 at the threshold, and the model's own probability where nothing moved it and the score is the
    log-odds. A row without a group, or of one that was not trained on, is decided as before.

    Args:
        pipeline: Preprocessing and a fitted binary classifier; stays as it is.
        thresholds: Group to threshold.
        table: The training rows, with the attribute as a feature.
        rows: Their groups.
    """
    preprocess, model = pipeline.named_steps["preprocess"], pipeline.named_steps["model"]
    method = score_method(model)
    slope, usual = (1.0, 0.0) if method == "decision_function" else (_PROBABILITY_SLOPE, 0.5)
    features = np.zeros(int(model.n_features_in_))
    for place, group in _indicators(preprocess, table, rows).items():
        features[place] = -slope * (thresholds[group] - usual)
    final = logistic([slope, *features], -slope * usual)
    return Pipeline([("preprocess", preprocess), ("model", shifted(model, method, final))])


def score_method(model: Any) -> str:
    """Return which answer of a classifier thresholds are set on: its decision function, or else its probability."""
    return "decision_function" if hasattr(model, "decision_function") else "predict_proba"


def scores_of_others(
    pipeline: Pipeline, table: pd.DataFrame, labels: NDArray[Any], seed: int
) -> NDArray[np.float64]:
    """Return the score [N] of each training row by a model that was trained without it.

    A model is surer of the rows it learned from than of others: thresholds set on its own scores of them would be
    those of another distribution.
    """
    method = score_method(pipeline.named_steps["model"])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    found = cross_val_predict(clone(pipeline), table, labels, cv=folds, method=method)
    return np.asarray(found if found.ndim == 1 else found[:, 1], dtype=np.float64)


def group_thresholds(scores: NDArray[np.float64], rows: MitigatedRows, constraint: Constraint) -> dict[str, float]:
    """Return the threshold of each known group: rows above it are decided for `classes[1]`.

    Fairlearn's `ThresholdOptimizer` (Hardt et al. 2016) draws lots between two thresholds of a group, which meets
    the constraint exactly in expectation and answers the same person differently each time. Taken instead is the
    one threshold of the group under which the rates of the constraint are nearest to those it would have in
    expectation.

    Args:
        scores: [N] of the training rows.
        rows: Their groups and labels.
        constraint: Which rates are to be the same in every group.
    """
    known = rows.is_known
    names, second, known_scores = rows.names[known], rows.is_second[known], scores[known]
    drawn = _expected(known_scores, names, second, _fairlearn_name(constraint, rows.second_is_favourable))
    thresholds = {}
    for group in (name for name in rows.groups.names if name != UNKNOWN):
        mine = names == group
        among = _rows_of_rates(constraint, second[mine], rows.second_is_favourable)
        thresholds[group] = nearest_threshold(known_scores[mine], drawn[mine], among)
    return thresholds


def nearest_threshold(
    scores: NDArray[np.float64], drawn: NDArray[np.float64], among: Sequence[NDArray[np.bool_]]
) -> float:
    """Return the threshold whose shares of selected rows are nearest to those of a rule that draws lots.

    Args:
        scores: [N].
        drawn: [N] the chance of each row to be selected by that rule.
        among: Sets of rows, [N] each; the largest distance of their shares is made as small as it can be.
    """
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    # Cut k leaves the k lowest rows out; between equal scores there is no cut.
    cuts = np.flatnonzero(np.concatenate(([True], ordered[1:] > ordered[:-1], [True])))
    distance = np.zeros(len(cuts))
    for rows in among:
        left_out = np.concatenate(([0], np.cumsum(rows[order])))[cuts]
        distance = np.maximum(distance, np.abs(1 - left_out / rows.sum() - drawn[rows].mean()))
    cut = int(cuts[distance.argmin()])
    if cut in {0, len(ordered)}:
        return float(ordered[0] - 1.0 if cut == 0 else ordered[-1] + 1.0)
    return float((ordered[cut - 1] + ordered[cut]) / 2)


def _fairlearn_name(constraint: Constraint, second_is_favourable: bool) -> str:
    if constraint is Constraint.EQUAL_OPPORTUNITY:
        return f"true_{'positive' if second_is_favourable else 'negative'}_rate_parity"
    return constraint.value


def _rows_of_rates(
    constraint: Constraint, second: NDArray[np.bool_], second_is_favourable: bool
) -> list[NDArray[np.bool_]]:
    match constraint:
        case Constraint.DEMOGRAPHIC_PARITY:
            return [np.ones_like(second)]
        case Constraint.EQUAL_OPPORTUNITY:
            return [second if second_is_favourable else ~second]
        case Constraint.EQUALIZED_ODDS:
            return [second, ~second]


class _Scores(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """What Fairlearn asks for scores: they are its only feature."""

    def fit(self, _features: object, _labels: object = None) -> _Scores:
        return self

    def predict(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        return features[:, 0]

    def __sklearn_is_fitted__(self) -> bool:
        return True


def _expected(
    scores: NDArray[np.float64], names: NDArray[np.str_], second: NDArray[np.bool_], constraint: str
) -> NDArray[np.float64]:
    """Return each row's chance of being decided for `classes[1]` by Fairlearn's rule."""
    from fairlearn.postprocessing import ThresholdOptimizer

    optimizer = ThresholdOptimizer(
        estimator=_Scores(), constraints=constraint, prefit=True, predict_method="predict"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about pandas
        optimizer.fit(scores.reshape(-1, 1), second.astype(np.int64), sensitive_features=names)
    chances = np.zeros(len(scores))
    for group, rule in optimizer.interpolated_thresholder_.interpolation_dict.items():
        mine = names == group
        chance = rule.p0 * rule.operation0(scores[mine]) + rule.p1 * rule.operation1(scores[mine])
        constant = rule.get("p_ignore", 0.0)
        chances[mine] = constant * rule.get("prediction_constant", 0.0) + (1 - constant) * chance
    return chances


def _indicators(preprocess: Any, table: pd.DataFrame, rows: MitigatedRows) -> dict[int, str]:
    """Return the group that each of the attribute's one-hot features stands for, by the feature's place."""
    spelled = pd.DataFrame({"value": table[rows.attribute].to_numpy(), "group": rows.names})
    spelled = spelled[spelled["group"] != UNKNOWN].drop_duplicates("value")
    asked = table.iloc[np.zeros(len(spelled), dtype=np.intp)].copy()
    asked[rows.attribute] = spelled["value"].astype(table[rows.attribute].dtype).to_numpy()
    made = preprocess.transform(asked)
    features = np.asarray(made.toarray() if hasattr(made, "toarray") else made)
    # One row in all spellings of the attribute: what differs between them is its indicators.
    places = np.flatnonzero((features != features[0]).any(axis=0))
    groups = spelled["group"].tolist()
    return {int(place): groups[int(features[:, place].argmax())] for place in places}
