"""A model in a process of its own as a runtime: columns in, scores out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.runtime import Columns, Scores
from inference.signature import Signature, Task
from runners.errors import RunnerAnswerError
from runners.process import RunnerProcess


class RunnerRuntime:
    """The scores of a model that runs in a process of its own; an `inference.runtime.RemoteRuntime`.

    Args:
        process: The model's process; this runtime ends it.
        signature: What the model's answer is checked against.
    """

    def __init__(self, process: RunnerProcess, signature: Signature) -> None:
        self.process, self._signature = process, signature
        described = process.specification.params or ()
        self._params = frozenset(str(param["name"]) for param in described)

    def run(self, columns: Columns, rows: int) -> Scores:
        """Return the scores of `rows` rows; raises what `run_within` raises."""
        return self.run_within(columns, rows, params=None, seconds=None)

    def run_within(
        self, columns: Columns, rows: int, *, params: Mapping[str, Any] | None, seconds: float | None
    ) -> Scores:
        """Return the scores of `rows` rows; `params` the model does not name are left out.

        `values` are float64 for a regressor. For an opaque model they are float64, int64 or bool where all of them
        are, else objects as JSON has them; where a row has several values that the signature does not name, each is
        an object: a dict, or a list where the values have no names.

        Raises:
            RunnerError: What `RunnerProcess.call` raises; also when the answer does not fit rows or signature.
        """
        wants_probabilities = bool(self._signature.classes)
        sent, arrays = _split(columns)
        header: dict[str, Any] = {
            "op": "predict",
            "want": "probabilities" if wants_probabilities else "predict",
            "rows": rows,
            "columns": sent,
        }
        known = {name: value for name, value in (params or {}).items() if name in self._params}
        if known:
            header["params"] = known
        told, answered = self.process.call(header, arrays, seconds=seconds)
        if wants_probabilities:
            return Scores(probabilities=self._probabilities(answered, rows))
        try:
            outputs = [(output["name"], _values(output, answered)) for output in told["outputs"]]
        except (KeyError, TypeError, IndexError) as error:
            raise RunnerAnswerError("it is damaged") from error
        return Scores(values=self._join(outputs, rows))

    def export(self) -> str:
        """Return the text in which the model's own library writes it; raises what `RunnerProcess.call` raises."""
        told, _ = self.process.call({"op": "export"}, [], seconds=None)
        if not isinstance(told.get("text"), str):
            raise RunnerAnswerError("it is no text")
        return str(told["text"])

    def close(self) -> None:
        """End the model's process."""
        self.process.close()

    def _probabilities(self, answered: list[NDArray[Any]], rows: int) -> NDArray[np.float64]:
        expected = rows, len(self._signature.classes)
        if len(answered) != 1 or answered[0].shape != expected or answered[0].dtype != np.float64:
            shape = answered[0].shape if answered else "no array"
            raise RunnerAnswerError(
                f"probabilities of {expected[0]} rows and {expected[1]} classes came as {shape}"
            )
        if np.isnan(answered[0]).any():
            raise RunnerAnswerError("a probability is no number")
        return answered[0]

    def _join(self, outputs: list[tuple[str | None, NDArray[Any]]], rows: int) -> NDArray[Any]:
        named = self._signature.outputs
        if named and len(outputs) != len(named):
            raise RunnerAnswerError(f"it has {len(outputs)} values per row, the signature names {len(named)}")
        if not outputs or any(len(values) != rows for _, values in outputs):
            lengths = sorted({len(values) for _, values in outputs})
            raise RunnerAnswerError(f"it has {lengths} values for {rows} rows")
        columns = [values for _, values in outputs]
        if self._signature.task is Task.REGRESSION:
            if any(values.dtype == object for values in columns) or (len(columns) > 1 and not named):
                raise RunnerAnswerError("a regressor's answer is a number per row and named output")
            columns = [values.astype(np.float64, copy=False) for values in columns]
        if len(columns) == 1:
            return columns[0]
        if named:
            kinds = {values.dtype for values in columns}
            return np.column_stack(columns if len(kinds) == 1 else [values.astype(object) for values in columns])
        names = [name for name, _ in outputs]
        rowwise = zip(*(values.tolist() for values in columns), strict=True)
        if None in names:
            return _objects([list(row) for row in rowwise])
        return _objects([dict(zip(names, row, strict=True)) for row in rowwise])


def _split(columns: Columns) -> tuple[list[dict[str, Any]], list[NDArray[Any]]]:
    """Return the columns as a header tells them, and the arrays it points to."""
    sent: list[dict[str, Any]] = []
    arrays: list[NDArray[Any]] = []
    for name, values in columns.items():
        if values.dtype == object:
            sent.append({"name": name, "values": values.tolist()})
        else:
            sent.append({"name": name, "array": len(arrays)})
            arrays.append(values)
    return sent, arrays


def _values(output: Mapping[str, Any], arrays: list[NDArray[Any]]) -> NDArray[Any]:
    if "array" in output:
        array: NDArray[Any] = arrays[output["array"]]
        if array.ndim != 1:
            raise RunnerAnswerError("an output is no list of values")
        return array
    values: list[Any] = list(output["values"])
    kinds = {type(value) for value in values}
    if kinds == {bool} or (kinds == {int} and all(-(2**63) <= value < 2**63 for value in values)):
        return np.array(values)
    return np.array(values, dtype=np.float64) if float in kinds and kinds <= {float, int} else _objects(values)


def _objects(values: list[Any]) -> NDArray[Any]:
    """Return an object array [N]; numpy would make a matrix of rows that are lists."""
    array = np.empty(len(values), dtype=object)
    for index, value in enumerate(values):
        array[index] = value
    return array
