"""Which of the proven candidates serve: a pure function of what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

WORTHWHILE: Final = 1.3
"""How many times quicker at many rows a second runtime must be: it costs memory and load time for good."""
NOISE: Final = 1.1
"""By how much two measurements of the same call differ on a busy machine."""
FEW, MANY = 1, 1024
_POWERS = range(1, 14)  # 2 to 8192 rows


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate for few rows, and the one for many where it is worth a second runtime."""

    few: str
    many: str | None = None


def choose(costs: Mapping[str, Mapping[int, float]]) -> Choice:
    """Return what to keep of the candidates, given what a call of 1 row and of 1,024 rows costs each.

    The quickest at one row is kept, and a second one only where it is at least `WORTHWHILE` times as quick at 1,024
    rows. Of those that are as quick but for the noise of a measurement the first wins: the order of `costs` is the
    order of preference, in which what computes in float64 stands before what does not.

    Args:
        costs: Any unit of time, by candidate and number of rows; at least one candidate.
    """
    few, many = _quickest(costs, FEW), _quickest(costs, MANY)
    if many != few and costs[few][MANY] >= WORTHWHILE * costs[many][MANY]:
        return Choice(few, many)
    return Choice(few)


def _quickest(costs: Mapping[str, Mapping[int, float]], rows: int) -> str:
    least = min(cost[rows] for cost in costs.values())
    return next(name for name, cost in costs.items() if cost[rows] <= NOISE * least)


def crossover(is_quicker: Callable[[int], bool]) -> int | None:
    """Return the smallest power of two, 2 to 8,192 rows, from which the second candidate is the quicker one.

    Args:
        is_quicker: Whether the second one is quicker at a number of rows; asked for four of them at most, since
            what is quicker at some number is taken to be quicker at every larger one.

    Returns:
        None where it is not quicker even at 8,192 rows.
    """
    low, high = 0, len(_POWERS)
    while low < high:
        middle = (low + high) // 2
        if is_quicker(2 ** _POWERS[middle]):
            high = middle
        else:
            low = middle + 1
    return 2 ** _POWERS[low] if low < len(_POWERS) else None
