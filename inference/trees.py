"""Tree ensembles: the feature matrix is filled block by block and handed to treelite."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

import numpy as np

from inference.feature_matrix import FeatureMatrix
from inference.gtil import TreeLibraryError, Trees
from inference.preprocessing import Block, describe, restore, softmax
from inference.runtime import EncodedColumns, Scores
from inference.stored import Stored

KIND = "trees"


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

    takes_texts = True

    def __init__(self, *, blocks: tuple[Block, ...], trees: bytes, output: TreeOutput, single: bool) -> None:
        try:
            self._trees = Trees(trees, raw=output is TreeOutput.SCORES)
        except TreeLibraryError as error:
            raise ValueError(str(error)) from error
        self._matrix = FeatureMatrix(blocks, self._trees.features, single=single)
        if output in {TreeOutput.VALUE, TreeOutput.SECOND} and self._trees.outputs != 1:
            raise ValueError(f"one output expected, the trees have {self._trees.outputs}")
        self._blocks, self._content, self._output, self._single = blocks, trees, output, single

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What it makes of its columns."""
        return self._blocks

    @property
    def classes(self) -> int:
        """How many classes it gives probabilities for; 0 for a regressor."""
        return {TreeOutput.VALUE: 0, TreeOutput.SECOND: 2}.get(self._output, self._trees.outputs)

    def run(self, columns: EncodedColumns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        result = self._trees.predict(self._matrix.fill(columns, rows))
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
        if stored.blob is None:
            raise ValueError("it has no trees")
        return cls(
            blocks=restore(stored.parameters["blocks"], stored.arrays),
            trees=stored.blob,
            output=TreeOutput(stored.parameters["output"]),
            single=bool(stored.parameters["single"]),
        )
