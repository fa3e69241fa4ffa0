"""The door to ONNX Runtime: one thread, quiet, and never more rows at once than its memory should hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MOST_ROWS_KEY: Final = "fairmind.most_rows"
"""A graph's own note of how many rows it may be given at once."""

_MOST_ROWS = 4096
_FATAL = 4


class OnnxSession:
    """A graph ready to run, of which one output is read.

    Args:
        graph: A serialized ONNX model.
        answer: The name of the output that is read, [N, M] or [N].

    Raises:
        ValueError: The graph is damaged, ONNX Runtime does not take it, or it has no such output.
    """

    def __init__(self, graph: bytes, answer: str) -> None:
        import onnxruntime

        onnxruntime.set_default_logger_severity(_FATAL)  # what goes wrong is raised; it would be printed, too
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = _FATAL
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
            note = self._session.get_modelmeta().custom_metadata_map.get(MOST_ROWS_KEY)
        # Its exceptions have no common base, and a damaged graph may raise any of them.
        except Exception as error:
            raise ValueError(f"ONNX Runtime does not take the graph ({_first_line(error)})") from error
        self.inputs: Mapping[str, tuple[str, int | None]] = {
            node.name: (node.type, _width(node.shape)) for node in self._session.get_inputs()
        }
        """Each input's type, "tensor(double)", and number of values for a row, None where it is open."""
        found = [node for node in self._session.get_outputs() if node.name == answer]
        if not found or found[0].type not in {"tensor(double)", "tensor(float)"}:
            raise ValueError(f"the graph has no output '{answer}' of floating-point numbers")
        self.width = _width(found[0].shape)
        """How many values it gives for a row, None where the graph leaves it open."""
        self._names, self._most_rows = [answer], int(note) if note else _MOST_ROWS

    def run(self, feed: Mapping[str, NDArray[Any]], rows: int) -> NDArray[np.floating[Any]]:
        """Return the answer [rows, M] to inputs of `rows` rows each."""
        if rows <= self._most_rows:
            return self._answer(feed, rows)
        starts = range(0, rows, self._most_rows)
        parts = []
        for start in starts:
            part = {name: values[start : start + self._most_rows] for name, values in feed.items()}
            parts.append(self._answer(part, min(self._most_rows, rows - start)))
        return np.concatenate(parts)

    def _answer(self, feed: Mapping[str, NDArray[Any]], rows: int) -> NDArray[np.floating[Any]]:
        answer: NDArray[np.floating[Any]] = self._session.run(self._names, feed)[0]
        if answer.ndim != 2 or len(answer) != rows:
            answer = answer.reshape(rows, -1)
        return answer


def _width(shape: list[Any]) -> int | None:
    if len(shape) == 1:
        return 1
    return shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
