"""From what a remote answered to predictions, with everything checked that can be."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.decision import class_labels
from inference.runtime import Scores
from inference.served_model import Predictions
from inference.signature import Signature, Task
from remotes.client import Answer
from remotes.definition import Output, Reading, RemoteModel
from remotes.errors import RemoteMismatchError

_TOLERANCE: Final = 1e-3
"""How far the probabilities of a row may be from 1 together: servers answer in float32, and some round."""


def read_answer(answer: Answer, rows: int, model: RemoteModel) -> Predictions:
    """Return the predictions that an answer to `rows` rows holds.

    A label is the remote's own where it gives one; else the version's decision rule makes it of the probabilities.

    Raises:
        RemoteMismatchError: An output is missing, or has other rows, another shape or other values than it may.
    """
    signature = model.signature
    labels: NDArray[Any] | None = None
    probabilities: NDArray[np.float64] | None = None
    for output in model.definition.outputs:
        found = _found(answer.outputs, output, signature)
        match output.reading:
            case Reading.LABEL:
                labels = _labels(found, rows, signature, _called(output))
            case Reading.PROBABILITY:
                second = _flat(_numbers(found, _called(output)), rows, _called(output))
                probabilities = np.column_stack([1.0 - second, second])
            case Reading.PROBABILITIES:
                probabilities = _numbers(found, _called(output))
            case Reading.VALUE:
                labels = _values(found, rows, signature, _called(output))
    if probabilities is not None:
        _check(probabilities, rows, signature)
        if labels is None:
            labels = model.decision.apply(Scores(probabilities=probabilities), signature)
    assert labels is not None  # noqa: S101  (there is an output, and each reading gives one)
    return Predictions(labels, probabilities)


def _found(outputs: Mapping[str | None, Any], output: Output, signature: Signature) -> Any:
    if output.name not in outputs:
        raise RemoteMismatchError(f"{_called(output)} is missing")
    found = outputs[output.name]
    if output.reading is Reading.PROBABILITIES and type(found) is list and found and type(found[0]) is dict:
        names = [str(label) for label in signature.classes]
        try:
            return [[row[name] for name in names] for row in found]
        except (KeyError, TypeError):
            raise RemoteMismatchError(f"{_called(output)} does not have each class in each row") from None
    return found


def _called(output: Output) -> str:
    return "the prediction" if output.name is None else f"output '{output.name}'"


def _array(found: Any, called: str) -> NDArray[Any]:
    if isinstance(found, np.ndarray):
        return found
    if type(found) is not list:
        raise RemoteMismatchError(f"{called} is no list")
    try:
        return np.asarray(found)
    except ValueError:
        raise RemoteMismatchError(f"{called} has rows of different lengths") from None


def _numbers(found: Any, called: str) -> NDArray[np.float64]:
    array = _array(found, called)
    if array.dtype.kind not in "iuf":
        raise RemoteMismatchError(f"{called} holds what is no number")
    return np.asarray(array, dtype=np.float64)


def _flat(array: NDArray[Any], rows: int, called: str) -> NDArray[Any]:
    """Return one value per row, from [N] or [N, 1]."""
    if array.shape not in {(rows,), (rows, 1)}:
        raise RemoteMismatchError(f"{called} has the shape {list(array.shape)} for {rows} rows")
    return array.reshape(rows)


def _check(probabilities: NDArray[np.float64], rows: int, signature: Signature) -> None:
    expected = rows, len(signature.classes)
    if probabilities.shape != expected:
        raise RemoteMismatchError(
            f"probabilities have the shape {list(probabilities.shape)}, {list(expected)} is what {rows} rows and "
            f"{expected[1]} classes have"
        )
    # Written so that NaN does not pass: of it, no comparison is true.
    if not (probabilities.min() >= -_TOLERANCE and probabilities.max() <= 1 + _TOLERANCE):
        raise RemoteMismatchError("a probability is none: it is not between 0 and 1")
    if not np.abs(probabilities.sum(axis=1) - 1.0).max() <= _TOLERANCE:
        raise RemoteMismatchError("the probabilities of a row do not add up to 1")


def _labels(found: Any, rows: int, signature: Signature, called: str) -> NDArray[Any]:
    given = _flat(_array(found, called), rows, called).tolist()
    places = _places(*signature.classes)
    try:
        indices = [places[label] for label in given]
    except (KeyError, TypeError):
        raise RemoteMismatchError(f"{called} holds what is none of the classes") from None
    return class_labels(signature)[indices]


# Typed, because (0, 1) and (False, True) are equal as keys and are not the same labels.
@lru_cache(maxsize=64, typed=True)
def _places(*classes: Any) -> Mapping[Any, int]:
    """Return the place of each class, by the label and by how a server without types writes it."""
    spelled = {str(label): place for place, label in enumerate(classes)}
    return spelled | {label: place for place, label in enumerate(classes)}


def _values(found: Any, rows: int, signature: Signature, called: str) -> NDArray[Any]:
    if signature.task is Task.OPAQUE:
        return _opaque(found, rows, called)
    numbers = _numbers(found, called)
    expected = (rows, len(signature.outputs)) if signature.outputs else (rows,)
    values = numbers if signature.outputs else _flat(numbers, rows, called)
    if values.shape != expected:
        raise RemoteMismatchError(f"{called} has the shape {list(values.shape)}, not {list(expected)}")
    if not np.isfinite(values).all():
        raise RemoteMismatchError(f"{called} holds what is no number")
    return values


def _opaque(found: Any, rows: int, called: str) -> NDArray[Any]:
    values = found.tolist() if isinstance(found, np.ndarray) else found
    if type(values) is not list or len(values) != rows:
        raise RemoteMismatchError(f"{called} has not one value for each of {rows} rows")
    kinds = set(map(type, values))
    if kinds in ({bool}, {int}) and all(-(2**63) <= value < 2**63 for value in values):
        return np.array(values)
    if kinds <= {int, float} and float in kinds:
        return np.array(values, dtype=np.float64)
    held = np.empty(rows, dtype=object)
    for row, value in enumerate(values):
        held[row] = value[0] if type(value) is list and len(value) == 1 else value
    return held
