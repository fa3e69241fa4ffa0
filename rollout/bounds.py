"""What the statistics of one guardrail say: an estimate between two bounds, and the evidence against its margin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_TIMES: Final = np.concatenate([[1.0], 1.1 ** np.arange(1, 73)])
"""Nobody plans for more than 1,000 times the units there are."""


class Bounds(NamedTuple):
    """An estimate that is worse the larger it is, and what is known of it at every look."""

    estimate: float | None
    lower: float | None
    """With the chance alpha_rollback at most the truth is ever below it; None: nothing is known."""
    upper: float | None
    """With the chance alpha_promote at most the truth is ever above it; None: nothing is known."""
    log_e: float | None
    more: float | None
    """About how many times the units there are it takes to pass at this estimate."""
    missing: str | None = None
    """What the statistics still lack to be trusted, in words."""

    def reversed(self) -> Self:
        """Return the same of the negative, which is better the larger it is."""
        flipped = [None if value is None else 0.0 - value for value in (self.estimate, self.upper, self.lower)]
        return self._replace(estimate=flipped[0], lower=flipped[1], upper=flipped[2])


class Levels(NamedTuple):
    """Error probabilities of a false violation and of a false pass, over all looks together."""

    rollback: float
    promote: float

    def part(self, share: float) -> Levels:
        """Return a share of both, for one of several ways to reach a verdict."""
        return Levels(self.rollback * share, self.promote * share)


def joined(one: Bounds, other: Bounds) -> Bounds:
    """Return what two ways say together, each at its share of the levels: the narrower bounds."""
    mores = [more for more in (one.more, other.more) if more is not None]
    return Bounds(
        estimate=one.estimate if one.estimate is not None else other.estimate,
        lower=max((value for value in (one.lower, other.lower) if value is not None), default=None),
        upper=min((value for value in (one.upper, other.upper) if value is not None), default=None),
        log_e=mean_e([value for value in (one.log_e, other.log_e) if value is not None]),
        more=min(mores, default=None),
        missing=one.missing or other.missing,
    )


def mean_e(logarithms: list[float]) -> float | None:
    """Return ln of the mean of e-values, which is one again; None of none."""
    if not logarithms:
        return None
    most = max(logarithms)
    if math.isinf(most):
        return most
    return most + math.log(math.fsum(math.exp(value - most) for value in logarithms) / len(logarithms))


def times_needed(passes: Callable[[Floats], NDArray[np.bool_]]) -> float | None:
    """Return the factor on today's counts from which on they would pass, to 10 %; None beyond 1,000."""
    passing = np.flatnonzero(passes(_TIMES))
    return float(_TIMES[passing[0]]) if len(passing) else None
