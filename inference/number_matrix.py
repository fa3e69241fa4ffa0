"""The features of many number blocks at once: as many operations on a matrix as one block has on its column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inference.arrays import array_of
from inference.preprocessing import FUNCTIONS, NumberBlock, Operation
from inference.row_layout import DecodedRows, RowLayout
from inference.runtime import EncodedColumns


class NumberMatrix:
    """Number blocks whose steps are the same operations; each feature is what its block makes, to the last bit.

    Args:
        blocks: At least one.

    Raises:
        ValueError: They differ in their operations.
    """

    def __init__(self, blocks: Sequence[NumberBlock]) -> None:
        operations = _operations(blocks[0])
        if any(_operations(block) != operations for block in blocks):
            raise ValueError("the blocks differ in their operations")
        self._columns = [block.column for block in blocks]
        self._steps = [
            (FUNCTIONS[operation], np.array([[block.steps[index][1]] for block in blocks]))
            for index, operation in enumerate(operations)
        ]
        self._missing = np.array([[block.missing] for block in blocks])
        self._layout: RowLayout | None = None
        self._places: NDArray[np.intp] | None = None
        self._imputes = not np.isnan(self._missing).all()

    def features(self, columns: EncodedColumns) -> NDArray[np.float64]:
        """Return the features [blocks, rows]."""
        features = self._raw(columns)
        for function, operands in self._steps:
            function(features, operands, out=features)
        if self._imputes:
            np.copyto(features, self._missing, where=np.isnan(features))
        return features

    def _raw(self, columns: EncodedColumns) -> NDArray[np.float64]:
        if type(columns) is DecodedRows:
            if columns.layout is not self._layout:
                self._layout, self._places = columns.layout, _places(columns.layout.doubles.names, self._columns)
            if self._places is not None:
                return columns.doubles.take(self._places, axis=0)
            columns = columns.views()
        return np.array([array_of(columns[name]) for name in self._columns], dtype=np.float64)


def in_runs(blocks: Sequence[NumberBlock]) -> list[tuple[slice, NumberMatrix]]:
    """Return neighbours of the same operations as one matrix each, with their places among the blocks."""
    runs: list[tuple[slice, NumberMatrix]] = []
    start = 0
    for end in range(1, len(blocks) + 1):
        if end == len(blocks) or _operations(blocks[end]) != _operations(blocks[start]):
            runs.append((slice(start, end), NumberMatrix(blocks[start:end])))
            start = end
    return runs


def _operations(block: NumberBlock) -> list[Operation]:
    return [operation for operation, _ in block.steps]


def _places(names: Sequence[str], wanted: Sequence[str]) -> NDArray[np.intp] | None:
    """Return where each wanted name is among `names`, None where one of them is not."""
    places = {name: place for place, name in enumerate(names)}
    return np.array([places[name] for name in wanted]) if places.keys() >= set(wanted) else None
