"""From a model that was trained to its mitigation, by whichever method was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from fairness.reweighing import reweigh
from training.estimators import fit
from training.gradient_mixture import fit_mixture
from training.group_thresholds import group_thresholds, score_method, scores_of_others, with_thresholds
from training.mitigated_rows import MitigatedRows
from training.mitigation import Method, Mitigation


@dataclass(frozen=True, slots=True)
class Mitigated:
    """A mitigated pipeline, what the method found on its way, as plain values, and notes."""

    pipeline: Pipeline
    details: Mapping[str, Any]
    notes: tuple[str, ...]


def mitigate(
    name: str,
    pipeline: Pipeline,
    mitigation: Mitigation,
    *,
    table: pd.DataFrame,
    labels: NDArray[Any],
    rows: MitigatedRows,
    seed: int,
) -> Mitigated:
    """Return the mitigation of a fitted pipeline, which stays as it is.

    Args:
        name: Of the estimator, for messages.
        pipeline: Preprocessing and a binary classifier, fitted on `table`.
        mitigation: What is asked for.
        table: The training rows.
        labels: [N] of the training rows.
        rows: Their groups.
        seed: Of what is drawn at random.

    Raises:
        EstimatorError: scikit-learn refuses a parameter's value.
    """
    match mitigation.method:
        case Method.REWEIGHING:
            weights = reweigh(rows.groups, rows.is_favourable)
            made = clone(pipeline)
            notes = fit(name, made, table, labels, weights)
            return Mitigated(made, {"row_weights": _row_weights(rows, weights)}, tuple(notes))
        case Method.THRESHOLD:
            scores = scores_of_others(pipeline, table, labels, seed)
            thresholds = group_thresholds(scores, rows, mitigation.constraint)
            made = with_thresholds(pipeline, thresholds, table, rows)
            score = score_method(pipeline.named_steps["model"])
            return Mitigated(made, {"score": score, "thresholds": thresholds}, ())
        case Method.EXPONENTIATED_GRADIENT:
            mixed, shares, notes = fit_mixture(name, pipeline, table, rows, mitigation.constraint)
            return Mitigated(mixed, {"members": len(shares), "member_weights": shares}, tuple(notes))


def _row_weights(rows: MitigatedRows, weights: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """Return the weight of each group's rows with the favourable label and with the other one."""
    found: dict[str, dict[str, float]] = {}
    for code, group in enumerate(rows.groups.names):
        for said, favourable in (("favourable", True), ("other", False)):
            mine = (rows.groups.codes == code) & (rows.is_favourable == favourable)
            if mine.any():
                found.setdefault(group, {})[said] = float(weights[mine][0])
    return found
