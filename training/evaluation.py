"""How good and how even-handed a model is on the rows it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics
from sklearn.pipeline import Pipeline

from fairness.report import BiasReport, measure
from inference.signature import Task
from training.data import TrainingData
from training.labels import Labels
from training.policy import Gates


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured on `rows` held-out rows.

    `bias` is None where no selection or no group can be measured: regression, no favourable label, no protected
    attribute.
    """

    rows: int
    quality: Mapping[str, float]
    bias: BiasReport | None

    def numbers(self) -> dict[str, float]:
        """Return every number by its name in MLflow: `roc_auc`, `SEX.equalized_odds_difference` ..."""
        found = dict(self.quality)
        for attribute in self.bias.attributes if self.bias else ():
            for disparity in attribute.disparities:
                if disparity.value is not None:
                    found[f"{attribute.attribute}.{disparity.metric}"] = disparity.value
        return found


@dataclass(frozen=True, slots=True)
class Evaluation(Measurements):
    """What was measured, and the arrays it was measured on.

    `probabilities` is [N, K] in the order of the classes, None for a regressor.
    """

    truth: NDArray[Any]
    predicted: NDArray[Any]
    probabilities: NDArray[np.float64] | None


def evaluate(pipeline: Pipeline, data: TrainingData, rows: NDArray[np.intp], gates: Gates) -> Evaluation:
    """Return the evaluation of a fitted pipeline on the held-out `rows`; bias verdicts follow from `gates`."""
    labels, table = data.labels, data.table.iloc[rows]
    truth = labels.values[rows]
    predicted = np.asarray(pipeline.predict(table))
    if labels.task is Task.REGRESSION:
        return Evaluation(len(rows), _regression(truth, predicted), None, truth, predicted, None)
    probabilities = np.asarray(pipeline.predict_proba(table), dtype=np.float64)
    quality = _classification(labels, truth, predicted, probabilities)
    bias = None
    if data.protected and labels.favourable is not None:
        bias = measure(
            {name: values[rows] for name, values in data.protected.items()},
            truth,
            predicted,
            labels.favourable,
            gates.bias_policy,
            alpha=gates.alpha,
            minimum_rows=gates.minimum_rows,
        )
    return Evaluation(len(rows), quality, bias, truth, predicted, probabilities)


def _classification(
    labels: Labels, truth: NDArray[Any], predicted: NDArray[Any], probabilities: NDArray[np.float64]
) -> dict[str, float]:
    found = {
        "accuracy": metrics.accuracy_score(truth, predicted),
        "log_loss": metrics.log_loss(truth, probabilities, labels=list(labels.classes)),
    }
    if labels.task is Task.BINARY:
        second = truth == labels.classes[1]
        found["roc_auc"] = metrics.roc_auc_score(second, probabilities[:, 1])
        found["brier"] = metrics.brier_score_loss(second, probabilities[:, 1])
    else:
        found["roc_auc"] = metrics.roc_auc_score(
            truth, probabilities, multi_class="ovr", average="macro", labels=list(labels.classes)
        )
    return {name: float(value) for name, value in found.items()}


def _regression(truth: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    return {
        "r2": float(metrics.r2_score(truth, predicted)),
        "mean_absolute_error": float(metrics.mean_absolute_error(truth, predicted)),
        "root_mean_squared_error": float(metrics.root_mean_squared_error(truth, predicted)),
    }
