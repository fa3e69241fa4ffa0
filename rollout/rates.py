"""Means of arms and groups over the steps of a rollout, weighted so that a change in time is no difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollout.evidence import Cell
from rollout.guardrail import Guardrail

Floats = NDArray[np.float64]

LEAST_OF_MEANS: Final = 50
"""Observations per arm from which on the mean of measurements counts as about normal."""


class Rates(NamedTuple):
    """Of each cell, in the order asked for: mean, variance of that mean, and the units that it is worth."""

    mean: Floats
    variance: Floats
    n: Floats


def rates(slots: Sequence[Mapping[int, Cell]]) -> Rates | None:
    """Return the means of cells that are compared with one another; None where no step has two units of each.

    Each slot is an arm, or a group of one, by the step. A step has the same weight in all slots: one over the
    sum of 1/n over them, which is its precision where variances are alike, and knows nothing of what was observed.
    Arms are therefore only compared within a step: shares may change from step to step, and rates in time
    (pooled over a ramp, two equal versions always differ: docs/adr/0027).
    """
    steps = sorted(set.intersection(*(set(slot) for slot in slots)) if slots else ())
    steps = [step for step in steps if all(slot[step].n >= 2 for slot in slots)]
    if not steps:
        return None
    n, total, squares = (
        np.array([[getattr(slot[step], name) for step in steps] for slot in slots], dtype=np.float64)
        for name in ("n", "total", "squares")
    )
    precision = 1 / (1 / n).sum(axis=0)
    weight = precision / precision.sum()
    mean = total / n
    variance = np.maximum(squares - total * mean, 0) / (n - 1) / n
    return Rates((weight * mean).sum(axis=1), (weight**2 * variance).sum(axis=1), 1 / (weight**2 / n).sum(axis=1))


def is_yes_no(cells: Sequence[Cell]) -> bool:
    """Whether all that was observed is yes or no."""
    return all(cell.squares == cell.total and 0 <= cell.total <= cell.n for cell in cells)


def short_of(guardrail: Guardrail, cell: Cell, *, yes_no: bool) -> str | None:
    """Return what a cell lacks for its mean to be about normal, in words, None if nothing."""
    if yes_no:
        least = min(cell.total, cell.n - cell.total)
        if least >= guardrail.min_cell:
            return None
        return f"{least:g} of {guardrail.min_cell} {'yeses' if cell.total <= cell.n - cell.total else 'noes'}"
    enough = max(LEAST_OF_MEANS, guardrail.min_cell)
    if cell.n < enough:
        return f"{cell.n} of {enough} observations"
    return None if cell.squares * cell.n > cell.total**2 else "no two observations that differ"
