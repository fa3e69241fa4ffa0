"""One row scored again: whether the answer is the logged one to the last bit, and in what company it is.

Linear models and trees give a row the same bits whatever batch it is in. A matrix product in ONNX Runtime or BLAS
does not: it sums in another order for one row than for several, and the last digit may change. The log does not say
how many rows went through the model at once, so those few orders that exist are tried.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from inference.columns import columns_from_rows
from inference.crossover import CrossoverRuntime
from inference.served_model import Predictions, ServedModel

_COMPANY: Final = (2, 3, 4, 5, 8, 16, 64, 1024)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a version says of one row, as the log would have it; `scores` has the probability of each class."""

    prediction: Any
    score: float | None
    probabilities: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Rescored:
    """The answer that was found, with how many rows at once it was, and whether it is the logged one."""

    answer: Answer
    rows: int
    is_same: bool


def rescore(model: ServedModel, features: Mapping[str, Any], prediction: Any, score: float | None) -> Rescored:
    """Score a row as often as it takes to find the logged answer; the row by itself where none is the same.

    Raises:
        SignatureMismatchError: The features do not fit the model.
        InferenceError: The model does not answer.
    """
    alone: Answer | None = None
    for rows in _companies(model):
        for answer in _answers(model, features, rows):
            if same(answer.prediction, prediction) and same(answer.score, score):
                return Rescored(answer, rows, is_same=True)
            alone = alone or answer
    assert alone is not None  # noqa: S101  (one row alone is always tried)
    return Rescored(alone, 1, is_same=False)


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are the same: true is not 1, 1 is not 1.0, and floats agree in every bit.

    >>> same(0.1 + 0.2, 0.3), same(1, True), same([1.5, "a"], [1.5, "a"]), same(0.0, -0.0)
    (False, False, True, False)
    """
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    return bool(one == other)


def _companies(model: ServedModel) -> tuple[int, ...]:
    if model.is_remote:
        return (1,)
    starts = model.runtime.from_rows[1:] if isinstance(model.runtime, CrossoverRuntime) else ()
    return (1, *sorted({*_COMPANY, *starts}))


def _answers(model: ServedModel, features: Mapping[str, Any], rows: int) -> Iterator[Answer]:
    """Yield what the model says of as many copies of a row; the place in a batch may matter too."""
    answered = model.predict(columns_from_rows([dict(features)] * rows, model.signature), rows)
    scores = answered.scores(model.signature)
    for place in _different(answered):
        probabilities = None if answered.probabilities is None else tuple(answered.probabilities[place].tolist())
        score = None if scores is None else _finite(scores[place].item())
        yield Answer(_finite(answered.prediction[place : place + 1].tolist()[0]), score, probabilities)


def _different(answered: Predictions) -> list[int]:
    """Return a place of each different row; all of them where rows are no numbers."""
    values = answered.prediction if answered.probabilities is None else answered.probabilities
    if values.dtype != np.float64:
        return list(range(len(values)))
    bits = np.ascontiguousarray(values).reshape(len(values), -1).view(np.int64)
    _, places = np.unique(bits, axis=0, return_index=True)
    return sorted(places.tolist())


def _finite(value: Any) -> Any:
    """Return a value as the log keeps it: JSON has no NaN and no infinity."""
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return [_finite(one) for one in value] if isinstance(value, list) else value
