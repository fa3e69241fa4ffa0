"""Bootstrap intervals from counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from fairness.counts import GroupCounts
from fairness.disparities import Metric
from fairness.rates import RateName, eligible, parts


def resample(
    groups: Mapping[str, GroupCounts], generator: np.random.Generator, resamples: int = 1000
) -> dict[str, NDArray[np.float64]]:
    """Return, per group, [resamples, 6] counts as if the rows had been drawn again with replacement.

    Drawing rows with replacement and counting them is the same as drawing the counts from a multinomial
    distribution, so the cost does not depend on the number of rows.
    """
    cells = np.array([astuple(counts) for counts in groups.values()], dtype=np.float64)
    total = cells.sum()
    drawn = generator.multinomial(int(total), (cells / total).ravel(), size=resamples).astype(np.float64)
    table = drawn.reshape(resamples, len(groups), 6)
    return {name: table[:, index, :] for index, name in enumerate(groups)}


def bootstrap_interval(
    metric: Metric,
    groups: Mapping[str, GroupCounts],
    drawn: Mapping[str, NDArray[np.float64]],
    *,
    minimum_rows: int = 1,
    confidence: float = 0.95,
) -> tuple[float, float] | None:
    """Return the percentile interval of a disparity over resampled counts.

    To be shown, never to be judged by: the largest of several differences is never negative and grows with noise,
    so this interval hardly ever reaches 0, however fair the model is. None where the metric is undefined.
    """
    worst: NDArray[np.float64] | None = None
    for rate in metric.rates:
        names = eligible(rate, groups, minimum_rows).names
        if len(names) < 2:
            return None
        values = np.stack([resampled_rate(rate, drawn[name]) for name in names])
        # A group that vanished from a resample has no rate there and sets neither extreme.
        high = np.where(np.isnan(values), -np.inf, values).max(axis=0)
        low = np.where(np.isnan(values), np.inf, values).min(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = low / high if metric.is_ratio else high - low
        worst = part if worst is None else (np.minimum if metric.is_ratio else np.maximum)(worst, part)
    if worst is None:
        return None
    usable = worst[np.isfinite(worst)]
    if not len(usable):
        return None
    tail = (1 - confidence) / 2
    lower, upper = np.quantile(usable, [tail, 1 - tail])
    return float(lower), float(upper)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Resampled counts of one group, an array each, with the sums that `GroupCounts` has."""

    tp: NDArray[np.float64]
    fp: NDArray[np.float64]
    tn: NDArray[np.float64]
    fn: NDArray[np.float64]
    selected_unlabelled: NDArray[np.float64]
    rejected_unlabelled: NDArray[np.float64]

    @property
    def labelled(self) -> NDArray[np.float64]:
        return self.tp + self.fp + self.tn + self.fn

    @property
    def rows(self) -> NDArray[np.float64]:
        return self.labelled + self.selected_unlabelled + self.rejected_unlabelled

    @property
    def selected(self) -> NDArray[np.float64]:
        return self.tp + self.fp + self.selected_unlabelled


def resampled_rate(name: RateName, cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return [resamples] values of one rate of one group, from its [resamples, 6] counts; NaN where undefined."""
    numerator, denominator = parts(name, _Drawn(*cells.T))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(numerator / denominator)
