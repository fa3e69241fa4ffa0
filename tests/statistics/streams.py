"""Simulated traffic of many rollouts at once, as the counts that each look sees, and who was fooled at any look."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

RUNS = [pytest.param(120, id="some runs"), pytest.param(1_000, marks=pytest.mark.long, id="the whole table")]
"""Some runs find a level that is twice what it should be; a thousand are the table of the design."""


class Arms(NamedTuple):
    """Counts so far [runs, looks] of the challenger and the control: units and yeses."""

    n1: Floats
    k1: Floats
    n0: Floats
    k0: Floats

    @property
    def settled(self) -> NDArray[np.bool_]:
        """Whether the burn-in rule of 500 units and ten yeses and noes in each arm is met."""
        least = np.min([self.k1, self.n1 - self.k1, self.k0, self.n0 - self.k0], axis=0)
        return np.asarray((self.n1 + self.n0 >= 500) & (least >= 10))


def allowed(runs: int, alpha: float) -> int:
    """Return how many of `runs` may raise a false alarm of chance alpha each: the 99.9 % quantile."""
    return int(stats.binom.ppf(0.999, runs, alpha))


def steps_of(runs: int, total: int, first: int = 10) -> NDArray[np.int64]:
    """Return batch sizes up to about `total`: looks after every few units, then every 2 or 10 % more."""
    growth, sizes = 1.02 if runs >= 1_000 else 1.1, []
    while sum(sizes) < total:
        sizes.append(max(first, int(sum(sizes) * (growth - 1))))
    return np.array(sizes)


def counts(
    rng: np.random.Generator, sizes: NDArray[np.int64], p: Floats | float, chance: Floats | float
) -> tuple[Floats, Floats]:
    """Return units and yeses so far of units that join with chance `p` and are a yes with `chance`."""
    n = rng.binomial(sizes, p)
    return n.cumsum(axis=-1).astype(float), rng.binomial(n, chance).cumsum(axis=-1).astype(float)


def two_arms(
    rng: np.random.Generator,
    runs: int,
    sizes: NDArray[np.int64],
    rates: tuple[Floats | float, Floats | float],
    share: float = 0.5,
) -> Arms:
    """Return arms with these rates, the challenger's first; `share` of the units are the challenger's."""
    every = np.broadcast_to(sizes, (runs, len(sizes)))
    n1 = rng.binomial(every, share)
    n0 = every - n1
    k1, k0 = rng.binomial(n1, rates[0]), rng.binomial(n0, rates[1])
    return Arms(*(one.cumsum(axis=1).astype(float) for one in (n1, k1, n0, k0)))


def ever(alarms: NDArray[np.bool_]) -> int:
    """Return how many runs [runs, looks] raise an alarm at any look."""
    return int(alarms.any(axis=1).sum())
