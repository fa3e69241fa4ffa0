"""An estimator as an ONNX graph: the feature matrix is filled block by block and handed to the graph."""

from __future__ import annotations

from typing import Self

import numpy as np

from inference.feature_matrix import FeatureMatrix
from inference.onnx_output import OnnxOutput, check_output, to_scores
from inference.onnx_session import OnnxSession
from inference.preprocessing import Block, describe, restore
from inference.runtime import EncodedColumns, Scores
from inference.stored import Stored

KIND = "onnx"

_DTYPES = {"tensor(double)": np.float64, "tensor(float)": np.float32}


class OnnxRuntime:
    """An ONNX graph over columns.

    Args:
        blocks: They cover every feature of the graph once.
        graph: A serialized ONNX model of one input, a float or double matrix [N, F].
        output: What the graph computes.
        single: The features are rounded to float32, as scikit-learn's forests do before they compare.
        classes: How many classes it gives probabilities for; 0 for a regressor.
        answer: The name of the output that is read.

    Raises:
        ValueError: The graph is damaged, or the parts do not fit together.
    """

    takes_texts = True

    def __init__(
        self,
        *,
        blocks: tuple[Block, ...],
        graph: bytes,
        output: OnnxOutput,
        single: bool,
        classes: int,
        answer: str = "y",
    ) -> None:
        self._session = OnnxSession(graph, answer)
        if len(self._session.inputs) != 1:
            raise ValueError(f"the graph has {len(self._session.inputs)} inputs, one matrix expected")
        ((self._input, (kind, features)),) = self._session.inputs.items()
        if kind not in _DTYPES or features is None:
            raise ValueError(f"the graph's input is no matrix of floating-point numbers and known width ({kind})")
        check_output(output, classes, self._session.width)
        self._matrix = FeatureMatrix(blocks, features, single=single, dtype=_DTYPES[kind])
        self._blocks, self._graph, self._output, self._single = blocks, graph, output, single
        self._classes, self._answer = classes, answer

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What it makes of its columns."""
        return self._blocks

    @property
    def classes(self) -> int:
        """How many classes it gives probabilities for; 0 for a regressor."""
        return self._classes

    def run(self, columns: EncodedColumns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        features = self._matrix.fill(columns, rows)
        return to_scores(self._output, self._session.run({self._input: features}, rows))

    def stored(self) -> Stored:
        """Return the runtime taken apart; `from_stored` is its inverse."""
        values, arrays = describe(self._blocks)
        parameters = {
            "output": self._output.value,
            "single": self._single,
            "classes": self._classes,
            "answer": self._answer,
            "blocks": values,
        }
        return Stored(KIND, parameters, arrays, self._graph)

    @classmethod
    def from_stored(cls, stored: Stored) -> Self:
        """Return the runtime.

        Raises:
            ValueError, KeyError, TypeError: Its parts do not fit together.
        """
        if stored.blob is None:
            raise ValueError("it has no graph")
        return cls(
            blocks=restore(stored.parameters["blocks"], stored.arrays),
            graph=stored.blob,
            output=OnnxOutput(stored.parameters["output"]),
            single=bool(stored.parameters["single"]),
            classes=int(stored.parameters["classes"]),
            answer=str(stored.parameters["answer"]),
        )
