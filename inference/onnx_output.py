"""What an ONNX graph computes, and the way from there to scores."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.preprocessing import softmax
from inference.runtime import Scores


class OnnxOutput(StrEnum):
    """What the answer y of a graph is."""

    VALUE = "value"  # [N, 1], a regressor
    VALUES = "values"  # [N, M], a regressor of M values
    EXP = "exp"  # [N, 1], the logarithm of a regressor's value
    SIGMOID = "sigmoid"  # [N, 1], a regressor's value is the logistic of it
    SECOND = "second"  # [N, 1], P(classes[1]) of two classes
    LOGIT = "logit"  # [N, 1], P(classes[1]) is the logistic of it
    ALL = "all"  # [N, K], the probability of each class
    SCORES = "scores"  # [N, K], a score for each class, of which the softmax is the probability


_TWO = frozenset({OnnxOutput.SECOND, OnnxOutput.LOGIT})
_EACH = frozenset({OnnxOutput.ALL, OnnxOutput.SCORES})


def check_output(output: OnnxOutput, classes: int, width: int | None) -> None:
    """Raise ValueError unless the number of classes and `width`, the graph's values for a row if known, fit."""
    least = 2 if output in _EACH else 0
    if classes < least or (output not in _EACH and classes != (2 if output in _TWO else 0)):
        raise ValueError(f"the output '{output}' does not go with {classes} classes")
    expected = classes if output in _EACH else None if output is OnnxOutput.VALUES else 1
    if width is not None and expected is not None and width != expected:
        raise ValueError(f"the graph gives {width} values for a row where {expected} belong")


def to_scores(output: OnnxOutput, answer: NDArray[np.floating[Any]]) -> Scores:
    """Return what the graph's answer [N, M] stands for, in float64, C-ordered, in memory of its own."""
    if output in _TWO:
        return Scores(probabilities=_two(answer[:, 0], logit=output is OnnxOutput.LOGIT))
    values = np.array(answer, dtype=np.float64, order="C")
    if output is OnnxOutput.ALL:
        return Scores(probabilities=values)
    if output is OnnxOutput.SCORES:
        return Scores(probabilities=softmax(values))
    if output is OnnxOutput.VALUES:
        return Scores(values=values)
    if output is OnnxOutput.EXP:
        with np.errstate(over="ignore"):
            np.exp(values, out=values)
    elif output is OnnxOutput.SIGMOID:
        values = _logistic(values)
    return Scores(values=values[:, 0])


def _two(answer: NDArray[np.floating[Any]], *, logit: bool) -> NDArray[np.float64]:
    if len(answer) == 1:  # plain floats beat ten numpy calls on arrays of one
        score = float(answer[0])
        second = _logistic_of_one(score) if logit else score
        return np.array([(1.0 - second, second)])
    probabilities = np.empty((len(answer), 2))
    probabilities[:, 1] = _logistic(answer.astype(np.float64)) if logit else answer
    np.subtract(1.0, probabilities[:, 1], out=probabilities[:, 0])
    return probabilities


def _logistic(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    small = np.exp(-np.abs(scores))  # never overflows
    return np.asarray(np.where(scores >= 0, 1.0, small) / (1.0 + small))


def _logistic_of_one(score: float) -> float:
    small = float(np.exp(-math.fabs(score)))  # numpy's exp, as for many rows: libm's may differ in the last digit
    return (1.0 if score >= 0 else small) / (1.0 + small)
