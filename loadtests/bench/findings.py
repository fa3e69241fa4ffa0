"""Targets and what became of them: pure arithmetic on measured figures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One target: what it asks, what was measured, and whether that meets it. None: it could not be measured."""

    figure: str
    target: str
    measured: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """The verdict in one word."""
        return {True: "met", False: "**missed**", None: "**not measured**"}[self.met]


def at_most(figure: str, measured: float, limit: float, unit: str = "") -> Finding:
    """Return whether a figure is at most its limit; a missed one says by how much.

    >>> at_most("p99", 12.0, 10.0, " ms").measured
    '12 ms (20 % over)'
    """
    met = measured <= limit
    over = "" if met or limit <= 0 else f" ({100 * (measured / limit - 1):.0f} % over)"
    return Finding(figure, f"≤ {_text(limit)}{unit}", f"{_text(measured)}{unit}{over}", met)


def at_least(figure: str, measured: float, limit: float, unit: str = "") -> Finding:
    """Return whether a figure is at least its limit; a missed one says by how much.

    >>> at_least("goodput", 0.45, 0.9).measured
    '0.45 (50 % short)'
    """
    met = measured >= limit
    short = "" if met or limit <= 0 else f" ({100 * (1 - measured / limit):.0f} % short)"
    return Finding(figure, f"≥ {_text(limit)}{unit}", f"{_text(measured)}{unit}{short}", met)


def not_measured(figure: str, target: str, reason: str) -> Finding:
    """Return a target that could not be measured, with the reason: it is reported, never dropped."""
    return Finding(figure, target, reason, None)


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of figures that were measured in turns, pair by pair.

    A slow minute hits both of a pair and leaves its ratio alone.

    >>> median_ratio([100.0, 50.0, 100.0], [10.0, 5.0, 20.0])
    10.0
    """
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


def overload_bound(refusal_share: float) -> float:
    """Return the largest goodput at twice the peak load, as a share of the peak: (1 - 2r) / (1 - r), at least 0.

    `refusal_share` r is what a refusal costs beside a served request. All capacity is spent on G served and R
    refused requests with G + R twice the peak: G + rR = 1 and G + R = 2.

    >>> overload_bound(0.0), overload_bound(0.25), overload_bound(0.6)
    (1.0, 0.6666666666666666, 0.0)
    """
    return max(0.0, (1 - 2 * refusal_share) / (1 - refusal_share)) if refusal_share < 1 else 0.0


def refusal_cost(cpu: float, served: int, refused: int, cost_of_served: float) -> float | None:
    """Return the CPU of one refusal, from what is left when served requests have had theirs; None without refusals.

    `cpu` and `cost_of_served` in the same unit; never below 0.

    >>> refusal_cost(cpu=10.0, served=80, refused=40, cost_of_served=0.1)
    0.05
    """
    return max(0.0, (cpu - served * cost_of_served) / refused) if refused else None


def marginal_growth(costs: Mapping[int, float]) -> float:
    """Return what one further unit of size costs at the large end, beside what it costs at the small end.

    `costs` is cost by size, three sizes or more. 1.0 is linear growth, whatever the fixed part; below it is better.

    >>> marginal_growth({10: 110.0, 100: 200.0, 500: 600.0})
    1.0
    """
    sizes = sorted(costs)
    first, second, last = sizes[0], sizes[-2], sizes[-1]
    early = (costs[second] - costs[first]) / (second - first)
    late = (costs[last] - costs[second]) / (last - second)
    return late / early


def _text(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
