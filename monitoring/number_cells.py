"""Which cell of a profile each of a million numbers falls into, in a few milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.drift_statistics import Counts
from monitoring.profile import NumberProfile

_AT_ONCE: Final = 32_768
"""Values at a time: what is worked on stays in the processor's second cache."""
_GRIDS: Final = (256, 4_096, 65_536)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Equal steps over the edges, with at most one edge in each: a step says the cell but for one comparison.

    Whatever rounding does to the step of a value, it keeps their order, and edges are rounded alike.
    """

    low: float
    scale: float
    before: NDArray[np.int32]
    edge: NDArray[np.float64]

    @classmethod
    def over(cls, edges: NDArray[np.float64]) -> _Grid | None:
        """Return the smallest grid there is; None where two edges are too near to each other."""
        low, high = float(edges[0]), float(edges[-1])
        for steps in _GRIDS:
            with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                scale = float(np.float64(steps) / (np.float64(high) - np.float64(low)))
            if not np.isfinite(scale) or scale <= 0.0:
                return None
            place = ((edges - low) * scale).astype(np.int32)
            if len(np.unique(place)) == len(place):
                edge = np.full(steps + 1, np.inf)
                edge[place] = edges
                before = np.concatenate([[0], np.cumsum(np.isfinite(edge))[:-1]]).astype(np.int32)
                return cls(low, scale, before, edge)
        return None

    def cells(self, values: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return how many edges are at most each value; no value may be NaN."""
        with np.errstate(over="ignore"):
            step = values - self.low
            step *= self.scale
        np.clip(step, 0.0, len(self.edge) - 1, out=step)
        place = step.astype(np.int32)
        found = self.before[place].astype(np.intp)
        found += values >= self.edge[place]
        return found


@dataclass(frozen=True, slots=True)
class NumberCells:
    """Counts numbers in the cells of one profile."""

    edges: NDArray[np.float64]
    grid: _Grid | None
    values: NDArray[np.float64] | None
    minimum: float
    maximum: float

    @classmethod
    def of(cls, profile: NumberProfile) -> NumberCells:
        """Return what counts in the cells of `profile`."""
        return _made(profile.edges, profile.values, profile.minimum, profile.maximum)

    def count(self, values: NDArray[np.float64]) -> Counts:
        """Return the counts of values in the order of `cells.count_column`; NaN is missing."""
        cells = len(self.edges) + 1
        vector = np.zeros(cells + 4, dtype=np.int64)
        for start in range(0, len(values), _AT_ONCE):
            some = values[start : start + _AT_ONCE]
            missing = np.isnan(some)
            gaps = int(np.count_nonzero(missing))
            if gaps:
                some = some[~missing]
                vector[cells] += gaps
            if not len(some):
                continue
            cell = self._cells(some)
            vector[:cells] += np.bincount(cell, minlength=cells)
            if self.values is not None:
                vector[cells + 1] += np.count_nonzero(self.values[cell] != some)
            if some.min() < self.minimum:
                vector[cells + 2] += np.count_nonzero(some < self.minimum)
            if some.max() > self.maximum:
                vector[cells + 3] += np.count_nonzero(some > self.maximum)
        return vector

    def _cells(self, values: NDArray[np.float64]) -> NDArray[np.intp]:
        if self.grid is not None:
            return self.grid.cells(values)
        return np.searchsorted(self.edges, values, side="right")


def floats(column: pa.Array) -> NDArray[np.float64]:
    """Return the numbers of a column, NaN where there is none: a null, or what is no number."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_boolean(column.type):
        column = pc.cast(column, pa.int8())
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return np.full(len(column), np.nan)
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


@lru_cache(maxsize=4_096)
def _made(
    edges: tuple[float, ...], values: tuple[float, ...] | None, minimum: float, maximum: float
) -> NumberCells:
    found = np.array(edges, dtype=np.float64)
    grid = _Grid.over(found) if len(found) > 1 else None
    return NumberCells(found, grid, None if values is None else np.array(values), minimum, maximum)
