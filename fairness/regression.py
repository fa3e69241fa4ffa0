"""Predicted amounts by group: how far they are off, in which direction, and how they differ between groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from fairness.aggregates import Aggregate
from fairness.errors import LengthMismatchError, UnusableNumbersError
from fairness.groups import UNKNOWN, Groups
from fairness.rates import Rate


@dataclass(frozen=True, slots=True)
class Moments:
    """How many numbers, their mean, and the sum of their squared distances from it; disjoint ones add up."""

    rows: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Moments) -> Moments:
        rows = self.rows + other.rows
        if not rows:
            return self
        apart = other.mean - self.mean
        # Chan, Golub and LeVeque 1983: raw sums of squares would lose all digits where the mean is large.
        return Moments(
            rows,
            self.mean + apart * other.rows / rows,
            self.squares + other.squares + apart**2 * self.rows * other.rows / rows,
        )


@dataclass(frozen=True, slots=True)
class GroupErrors:
    """One group's predictions and, of the rows with an outcome, outcomes, residuals and absolute residuals.

    A residual is outcome minus prediction: above 0 where the group is predicted too low.
    """

    predictions: Moments = Moments()
    outcomes: Moments = Moments()
    residuals: Moments = Moments()
    absolute: Moments = Moments()

    def __add__(self, other: GroupErrors) -> GroupErrors:
        return GroupErrors(
            self.predictions + other.predictions,
            self.outcomes + other.outcomes,
            self.residuals + other.residuals,
            self.absolute + other.absolute,
        )


@dataclass(frozen=True, slots=True)
class GroupRegression:
    """The measures of one group, in the unit of the outcome (R² has none); each undefined with a reason."""

    rows: int
    labelled: int
    mean_prediction: Rate
    mean_residual: Rate
    mean_absolute_error: Rate
    root_mean_squared_error: Rate
    r2: Rate


MEASURES = ("mean_prediction", "mean_residual", "mean_absolute_error", "root_mean_squared_error", "r2")


def count_errors(groups: Groups, y_true: ArrayLike | None, y_pred: ArrayLike) -> dict[str, GroupErrors]:
    """Return the errors of every group, from N predictions and outcomes (NaN or None where not known).

    Raises:
        LengthMismatchError: The columns are not of one length.
        UnusableNumbersError: A prediction is not finite, an outcome infinite, or something is no number.
    """
    predicted = _numbers("predictions", y_pred)
    if len(groups.codes) != len(predicted):
        raise LengthMismatchError("protected attribute", len(groups.codes), len(predicted))
    _refuse("predictions", ~np.isfinite(predicted), "is no finite number")
    everyone = _moments(groups.codes, predicted, len(groups.names))
    if y_true is None:
        return {name: GroupErrors(moments) for name, moments in zip(groups.names, everyone, strict=True)}
    truth = _numbers("outcomes", y_true)
    if len(truth) != len(predicted):
        raise LengthMismatchError("outcomes", len(truth), len(predicted))
    _refuse("outcomes", np.isinf(truth), "is infinite")
    known = ~np.isnan(truth)
    codes, residual = groups.codes[known], (truth - predicted)[known]
    columns = [_moments(codes, column, len(groups.names)) for column in (truth[known], residual, np.abs(residual))]
    return {name: GroupErrors(*each) for name, *each in zip(groups.names, everyone, *columns, strict=True)}


def regression_metrics(groups: Mapping[str, GroupErrors], confidence: float = 0.95) -> dict[str, GroupRegression]:
    """Return the measures of every group.

    The means have Student's interval, which takes rows to be independent and enough of them for a mean to be
    normal; with a few rows of a skewed amount it is too narrow. RMSE and R² come without one. R² compares with
    always predicting the group's own mean outcome: a group whose outcomes vary little has a low R² at the same
    error.
    """
    return {name: _of_group(errors, confidence) for name, errors in groups.items()}


def regression_gaps(groups: Mapping[str, GroupErrors], minimum_rows: int = 1) -> dict[str, Aggregate]:
    """Return `{measure}_difference` for every measure: highest minus lowest, in the unit of the outcome.

    `mean_prediction_difference` is the gap in independence: 0 where groups are predicted the same on average,
    whatever their outcomes. `mean_residual_difference` is 0 where no group is predicted too high or too low
    beside another. Groups with fewer than `minimum_rows` rows and "unknown" are left out. A value of this sample,
    without a verdict.
    """
    found = {}
    measured = regression_metrics(groups)
    for name in MEASURES:
        values: dict[str, float] = {}
        for group, measures in measured.items():
            rate: Rate = getattr(measures, name)
            if rate.value is not None and group != UNKNOWN and rate.denominator >= minimum_rows:
                values[group] = rate.value
        found[f"{name}_difference"] = _gap(name, values)
    return found


def separation_gap(
    groups: Groups, y_true: ArrayLike, y_pred: ArrayLike, edges: Sequence[float], minimum_rows: int = 1
) -> Aggregate:
    """Return by how much the mean prediction differs between groups among rows of about the same outcome.

    Outcomes are cut into ranges at `edges`; in each, the highest mean prediction minus the lowest is taken over the
    groups with `minimum_rows` rows there, and these are averaged by rows. 0 means that those with the same outcome
    are predicted the same. Wide ranges let differences in outcome through; narrow ones leave few rows, and the
    largest of several noisy means is above the smallest by chance alone.

    Raises:
        LengthMismatchError, UnusableNumbersError: As in `count_errors`.
    """
    truth, predicted = _numbers("outcomes", y_true), _numbers("predictions", y_pred)
    if len(truth) != len(predicted):
        raise LengthMismatchError("outcomes", len(truth), len(predicted))
    span = np.searchsorted(np.asarray(edges, dtype=np.float64), truth, side="right")
    weighted = rows = 0.0
    for place in np.unique(span[~np.isnan(truth)]):
        within = (span == place) & ~np.isnan(truth)
        errors = count_errors(Groups(groups.codes[within], groups.names), None, predicted[within])
        known = [
            each.predictions
            for name, each in errors.items()
            if name != UNKNOWN and each.predictions.rows >= max(1, minimum_rows)
        ]
        if len(known) > 1:
            means = [each.mean for each in known]
            size = sum(each.rows for each in known)
            weighted += (max(means) - min(means)) * size
            rows += size
    if not rows:
        return Aggregate(None, reason="no range of outcomes has two groups with enough rows")
    return Aggregate(weighted / rows)


def _gap(name: str, values: Mapping[str, float]) -> Aggregate:
    if len(values) < 2:
        return Aggregate(None, reason=f"fewer than two groups have enough rows for their {name}")
    highest, lowest = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
    return Aggregate(values[highest] - values[lowest], highest, lowest)


def _of_group(errors: GroupErrors, confidence: float) -> GroupRegression:
    labelled = errors.residuals.rows
    rmse = r2 = _undefined("no outcomes are known")
    if labelled:
        residual = errors.residuals
        total = residual.squares + labelled * residual.mean**2
        rmse = Rate(math.sqrt(total / labelled), None, None, labelled)
        spread = errors.outcomes.squares
        r2 = (
            Rate(1 - total / spread, None, None, labelled)
            if spread > 0
            else _undefined("all outcomes of the group are the same")
        )
    return GroupRegression(
        rows=errors.predictions.rows,
        labelled=labelled,
        mean_prediction=_mean(errors.predictions, "the group has no rows", confidence),
        mean_residual=_mean(errors.residuals, "no outcomes are known", confidence),
        mean_absolute_error=_mean(errors.absolute, "no outcomes are known", confidence),
        root_mean_squared_error=rmse,
        r2=r2,
    )


def _mean(moments: Moments, none: str, confidence: float) -> Rate:
    n = moments.rows
    if not n:
        return _undefined(none)
    if n < 2:
        return Rate(moments.mean, None, None, n)
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * math.sqrt(moments.squares / (n - 1) / n)
    return Rate(moments.mean, moments.mean - half, moments.mean + half, n)


def _undefined(reason: str) -> Rate:
    return Rate(None, None, None, 0, reason)


def _moments(codes: NDArray[np.intp], column: NDArray[np.float64], groups: int) -> list[Moments]:
    rows = np.bincount(codes, minlength=groups)
    mean = np.bincount(codes, weights=column, minlength=groups) / np.maximum(rows, 1)
    squares = np.bincount(codes, weights=(column - mean[codes]) ** 2, minlength=groups)
    return [Moments(*each) for each in zip(rows.tolist(), mean.tolist(), squares.tolist(), strict=True)]


def _numbers(name: str, column: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.asarray(column, dtype=np.float64)  # None becomes NaN
    except (TypeError, ValueError) as error:
        raise UnusableNumbersError(name, "has something other than numbers in it") from error


def _refuse(name: str, wrong: NDArray[np.bool_], reason: str) -> None:
    if wrong.any():
        raise UnusableNumbersError(name, reason, int(np.argmax(wrong)))
