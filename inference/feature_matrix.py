"""The matrix that a model behind blocks takes: filled block by block, kept between calls where it is small."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from inference.preprocessing import Block, CategoryBlock, NumberBlock
from inference.row_layout import DecodedRows
from inference.runtime import EncodedColumns

_KEEP_ROWS = 4096


class FeatureMatrix:
    """Columns in, the features [N, F] out, C-ordered.

    Args:
        blocks: They cover every feature once.
        features: F.
        single: Round to float32, as scikit-learn's forests do before they compare.
        dtype: Of the matrix.

    Raises:
        ValueError: The blocks do not cover the features once each.
    """

    def __init__(
        self, blocks: tuple[Block, ...], features: int, *, single: bool = False, dtype: DTypeLike = np.float64
    ) -> None:
        covered = [place for block in blocks for place in range(block.start, block.start + width(block))]
        if sorted(covered) != list(range(features)):
            raise ValueError(f"the blocks do not cover the {features} features of the model once each")
        # A table is rounded here, once; the numbers are rounded on their way.
        self._blocks = tuple(_rounded(block) for block in blocks) if single else blocks
        self._single = single
        self._matrix = np.empty((1, features), dtype)
        numbers = [block for block in self._blocks if isinstance(block, NumberBlock)]
        self._numbers = [(block.column, None if _is_plain(block) else block.feature) for block in numbers]
        self._categories = [block for block in self._blocks if isinstance(block, CategoryBlock)]
        places = [block.start for block in numbers]
        together = places == list(range(places[0], places[0] + len(places))) if places else False
        self._places = slice(places[0], places[0] + len(places)) if together else np.array(places, dtype=np.intp)
        self._row = np.empty(len(places), np.float32 if single else np.float64)

    def fill(self, columns: EncodedColumns, rows: int) -> NDArray[Any]:
        """Return the features of `rows` rows; good until the next call."""
        if type(columns) is DecodedRows:
            columns = columns.views()
        if rows > len(self._matrix):
            matrix = np.empty((rows, self._matrix.shape[1]), self._matrix.dtype)
            if rows <= _KEEP_ROWS:
                self._matrix = matrix
        else:
            matrix = self._matrix[:rows]
        if rows == 1:
            self._fill_one(columns, matrix[0])
            return matrix
        # A feature beyond float32 becomes infinite, which every threshold sorts as it would the number itself.
        with np.errstate(over="ignore", invalid="ignore"):
            for block in self._blocks:
                features = block.features(columns[block.column])
                if isinstance(block, NumberBlock):
                    matrix[:, block.start] = features.astype(np.float32) if self._single else features
                else:
                    matrix[:, block.start : block.start + features.shape[1]] = features
        return matrix

    def _fill_one(self, columns: EncodedColumns, row: NDArray[Any]) -> None:
        # Plain floats, handed over all at once: an assignment to an array costs more than the arithmetic before it.
        numbers = [
            float(columns[column].item()) if feature is None else feature(float(columns[column].item()))
            for column, feature in self._numbers
        ]
        if numbers:
            with np.errstate(over="ignore"):
                self._row[:] = numbers
                row[self._places] = self._row
        for block in self._categories:
            features = block.row(columns[block.column].item())
            row[block.start : block.start + len(features)] = features


def width(block: Block) -> int:
    """Return how many features the block makes."""
    return 1 if isinstance(block, NumberBlock) else int(block.table.shape[1])


def _is_plain(block: NumberBlock) -> bool:
    return not block.steps and math.isnan(block.missing)


def _rounded(block: Block) -> Block:
    if isinstance(block, NumberBlock):
        return block
    with np.errstate(over="ignore"):
        table = block.table.astype(np.float32).astype(np.float64)
    return block if np.array_equal(table, block.table, equal_nan=True) else dataclasses.replace(block, table=table)
