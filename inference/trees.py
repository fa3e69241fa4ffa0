"""Tree ensembles: the feature matrix is filled block by block and handed to treelite."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from inference.gtil import TreeLibraryError, Trees
from inference.preprocessing import Block, NumberBlock, describe, restore, softmax
from inference.runtime import Columns, Scores
from inference.stored import Stored

KIND = "trees"

_KEEP_ROWS = 4096


class TreeOutput(StrEnum):
    """What the ensemble computes."""

    VALUE = "value"  # a regressor
    SECOND = "second"  # P(classes[1]) of two classes
    ALL = "all"  # the probability of each class
    SCORES = "scores"  # a score for each class, of which the softmax is the probability


class TreeRuntime:
    """A tree ensemble over columns.

    Args:
        blocks: They cover every feature of the ensemble once.
        trees: The ensemble in treelite's serialized form.
        output: What the ensemble computes.
        single: The ensemble compares float32 features, as scikit-learn's forests do.
    """

    def __init__(self, *, blocks: tuple[Block, ...], trees: bytes, output: TreeOutput, single: bool) -> None:
        try:
            self._trees = Trees(trees, raw=output is TreeOutput.SCORES)
        except TreeLibraryError as error:
            raise ValueError(str(error)) from error
        covered = [place for block in blocks for place in range(block.start, block.start + _width(block))]
        if sorted(covered) != list(range(self._trees.features)):
            raise ValueError(f"the blocks do not cover the {self._trees.features} features of the trees once each")
        if output in {TreeOutput.VALUE, TreeOutput.SECOND} and self._trees.outputs != 1:
            raise ValueError(f"one output expected, the trees have {self._trees.outputs}")
        self._blocks, self._content, self._output, self._single = blocks, trees, output, single
        self._stops = [(block, block.start + _width(block)) for block in blocks]
        self._matrix = np.empty((1, self._trees.features))

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What it makes of its columns."""
        return self._blocks

    @property
    def classes(self) -> int:
        """How many classes it gives probabilities for; 0 for a regressor."""
        return {TreeOutput.VALUE: 0, TreeOutput.SECOND: 2}.get(self._output, self._trees.outputs)

    def run(self, columns: Columns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        result = self._trees.predict(self._features(columns, rows))
        if self._output is TreeOutput.VALUE:
            return Scores(values=result[:, 0])
        if self._output is TreeOutput.ALL:
            return Scores(probabilities=result)
        if self._output is TreeOutput.SCORES:
            return Scores(probabilities=softmax(result))
        probabilities = np.empty((rows, 2))
        np.subtract(1.0, result[:, 0], out=probabilities[:, 0])
        probabilities[:, 1] = result[:, 0]
        return Scores(probabilities=probabilities)

    def _features(self, columns: Columns, rows: int) -> NDArray[np.float64]:
        if rows > len(self._matrix):
            grown = np.empty((rows, self._trees.features))
            if rows <= _KEEP_ROWS:
                self._matrix = grown
            matrix = grown
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

    def _fill_one(self, columns: Columns, row: NDArray[np.float64]) -> None:
        with np.errstate(over="ignore"):
            for block, stop in self._stops:
                value = columns[block.column].item()
                if isinstance(block, NumberBlock):
                    feature = block.feature(float(value))
                    row[block.start] = np.float32(feature) if self._single else feature
                else:
                    row[block.start : stop] = block.row(value)

    def stored(self) -> Stored:
        """Return the runtime taken apart; `from_stored` is its inverse."""
        values, arrays = describe(self._blocks)
        parameters = {"output": self._output.value, "single": self._single, "blocks": values}
        return Stored(KIND, parameters, arrays, self._content)

    @classmethod
    def from_stored(cls, stored: Stored) -> Self:
        """Return the runtime.

        Raises:
            ValueError, KeyError, TypeError: Its parts do not fit together.
        """
        if stored.trees is None:
            raise ValueError("it has no trees")
        return cls(
            blocks=restore(stored.parameters["blocks"], stored.arrays),
            trees=stored.trees,
            output=TreeOutput(stored.parameters["output"]),
            single=bool(stored.parameters["single"]),
        )


def _width(block: Block) -> int:
    return 1 if isinstance(block, NumberBlock) else block.table.shape[1]
