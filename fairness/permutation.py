"""How large a disparity chance alone would make, from counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fairness.counts import GroupCounts
from fairness.disparities import Metric
from fairness.rates import eligible

_LARGEST: Final = 10**9
"""numpy draws from urns with fewer balls than this."""

_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Chance:
    """What a metric would be, were the groups treated alike.

    `typical` is the median of such values, `extreme` the one that chance alone passes one time in twenty (the 95 %
    quantile of a difference, the 5 % one of a ratio).

    `p_value` is how often chance alone would be as far from parity as what was measured, at least 1 / (draws + 1).
    """

    typical: float
    extreme: float
    p_value: float
    draws: int


def permutation_null(
    metric: Metric,
    groups: Mapping[str, GroupCounts],
    generator: np.random.Generator,
    *,
    draws: int = 1000,
    minimum_rows: int = 1,
) -> NDArray[np.float64] | None:
    """Return `draws` values of a metric as if the decisions had been dealt out again, regardless of the group.

    Shuffling who belongs to which group and counting is the same as drawing the selected of each group from an
    urn (a multivariate hypergeometric distribution), so the cost does not depend on the number of rows. Each rate
    is shuffled among the rows it is about: the true positive rate among actual positives, so that base rates may
    differ.

    It holds all groups at one rate; whether a gap is within a tolerance is another question, and verdicts answer
    it. None with fewer than two groups, where a ratio is of zeros, or with 10^9 rows or more.
    """
    worst: NDArray[np.float64] | None = None
    for name in metric.rates:
        rates = eligible(name, groups, minimum_rows)
        trials, successes = rates.trials.astype(np.int64), int(rates.successes.sum())
        if len(trials) < 2 or trials.sum() >= _LARGEST or (metric.is_ratio and not successes):
            return None
        drawn = generator.multivariate_hypergeometric(trials, successes, size=draws, method="marginals") / trials
        high, low = drawn.max(axis=1), drawn.min(axis=1)
        part = low / high if metric.is_ratio else high - low
        worst = part if worst is None else (np.minimum if metric.is_ratio else np.maximum)(worst, part)
    return worst


def chance(metric: Metric, value: float, null: NDArray[np.float64]) -> Chance:
    """Return where a measured value stands among those of `permutation_null`."""
    beyond = null <= value + _ROUNDING if metric.is_ratio else null >= value - _ROUNDING
    typical, extreme = np.quantile(null, [0.5, 0.05 if metric.is_ratio else 0.95])
    return Chance(float(typical), float(extreme), float((1 + beyond.sum()) / (len(null) + 1)), len(null))
