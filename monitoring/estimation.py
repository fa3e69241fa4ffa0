"""How well a binary classifier does before its outcomes are known, from calibrated scores: pure, on counts.

Confidence-based performance estimation (NannyML's CBPE): a row scored 0.8, by a score that is calibrated, is of the
second class in eight cases of ten, so what is expected of a confusion matrix follows from scores and decisions
alone. It holds while the scores' calibration does. Where the relation of features and outcome itself changed
(concept drift) it is wrong and cannot know it: only outcomes can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.optimize import isotonic_regression
from scipy.special import ndtri

from monitoring.cells import dense
from monitoring.drift_statistics import Counts
from monitoring.profile import SCORE_STEPS, ScoreProfile

_METRICS: Final = ("accuracy", "precision", "recall", "f1", "outcome_rate")
_MIDDLES: Final = np.minimum((np.arange(SCORE_STEPS + 1) + 0.5) / SCORE_STEPS, 1.0)


class Confusion(BaseModel):
    """What became of rows whose outcome is known; positive is the second class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def rows(self) -> int:
        """Number of rows whose outcome is known."""
        return self.tp + self.fp + self.tn + self.fn


class Estimated(BaseModel):
    """One metric without outcomes, in [lower, upper] at the confidence of the estimate.

    `realised` is the same metric of rows whose outcome is known by now, None where there is none. Metrics that have
    no value, as a precision where nothing was decided for, are left out of the estimate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    value: float
    standard_error: float
    lower: float
    upper: float
    realised: float | None = None


class Estimate(BaseModel):
    """Metrics of `rows` rows without their outcomes; `outcomes` of them are known by now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: int
    outcomes: int
    confidence: float
    metrics: tuple[Estimated, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The share of the second class at each thousandth of the score, [1001], and how well it is known.

    Bins of one `block` have one share, which `rows` reference rows say.
    """

    share: NDArray[np.float64]
    block: NDArray[np.intp]
    rows: NDArray[np.float64]

    def variance(self) -> NDArray[np.float64]:
        """Return the variance of the share of each block; a block without any or of nothing else is not certain."""
        total = np.zeros(len(self.rows))
        np.maximum.at(total, self.block, self.share)
        smoothed = (total * self.rows + 1.0) / (self.rows + 2.0)
        return np.asarray(smoothed * (1.0 - smoothed) / np.maximum(self.rows, 1.0), dtype=np.float64)


def calibrate(profile: ScoreProfile) -> Calibration | None:
    """Return the isotonic regression of outcomes on scores of the reference; None where it has no outcomes.

    Bins that no reference row is in have what lies between their neighbours, on a line.
    """
    if profile.positives is None:
        return None
    rows, positives = dense(profile.counts).sum(axis=0), dense(profile.positives).sum(axis=0)
    used = np.flatnonzero(rows)
    if not len(used):
        return None
    fitted = isotonic_regression(positives[used] / rows[used], weights=rows[used].astype(np.float64))
    share = np.interp(_MIDDLES, _MIDDLES[used], np.clip(fitted.x, 0.0, 1.0))
    blocks = np.repeat(np.arange(len(fitted.weights)), np.diff(fitted.blocks))
    nearest = np.clip(np.searchsorted(used, np.arange(SCORE_STEPS + 1), side="right") - 1, 0, None)
    return Calibration(share, blocks[nearest], np.asarray(fitted.weights, dtype=np.float64))


def estimate(
    calibration: Calibration, scores: Counts, realised: Confusion | None = None, confidence: float = 0.95
) -> Estimate | None:
    """Return what is expected of [2, 1001] scores by decision and bin; None of no rows.

    The standard error has two parts: what rows with these chances may come out as, and what the reference leaves
    open of the chances themselves; by the delta method, from the (co)variances of true positives and false
    negatives.
    """
    rows = int(scores.sum())
    if not rows:
        return None
    share, (first, second) = calibration.share, scores.astype(np.float64)
    tp, fn = float(second @ share), float(first @ share)
    own = share * (1.0 - share)
    blocks = len(calibration.rows)
    of_second = np.bincount(calibration.block, second, minlength=blocks)
    of_first = np.bincount(calibration.block, first, minlength=blocks)
    unknown = calibration.variance()
    covariance = np.array(
        [
            [second @ own + of_second**2 @ unknown, (of_second * of_first) @ unknown],
            [(of_second * of_first) @ unknown, first @ own + of_first**2 @ unknown],
        ]
    )
    z = float(ndtri(0.5 + confidence / 2.0))
    known = None if realised is None or not realised.rows else realised
    found = []
    for metric in _METRICS:
        value, gradient = _metric(metric, tp, fn, float(second.sum()), rows)
        if value is None:
            continue
        error = float(np.sqrt(max(0.0, gradient @ covariance @ gradient)))
        real = None if known is None else realised_metric(metric, known)
        lower, upper = max(0.0, value - z * error), min(1.0, value + z * error)
        found.append(
            Estimated(metric=metric, value=value, standard_error=error, lower=lower, upper=upper, realised=real)
        )
    return Estimate(
        rows=rows, outcomes=0 if known is None else known.rows, confidence=confidence, metrics=tuple(found)
    )


def realised_metric(metric: str, known: Confusion) -> float | None:
    """Return a metric of rows whose outcome is known; None where it has no value."""
    return _metric(metric, known.tp, known.fn, known.tp + known.fp, known.rows)[0]


def _metric(
    metric: str, tp: float, fn: float, selected: float, rows: float
) -> tuple[float | None, NDArray[np.float64]]:
    """Return a metric and its gradient in true positives and false negatives, given who was decided for."""
    positives = tp + fn
    nothing = np.zeros(2)
    match metric:
        case "accuracy":
            return (tp + rows - selected - fn) / rows, np.array([1.0, -1.0]) / rows
        case "outcome_rate":
            return positives / rows, np.array([1.0, 1.0]) / rows
        case "precision":
            return (None, nothing) if not selected else (tp / selected, np.array([1.0, 0.0]) / selected)
        case "recall":
            return (None, nothing) if not positives else (tp / positives, np.array([fn, -tp]) / positives**2)
        case _:
            both = selected + positives
            gradient = np.array([2.0 * (both - tp), -2.0 * tp]) / both**2 if both else nothing
            return (2.0 * tp / both if both else None), gradient
