"""Exact tests of a difference of two rates against a margin: bets that lose on average where the margin is kept.

Each bet stakes a fixed share of its capital, so capital is a function of counts alone, in any order. The capital
of a geometric ladder of stakes, each with the same part, is the evidence: exact in samples of any size, with no
yes in either arm as well, and whatever moves the rates of both arms alike (Waudby-Smith and Ramdas 2024, on
betting; the hypothesis of a difference and the weighting by arms' shares are our own step: docs/adr/0027).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rollout.sequential import lower_bound

Floats = NDArray[np.float64]

STAKES: Final = 0.98 * 0.8 ** np.arange(28)
"""From nearly all to 1/400 of what may be staked: effects of any size have a stake near their best."""
_LOG_PARTS: Final = np.log(np.sqrt(STAKES) / np.sqrt(STAKES).sum())
"""Of the capital each stake has a part that falls with its root: large effects of few events are found first."""


class Yeses(NamedTuple):
    """`k` yeses of `n` units of one arm in one step."""

    n: Floats | float
    k: Floats | float


class Stratum(NamedTuple):
    """Two arms in one step, whose rates are compared there and nowhere else."""

    worse: Yeses
    """The arm whose rate might exceed the other's by more than the margin."""
    other: Yeses

    @property
    def noes(self) -> Stratum:
        """The same comparison told by noes: rates change their sign and arms their places."""
        return Stratum(
            Yeses(self.other.n, self.other.n - self.other.k), Yeses(self.worse.n, self.worse.n - self.worse.k)
        )


class Differences(NamedTuple):
    """`plus` ones and `minus` minus ones among `n` paired differences of yes and no."""

    n: float
    plus: float
    minus: float

    @property
    def reversed(self) -> Differences:
        """The same pairs, the other less the one."""
        return Differences(self.n, self.minus, self.plus)


class Capital(NamedTuple):
    """What bets have become."""

    growth: Floats
    """ln of the factor of each stake, the last axis."""
    log_parts: Floats
    """ln of the part of the capital that each stake had."""

    def log_e(self, times: ArrayLike = 1.0) -> Floats:
        """Return ln of all the capital, had there been `times` as many units of the same rates."""
        parts = self.growth * np.asarray(times, dtype=np.float64)[..., None] + self.log_parts
        most = parts.max(axis=-1)
        return np.asarray(most + np.log(np.exp(parts - most[..., None]).sum(axis=-1)), dtype=np.float64)


def difference_capital(strata: Sequence[Stratum], margins: ArrayLike, *, yeses: float = 0.5) -> Capital:
    """Return what bets make of these counts that the rate of `worse` exceeds that of `other` by more than a margin.

    A unit falls to `worse` with chance π, its arm's share of the step; the observed share is taken, with which the
    mean of all bets is centred on the observed difference. A yes of `worse` multiplies a bet of stake
    s by 1 + s(1 - a)/π and a no by 1 - sa/π; a yes of `other` by 1 - s(1 - b)/(1 - π) and a no by 1 + sb/(1 - π);
    a = max(margin, 0), b = max(-margin, 0). The mean of a step is 1 + s(rate of worse - rate of other - margin):
    at most 1 where the margin is kept. With a margin of 0 only yeses count: the conditional test of Lindon and
    Malek. The part `yeses` of the capital bets so on yeses, which suits rates near 0, the rest on noes, which
    suits rates near 1. Counts and margins, -1 to 1, broadcast.
    """
    at = np.asarray(margins, dtype=np.float64)
    told = np.array([strata, [one.noes for one in strata]], dtype=np.float64)  # yeses or noes, strata, arm, n or k
    told = told.reshape(*told.shape[:4], *(1,) * max(0, at.ndim - told.ndim + 4), *told.shape[4:], 1)
    n, k, m, j = told[:, :, 0, 0], told[:, :, 0, 1], told[:, :, 1, 0], told[:, :, 1, 1]
    growth = _capital(n, k, m, j, at[..., None]).sum(axis=1)
    return Capital(
        np.concatenate([growth[0], growth[1]], axis=-1),
        np.concatenate([_LOG_PARTS + np.log(yeses), _LOG_PARTS + np.log1p(-yeses)]),
    )


def difference_log_e(strata: Sequence[Stratum], margins: ArrayLike, *, yeses: float = 0.5) -> Floats:
    """Return ln of the evidence that the rate of `worse` exceeds that of `other` by more than a margin."""
    return difference_capital(strata, margins, yeses=yeses).log_e()


def _capital(n: Floats, k: Floats, m: Floats, j: Floats, margins: Floats) -> Floats:
    """Return ln of what each stake, the last axis, becomes by k yeses of n units and j of m."""
    both = np.where((n > 0) & (m > 0), 1.0, 0.0)
    share = np.where(both > 0, n / np.maximum(n + m, 1), 0.5)
    a, b = np.maximum(margins, 0), np.maximum(-margins, 0)
    stakes = STAKES * np.minimum(share, 1 - share)  # the same for all margins: evidence falls with the margin
    yes, no = stakes / share, stakes / (1 - share)
    capital = k * np.log1p(yes * (1 - a)) + j * np.log1p(-no * (1 - b))
    if np.any(a > 0):
        capital = capital + (n - k) * np.log1p(-yes * a)
    if np.any(b > 0):
        capital = capital + (m - j) * np.log1p(no * b)
    return np.asarray(both * capital, dtype=np.float64)


def paired_capital(pairs: Differences, margins: ArrayLike) -> Capital:
    """Return what the bets make of these pairs against a mean difference of no more than a margin.

    With a margin of 0 only pairs that differ count: McNemar's test, looked at as often as one likes. Counts and
    margins, -1 to 1, broadcast.
    """
    n, plus, minus = (np.asarray(value, dtype=np.float64)[..., None] for value in pairs)
    at = np.asarray(margins, dtype=np.float64)[..., None]
    stakes = STAKES / (1 + np.maximum(at, 0))
    return Capital(
        plus * np.log1p(stakes * (1 - at))
        + (n - plus - minus) * np.log1p(-stakes * at)
        + minus * np.log1p(-stakes * (1 + at)),
        _LOG_PARTS,
    )


def paired_log_e(pairs: Differences, margins: ArrayLike) -> Floats:
    """Return ln of the evidence that the mean difference exceeds each margin."""
    return paired_capital(pairs, margins).log_e()


def difference_bound(strata: Sequence[Stratum], estimate: float, alpha: float, *, yeses: float = 0.5) -> float:
    """Return the lower bound, at every look with 1 - α, of the rate of `worse` less that of `other`."""
    return lower_bound(lambda margins: difference_log_e(strata, margins, yeses=yeses), estimate, alpha, least=-1.0)


def paired_bound(pairs: Differences, alpha: float) -> float:
    """Return the lower bound, at every look with 1 - α, of the mean difference."""
    estimate = float((pairs.plus - pairs.minus) / pairs.n)
    return lower_bound(lambda margins: paired_log_e(pairs, margins), estimate, alpha, least=-1.0)
