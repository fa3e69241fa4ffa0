"""What is made of several rates of one group: balanced accuracy, F1, the balance of the two errors."""

from __future__ import annotations

import math
from enum import StrEnum

from fairness.counts import GroupCounts
from fairness.intervals import wilson
from fairness.rates import Rate, RateName, parts, rate, undefined


class DerivedName(StrEnum):
    """Measures of one group that are no plain share of its rows."""

    BALANCED_ACCURACY = "balanced_accuracy"
    F1 = "f1"
    TREATMENT_EQUALITY = "treatment_equality"


Statistic = RateName | DerivedName
"""Anything measured of one group."""

STATISTICS: tuple[Statistic, ...] = (*RateName, *DerivedName)


def statistic(name: Statistic, group: GroupCounts, confidence: float = 0.95) -> Rate:
    """Return any rate or derived measure of one group."""
    return rate(name, group, confidence) if isinstance(name, RateName) else derived(name, group, confidence)


def derived(name: DerivedName, group: GroupCounts, confidence: float = 0.95) -> Rate:
    """Return one derived measure of one group with its interval; `denominator` is the rows that this rests on.

    - `balanced_accuracy`, the mean of the true positive and the true negative rate: from 0 to 1, 0.5 for a coin.
      Undefined without actual positives or without actual negatives. Its interval is put together from the two
      Wilson intervals as Newcombe does for a difference.
    - `f1` = 2 tp / (2 tp + fp + fn): from 0 to 1. Undefined where nobody is positive and nobody was selected. It is
      2 j / (1 + j) of the share j = tp / (tp + fp + fn), whose Wilson interval is carried over.
    - `treatment_equality` = fn / fp: from 0 without bound, 1 where both errors are as frequent (Berk et al. 2018).
      Undefined without false positives. It is s / (1 - s) of the share s = fn / (fn + fp), as above.
    """
    if name is DerivedName.BALANCED_ACCURACY:
        return _balanced_accuracy(group, confidence)
    value, rows = point(name, group)
    if name is DerivedName.F1:
        if value is None:
            return undefined(group, "actual positives and no selected rows with an outcome")
        low, high = (float(bound) for bound in wilson(group.tp, rows, confidence))
        return Rate(value, 2 * low / (1 + low), 2 * high / (1 + high), rows)
    if value is None:
        return undefined(group, "false positives")
    low, high = (float(bound) for bound in wilson(group.fn, rows, confidence))
    return Rate(value, low / (1 - low), high / (1 - high) if high < 1 else None, rows)


def point(name: Statistic, group: GroupCounts) -> tuple[float | None, int]:
    """Return a measure of one group without its interval, and the rows it rests on; None and 0 where undefined."""
    if isinstance(name, RateName):
        numerator, rows = parts(name, group)
        return (numerator / rows, rows) if rows else (None, 0)
    if name is DerivedName.BALANCED_ACCURACY:
        positives, negatives = group.tp + group.fn, group.tn + group.fp
        if not positives or not negatives:
            return None, 0
        return (group.tp / positives + group.tn / negatives) / 2, min(positives, negatives)
    if name is DerivedName.F1:
        rows = group.tp + group.fp + group.fn
        return (2 * group.tp / (rows + group.tp), rows) if rows else (None, 0)
    return (group.fn / group.fp, group.fn + group.fp) if group.fp else (None, 0)


def _balanced_accuracy(group: GroupCounts, confidence: float) -> Rate:
    value, rows = point(DerivedName.BALANCED_ACCURACY, group)
    positives, negatives = group.tp + group.fn, group.tn + group.fp
    if value is None:
        return undefined(group, "actual negatives" if positives else "actual positives")
    (true_low, false_low), (true_high, false_high) = wilson(
        [group.tp, group.tn], [positives, negatives], confidence
    )
    true, false = group.tp / positives, group.tn / negatives
    below = math.hypot(true - true_low, false - false_low) / 2
    above = math.hypot(true_high - true, false_high - false) / 2
    return Rate(value, max(0.0, value - below), min(1.0, value + above), rows)
