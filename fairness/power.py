"""How many more rows it would take to settle a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fairness.counts import GroupCounts
from fairness.intervals import donner_zou, newcombe
from fairness.rates import Eligible
from fairness.significance import yates_p

Vector = NDArray[np.float64]
Settled = Callable[[Vector, Vector, Vector, Vector], NDArray[np.bool_]]

LARGEST_SAMPLE: Final = 1e8
"""A verdict that would take more rows than this per group is as good as out of reach."""


def inside(limit: float, *, ratio: bool, alpha: float) -> Settled:
    """Return the test "the interval of this pair lies inside the tolerance"."""

    def settled(x1: Vector, n1: Vector, x2: Vector, n2: Vector) -> NDArray[np.bool_]:
        if ratio:
            lower, upper = donner_zou(x1, n1, x2, n2, 1 - 2 * alpha, corrected=True)
            return np.asarray((lower >= limit) & (upper <= 1 / limit))
        lower, upper = newcombe(x1, n1, x2, n2, 1 - 2 * alpha, corrected=True)
        return np.asarray((lower >= -limit) & (upper <= limit))

    return settled


def distinct(alpha: float, family: int) -> Settled:
    """Return the test "these rates differ", at the level that the strictest step of Holm asks of a family.

    Rates times a number of rows are no whole counts, so Yates' test stands in where Fisher's would be used.
    """

    def settled(x1: Vector, n1: Vector, x2: Vector, n2: Vector) -> NDArray[np.bool_]:
        return np.asarray(yates_p(x1, n1, x2, n2) <= alpha / max(family, 1))

    return settled


def trials_needed(x1: Vector, n1: Vector, x2: Vector, n2: Vector, settled: Settled) -> Vector:
    """Return, per pair, the denominator that both groups need if they keep their rates; infinity if out of reach.

    A group that has more keeps what it has.
    """
    low, high = np.ones(len(x1)), np.full(len(x1), LARGEST_SAMPLE)
    reachable = np.ones(len(x1), dtype=np.bool_)
    p1, p2 = (x1 / n1)[:, None], (x2 / n2)[:, None]
    for _ in range(3):  # three passes of 50 geometric steps each: 1e8 to within a row
        targets = low[:, None] * (high / low)[:, None] ** np.linspace(0, 1, 51)
        m1, m2 = np.maximum(n1[:, None], targets), np.maximum(n2[:, None], targets)
        enough = settled(p1 * m1, m1, p2 * m2, m2)
        reachable &= enough.any(axis=1)
        first = np.argmax(enough, axis=1)
        rows = np.arange(len(x1))
        low, high = targets[rows, np.maximum(first - 1, 0)], targets[rows, first]
    return np.where(reachable, np.ceil(high), np.inf)


def more_rows(rates: Eligible, groups: Mapping[str, GroupCounts], pair: tuple[int, int], trials: float) -> str:
    """Return "needs about n more rows in group 'g'" for the groups of a pair that fall short of `trials`."""
    if not np.isfinite(trials):
        return "the rates are too close to the limit for more rows to settle it"
    short = {}
    for index in pair:
        name, has = rates.names[index], float(rates.trials[index])
        if trials > has:
            # Only some rows count for the rate (positives, say): ask for rows, which is what one can collect.
            short[name] = (trials - has) * groups[name].rows / has
    wanted = " and ".join(f"{about(rows)} in group '{name}'" for name, rows in short.items())
    return f"needs about {wanted}" if wanted else "a few more rows in either group would settle it"


def about(rows: float) -> str:
    """Return a number of rows rounded up to two digits, as words: `"1,300 more rows"`."""
    whole = max(1, int(np.ceil(rows)))
    step = 10 ** max(0, len(str(whole)) - 2)
    return f"{-(-whole // step) * step:,} more rows"
