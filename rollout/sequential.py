"""Bounds and evidence that hold at every look at once, however often and for however long one looks.

Everything here is a function of counts and sums, so an evaluation after a restart, or of counts that were merged
from several places, is the same to the bit. An e-value is the evidence against a hypothesis: where that is true,
the chance that it ever reaches 1/α is at most α (Ville's inequality). All functions work element by element on
arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaln, gammaln, log_ndtr

Floats = NDArray[np.float64]

CONCENTRATION: Final = 10.0
"""κ of the mixture of alternatives of the exact conditional test: wide, a Beta(5, 5) for cohorts of equal size."""
SPLIT_CONCENTRATION: Final = 1_000.0
"""κ of the mixture of the test of a split: deviations of a few percent of a share are found soonest."""

_ROUNDS, _POINTS = 3, 16


def mixture_scale(planned: ArrayLike, alpha: ArrayLike, *, sides: int = 1) -> Floats:
    """Return g, the units that a mixture counts before the first one: bounds are tightest at `planned` units.

    Waudby-Smith et al. 2024, appendix B.2: g = t* / (L + ln(1 + L)), L = -2 ln α, and α doubled where the bound has
    one side. It must be fixed before anything is seen.
    """
    level = -2 * np.log(np.asarray(alpha, dtype=np.float64) * (2 if sides == 1 else 1))
    return np.asarray(planned / (level + np.log1p(level)), dtype=np.float64)


def radius(variance: ArrayLike, clock: ArrayLike, scale: ArrayLike, alpha: ArrayLike) -> Floats:
    """Return half the width of a two-sided asymptotic confidence sequence (Waudby-Smith et al. 2024, theorem 2.2).

    `variance` is that of the estimate itself, `clock` the units that it rests on, `scale` the g of
    `mixture_scale(..., sides=2)`. Asymptotic: it holds from where the estimate is about normal.
    """
    v, t, g = (np.asarray(value, dtype=np.float64) for value in (variance, clock, scale))
    return np.asarray(np.sqrt(v * (t + g) / t * np.log((t + g) / (g * np.square(alpha)))), dtype=np.float64)


def one_sided_radius(variance: ArrayLike, clock: ArrayLike, scale: ArrayLike, alpha: ArrayLike) -> Floats:
    """Return how far below (or, by itself, above) the estimate a one-sided confidence sequence lies.

    Waudby-Smith et al. 2024, proposition B.1. Where it excludes a value, `one_sided_log_e` has reached ln 1/α.
    """
    v, t, g = (np.asarray(value, dtype=np.float64) for value in (variance, clock, scale))
    return np.asarray(
        np.sqrt(v * (t + g) / t * 2 * np.log1p(np.sqrt((t + g) / g) / (2 * np.asarray(alpha)))), dtype=np.float64
    )


def two_sided_log_e(z: ArrayLike, clock: ArrayLike, scale: ArrayLike) -> Floats:
    """Return ln of the evidence against a value that lies `z` standard errors below the estimate, or above."""
    t, g = np.asarray(clock, dtype=np.float64), np.asarray(scale, dtype=np.float64)
    return np.asarray(0.5 * np.log(g / (t + g)) + 0.5 * np.square(z) * t / (t + g), dtype=np.float64)


def one_sided_log_e(z: ArrayLike, clock: ArrayLike, scale: ArrayLike) -> Floats:
    """Return ln of the evidence that the truth exceeds a value `z` standard errors below the estimate."""
    t, g = np.asarray(clock, dtype=np.float64), np.asarray(scale, dtype=np.float64)
    u = np.asarray(z, dtype=np.float64) * np.sqrt(t / (t + g))
    return np.asarray(np.log(2) + 0.5 * np.log(g / (t + g)) + 0.5 * u**2 + log_ndtr(u), dtype=np.float64)


def conditional_log_e(
    events: ArrayLike, others: ArrayLike, theta: ArrayLike, concentration: float = CONCENTRATION
) -> Floats:
    """Return ln of the evidence that more than a share `theta` of all events are `events`, not `others`.

    Exact in samples of any size. Of the events of two arms, the challenger's share is
    θ = πr / (πr + 1 - π), r the ratio of the rates and π the challenger's share of the units: whatever moves both
    rates alike cancels (Lindon and Malek 2022). Of yeses and noes of one arm θ is its rate. The alternatives are a
    Beta(κθ, κ(1 - θ)) cut to (θ, 1]. Logarithms of steps multiply: add them.
    """
    k, m, at = (np.asarray(value, dtype=np.float64) for value in (events, others, theta))
    a, b = concentration * at, concentration * (1 - at)
    prior = betaln(a, b) + np.log(betaincc(a, b, at))
    posterior = betaln(a + k, b + m) + _log_upper_tail(a + k, b + m, at)
    return np.asarray(posterior - prior - k * np.log(at) - m * np.log1p(-at), dtype=np.float64)


def _log_upper_tail(a: Floats, b: Floats, x: Floats) -> Floats:
    """Return ln of the chance that a Beta(a, b) exceeds x; where that underflows, the first term of its series.

    That term is below the sum, so evidence is never overstated (DLMF 8.17.8).
    """
    tail = np.asarray(betaincc(a, b, x))
    first = a * np.log(x) + b * np.log1p(-x) - betaln(a, b) - np.log(b)
    return np.asarray(np.where(tail > 1e-290, np.log(np.maximum(tail, 1e-300)), first), dtype=np.float64)


def share_bound(events: float, others: float, alpha: float) -> float:
    """Return the lower bound of the share of `events` that holds at every look with 1 - α.

    It is 0 where nothing bounds it. The upper bound is 1 less the lower one of `others`.
    """
    if events <= 0:
        return 0.0
    found = lower_bound(
        lambda theta: conditional_log_e(events, others, np.clip(theta, 1e-12, 1 - 1e-12)),
        events / (events + others),
        alpha,
        least=0.0,
    )
    return found if found > 0 else 0.0


def lower_bound(log_e: Callable[[Floats], Floats], estimate: float, alpha: float, *, least: float) -> float:
    """Return the largest value from `least` to the estimate that is refuted with evidence of 1/α.

    It is `least` if none is; `log_e` falls with the value. The bound is on the safe side, by less than half a
    percent of its distance.
    """
    if estimate <= least:
        return least
    distance = np.concatenate([[0.0], np.geomspace(1e-4, 1, _POINTS)]) * (estimate - least)
    for _ in range(_ROUNDS):
        refuted = log_e(estimate - distance[1:-1]) >= -math.log(alpha)
        first = int(np.argmax(refuted)) if refuted.any() else len(refuted)
        distance = np.linspace(distance[first], distance[first + 1], _POINTS)
    return float(max(estimate - distance[-1], least))


def split_log_e(counts: ArrayLike, shares: ArrayLike, concentration: float = SPLIT_CONCENTRATION) -> Floats:
    """Return ln of the evidence that units do not fall to the arms by these shares (Lindon and Malek 2022).

    `counts` and `shares` have the arms on their last axis; shares sum to 1, none is 0. Exact at every look, where a
    χ² test that is looked at again and again is not.
    """
    n, p = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    prior = concentration * p
    return np.asarray(
        gammaln(concentration)
        - gammaln(concentration + n.sum(axis=-1))
        + (gammaln(prior + n) - gammaln(prior) - n * np.log(p)).sum(axis=-1),
        dtype=np.float64,
    )
