"""A whole pipeline as an ONNX graph: one input tensor per column, no blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from inference.onnx_output import OnnxOutput, check_output, to_scores
from inference.onnx_session import OnnxSession
from inference.preprocessing import Block
from inference.runtime import Columns, Scores
from inference.stored import Stored

KIND = "onnx-pipeline"


def _texts(values: NDArray[Any]) -> NDArray[Any]:
    # A graph has no missing string: None and NaN become the empty one.
    texts = [value if isinstance(value, str) else "" for value in values.tolist()]
    return np.array(texts, dtype=object)


_TENSORS: Final[Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]]] = {
    "tensor(double)": lambda values: values.astype(np.float64, copy=False),
    "tensor(float)": lambda values: values.astype(np.float32),
    "tensor(int64)": lambda values: values.astype(np.int64, copy=False),
    "tensor(bool)": lambda values: values.astype(np.bool_, copy=False),
    "tensor(string)": _texts,
}


class OnnxPipelineRuntime:
    """An ONNX graph that takes the columns themselves.

    A missing string reaches the graph as the empty string, a missing number as NaN.

    Args:
        graph: A serialized ONNX model; each input is [N, 1].
        inputs: The column that goes into each of the graph's inputs.
        output: What the graph computes.
        classes: How many classes it gives probabilities for; 0 for a regressor.
        answer: The name of the output that is read.

    Raises:
        ValueError: The graph is damaged, or the parts do not fit together.
    """

    def __init__(
        self, *, graph: bytes, inputs: Mapping[str, str], output: OnnxOutput, classes: int, answer: str
    ) -> None:
        self._session = OnnxSession(graph, answer)
        if set(inputs) != set(self._session.inputs):
            raise ValueError("the columns are not those of the graph's inputs")
        for name, (kind, width) in self._session.inputs.items():
            if kind not in _TENSORS or width != 1:
                raise ValueError(f"the graph's input '{name}' is no column ({kind})")
        check_output(output, classes, self._session.width)
        self._feed = [(name, inputs[name], _TENSORS[kind]) for name, (kind, _) in self._session.inputs.items()]
        self._graph, self._inputs, self._output = graph, dict(inputs), output
        self._classes, self._answer = classes, answer

    @property
    def blocks(self) -> tuple[Block, ...]:
        """None: the graph takes the columns as they are."""
        return ()

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it reads."""
        return frozenset(self._inputs.values())

    @property
    def classes(self) -> int:
        """How many classes it gives probabilities for; 0 for a regressor."""
        return self._classes

    def run(self, columns: Columns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        with np.errstate(over="ignore"):
            feed = {name: tensor(columns[column]).reshape(rows, 1) for name, column, tensor in self._feed}
        return to_scores(self._output, self._session.run(feed, rows))

    def stored(self) -> Stored:
        """Return the runtime taken apart; `from_stored` is its inverse."""
        parameters = {
            "inputs": self._inputs,
            "output": self._output.value,
            "classes": self._classes,
            "answer": self._answer,
        }
        return Stored(KIND, parameters, {}, self._graph)

    @classmethod
    def from_stored(cls, stored: Stored) -> Self:
        """Return the runtime.

        Raises:
            ValueError, KeyError, TypeError: Its parts do not fit together.
        """
        if stored.blob is None:
            raise ValueError("it has no graph")
        return cls(
            graph=stored.blob,
            inputs={str(name): str(column) for name, column in dict(stored.parameters["inputs"]).items()},
            output=OnnxOutput(stored.parameters["output"]),
            classes=int(stored.parameters["classes"]),
            answer=str(stored.parameters["answer"]),
        )
