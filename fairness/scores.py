"""Scores by group, as histograms: how well they rank, how far they are off, and every threshold at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from fairness.aggregates import Aggregate
from fairness.counts import GroupCounts
from fairness.disparities import Metric, measure_metric
from fairness.errors import LengthMismatchError, UnusableNumbersError
from fairness.groups import UNKNOWN, Groups
from fairness.labels import Labels, is_favourable, missing
from fairness.rates import Rate

STEPS: Final = 1_000
"""Bin k holds the scores from k/1000 to below (k+1)/1000; the last one holds the scores that are 1."""

CALIBRATION_BINS: Final = 10
_EDGES: Final = np.append(np.arange(STEPS + 1) / STEPS, np.inf)
_NEGATIVE, _POSITIVE, _UNLABELLED = range(3)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreTable:
    """How often each group got which score, by outcome. Tables of disjoint rows with the same groups' names add up.

    `rows` is [G, 3, 1001] counts of negatives, positives and rows without an outcome; `sums` are the scores in them
    added up, `squares` [G, 3] the squares of the scores.
    """

    names: tuple[str, ...]
    rows: NDArray[np.int64]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    def __add__(self, other: ScoreTable) -> ScoreTable:
        names = (*self.names, *(name for name in other.names if name not in self.names))
        joined = [
            np.zeros((len(names), *part.shape[1:]), dtype=part.dtype)
            for part in (self.rows, self.sums, self.squares)
        ]
        for table in (self, other):
            places = [names.index(name) for name in table.names]
            for whole, part in zip(joined, (table.rows, table.sums, table.squares), strict=True):
                whole[places] += part
        return ScoreTable(names, *joined)

    def at(self, threshold: float) -> dict[str, GroupCounts]:
        """Return the counts of deciding for the favourable label from `threshold` on, which is in thousandths.

        Raises:
            UnusableNumbersError: The threshold is not one of 0, 0.001, ... 1.
        """
        step = round(threshold * STEPS)
        if not 0 <= step <= STEPS or abs(step / STEPS - threshold) > 1e-12:
            raise UnusableNumbersError("threshold", "is not one of 0, 0.001, ... 1")
        above = self.rows[:, :, step:].sum(axis=2)
        below = self.rows.sum(axis=2) - above
        return {
            name: GroupCounts(
                tp=up[1], fp=up[0], tn=down[0], fn=down[1], selected_unlabelled=up[2], rejected_unlabelled=down[2]
            )
            for name, up, down in zip(self.names, above.tolist(), below.tolist(), strict=True)
        }


@dataclass(frozen=True, slots=True)
class GroupScores:
    """How good the scores of one group are: each measure with its interval where it has one, or a reason."""

    auc: Rate
    brier: Rate
    ece: Rate


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """What one threshold would give: the share of right decisions, and each metric, None where undefined."""

    threshold: float
    accuracy: float | None
    values: Mapping[Metric, float | None]


def count_scores(groups: Groups, y_true: Labels | None, scores: ArrayLike, favourable: Any) -> ScoreTable:
    """Return the histograms of N scores, each the probability of the favourable label, from 0 to 1.

    Raises:
        LengthMismatchError: The columns are not of one length.
        UnusableNumbersError: A score is no number from 0 to 1.
    """
    try:
        column = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UnusableNumbersError("scores", "has something other than numbers in it") from error
    if len(groups.codes) != len(column):
        raise LengthMismatchError("protected attribute", len(groups.codes), len(column))
    if y_true is not None and len(y_true) != len(column):
        raise LengthMismatchError("outcomes", len(y_true), len(column))
    wrong = ~((column >= 0) & (column <= 1))
    if wrong.any():
        raise UnusableNumbersError("scores", "is no number from 0 to 1", int(np.argmax(wrong)))
    bins = (column * STEPS).astype(np.int64)
    # Multiplying rounds: a score just below 0.57 may land in bin 570, and a threshold is compared with the score.
    bins -= _EDGES[bins] > column
    bins += _EDGES[bins + 1] <= column
    label = np.full(len(column), _UNLABELLED)
    if y_true is not None:
        absent = missing(y_true)
        label = is_favourable(y_true, favourable).astype(np.intp)
        label = label if absent is None else np.where(absent, _UNLABELLED, label)
    outer = groups.codes * 3 + label
    cell = outer * (STEPS + 1) + bins
    size = len(groups.names) * 3
    shape = (len(groups.names), 3, STEPS + 1)
    return ScoreTable(
        groups.names,
        np.bincount(cell, minlength=size * (STEPS + 1)).reshape(shape),
        _sums(cell, column, size * (STEPS + 1)).reshape(shape),
        _sums(outer, column**2, size).reshape(shape[:2]),
    )


def score_metrics(table: ScoreTable, confidence: float = 0.95) -> dict[str, GroupScores]:
    """Return how good the scores of each group are; undefined for a group with outcomes of one kind only.

    - `auc`: the chance that a positive scores higher than a negative, ties counting half; 0.5 for a coin. Scores
      in one of the thousand bins count as tied. Interval: DeLong et al. 1988, on the logit scale; none where the
      groups are perfectly apart.
    - `brier`: the mean squared distance between score and outcome, from 0 (best) to 1; exact, without an interval.
    - `ece`: the mean distance between score and outcome over ten equal bins, weighted by rows; 0 is best. It is
      above 0 by chance alone, the more so the fewer rows, so that small groups look worse: compare with care.

    Equal AUC says nothing about the threshold that decides; equal calibration and equal error rates exclude each
    other where base rates differ (Kleinberg et al. 2016).
    """
    return {name: _of_group(table, place, confidence) for place, name in enumerate(table.names)}


def score_gaps(table: ScoreTable, minimum_rows: int = 1) -> dict[str, Aggregate]:
    """Return `auc_difference`, `brier_difference` and `ece_difference`: highest minus lowest, unknown left out.

    A group is compared when its rarer outcome has `minimum_rows` rows.
    """
    found = {}
    scores = score_metrics(table)
    for measure in ("auc", "brier", "ece"):
        known: dict[str, float] = {}
        for name, group in scores.items():
            rate: Rate = getattr(group, measure)
            if rate.value is not None and name != UNKNOWN and rate.denominator >= minimum_rows:
                known[name] = rate.value
        if len(known) < 2:
            found[f"{measure}_difference"] = Aggregate(
                None, reason=f"fewer than two groups have enough rows of both outcomes for their {measure}"
            )
            continue
        highest, lowest = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
        found[f"{measure}_difference"] = Aggregate(known[highest] - known[lowest], highest, lowest)
    return found


def sweep(
    table: ScoreTable, metrics: Sequence[Metric], thresholds: Sequence[float], minimum_rows: int = 1
) -> list[SweepPoint]:
    """Return what each threshold would give, one for all groups.

    It shows a trade-off. The best of many thresholds looks better on these rows than it is: what is chosen here has
    to be tested on other rows.

    Raises:
        UnusableNumbersError: A threshold is not one of 0, 0.001, ... 1.
    """
    points = []
    for threshold in thresholds:
        groups = table.at(threshold)
        total = sum(groups.values(), GroupCounts())
        accuracy = (total.tp + total.tn) / total.labelled if total.labelled else None
        values = {metric: measure_metric(metric, groups, minimum_rows).value for metric in metrics}
        points.append(SweepPoint(threshold, accuracy, values))
    return points


def _sums(cell: NDArray[np.intp], values: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(cell, weights=values, minlength=cells), dtype=np.float64)


def _of_group(table: ScoreTable, place: int, confidence: float) -> GroupScores:
    negative, positive = table.rows[place, _NEGATIVE], table.rows[place, _POSITIVE]
    n, p = int(negative.sum()), int(positive.sum())
    if not n or not p:
        one = f"the group has no actual {'negatives' if p else 'positives'}"
        nothing = Rate(None, None, None, 0, one if n or p else "no outcomes are known")
        return GroupScores(nothing, nothing, nothing)
    rows = min(n, p)
    sums = table.sums[place, :_UNLABELLED]
    brier = (table.squares[place, :_UNLABELLED].sum() - 2 * sums[_POSITIVE].sum() + p) / (n + p)
    coarse = np.minimum(np.arange(STEPS + 1) * CALIBRATION_BINS // STEPS, CALIBRATION_BINS - 1)
    off = np.bincount(coarse, weights=sums.sum(axis=0) - positive, minlength=CALIBRATION_BINS)
    ece = np.abs(off).sum() / (n + p)
    return GroupScores(
        _auc(negative, positive, confidence),
        Rate(max(0.0, float(brier)), None, None, rows),
        Rate(float(ece), None, None, rows),
    )


def _auc(negative: NDArray[np.int64], positive: NDArray[np.int64], confidence: float) -> Rate:
    n, p = int(negative.sum()), int(positive.sum())
    # Of a positive in each bin, the share of negatives below it; of a negative, the share of positives above.
    below = (np.cumsum(negative) - negative / 2) / n
    above = 1 - (np.cumsum(positive) - positive / 2) / p
    auc = float(positive @ below / p)
    rows = min(n, p)
    if rows < 2 or not 0 < auc < 1:
        return Rate(auc, None, None, rows)
    variance = positive @ (below - auc) ** 2 / (p - 1) / p + negative @ (above - auc) ** 2 / (n - 1) / n
    spread = ndtri(0.5 + confidence / 2) * math.sqrt(variance) / (auc * (1 - auc))
    centre = math.log(auc / (1 - auc))
    low, high = (1 / (1 + math.exp(-(centre + side * spread))) for side in (-1, 1))
    return Rate(auc, low, high, rows)
