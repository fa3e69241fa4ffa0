"""The blocks that a fitted preprocessing pipeline is reduced to: one input column each, evaluated in numpy.

A category is a row of a table that was filled, when the model was compiled, by asking the fitted pipeline itself.
A number is a short chain of operations, in the order and precision of the fitted pipeline, so that a tree's
threshold falls on the same side for every value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.arrays import Texts, array_of

Category = str | bool | int | float


class Operation(StrEnum):
    """What one step does to a number."""

    SUBTRACT = "subtract"
    DIVIDE = "divide"
    MULTIPLY = "multiply"
    ADD = "add"


def apply(operation: Operation, value: float, operand: float) -> float:
    """Return `value` after one step."""
    match operation:
        case Operation.SUBTRACT:
            return value - operand
        case Operation.DIVIDE:
            return value / operand
        case Operation.MULTIPLY:
            return value * operand
        case Operation.ADD:
            return value + operand


FUNCTIONS: Final[Mapping[Operation, Callable[..., Any]]] = {
    Operation.SUBTRACT: np.subtract,
    Operation.DIVIDE: np.divide,
    Operation.MULTIPLY: np.multiply,
    Operation.ADD: np.add,
}
"""The steps as numpy functions of arrays."""


@dataclass(frozen=True, slots=True)
class NumberBlock:
    """A number or boolean, imputed and scaled.

    `start` is its place among the model's features; `missing` is the feature of a missing value, NaN where the
    model takes missing values itself.
    """

    column: str
    start: int
    steps: tuple[tuple[Operation, float], ...] = ()
    missing: float = float("nan")

    def features(self, values: NDArray[Any] | Texts) -> NDArray[np.float64]:
        """Return the feature [N] of the raw values [N]."""
        feature = array_of(values).astype(np.float64)
        for operation, operand in self.steps:
            FUNCTIONS[operation](feature, operand, out=feature)
        if not math.isnan(self.missing):
            np.copyto(feature, self.missing, where=np.isnan(feature))
        return feature

    def feature(self, value: float) -> float:
        """Return the feature of one raw value: the same operations, without an array."""
        if math.isnan(value):
            return self.missing
        for operation, operand in self.steps:
            value = apply(operation, value, operand)
        return value


class _Codes(dict[Any, int]):
    """Category -> row of the table; None and NaN are the missing value, anything else the unknown category."""

    def __init__(self, categories: Sequence[Category], first: int) -> None:
        super().__init__({category: first + code for code, category in enumerate(categories)})
        self._unknown = first + len(categories)
        self[None] = self._unknown + 1

    def __missing__(self, key: object) -> int:
        return self[None] if isinstance(key, float) and math.isnan(key) else self._unknown


@dataclass(frozen=True, slots=True)
class CategoryBlock:
    """A category, as a row of a table.

    `table` is [n + 2, width]: a row per category, then the row of an unknown category, then the row of a missing
    value. `start` is the place of its first feature.
    """

    column: str
    start: int
    categories: tuple[Category, ...]
    table: NDArray[np.float64]
    _codes: _Codes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_codes", self.codes_from(0))

    def codes_from(self, first: int) -> _Codes:
        """Return the rows of the table by category, counted from `first`."""
        return _Codes(self.categories, first)

    def features(self, values: NDArray[Any] | Texts) -> NDArray[np.float64]:
        """Return the features [N, width] of the raw values [N]."""
        return self.table[look_up(self._codes, values)]

    def row(self, value: Any) -> NDArray[np.float64]:
        """Return the features [width] of one raw value."""
        features: NDArray[np.float64] = self.table[self._codes[value]]
        return features


Block = NumberBlock | CategoryBlock


def look_up(codes: _Codes, values: NDArray[Any] | Texts) -> NDArray[np.intp]:
    """Return the code of each value."""
    if isinstance(values, Texts):
        return look_up(codes, values.distinct).take(values.codes)
    return np.fromiter(map(codes.__getitem__, values.tolist()), dtype=np.intp, count=len(values))


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probabilities [N, K] of the class scores [N, K]."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def describe(blocks: Sequence[Block]) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
    """Return the blocks as JSON values and arrays; `restore` is its inverse."""
    values: list[dict[str, Any]] = []
    arrays: dict[str, NDArray[Any]] = {}
    for index, block in enumerate(blocks):
        if isinstance(block, NumberBlock):
            missing = None if math.isnan(block.missing) else block.missing
            steps = [[operation.value, operand] for operation, operand in block.steps]
            values.append({"column": block.column, "start": block.start, "steps": steps, "missing": missing})
        else:
            categories = list(block.categories)
            values.append({"column": block.column, "start": block.start, "categories": categories})
            arrays[f"table_{index}"] = block.table
    return values, arrays


def restore(values: Sequence[Mapping[str, Any]], arrays: Mapping[str, NDArray[Any]]) -> tuple[Block, ...]:
    """Return the blocks that `describe` wrote down.

    Raises:
        ValueError, KeyError, TypeError: They do not fit together.
    """
    blocks: list[Block] = []
    for index, value in enumerate(values):
        column, start = str(value["column"]), int(value["start"])
        if "categories" not in value:
            steps = tuple((Operation(operation), float(operand)) for operation, operand in value["steps"])
            missing = float("nan") if value["missing"] is None else float(value["missing"])
            blocks.append(NumberBlock(column, start, steps, missing))
            continue
        categories, table = tuple(value["categories"]), arrays[f"table_{index}"]
        if table.ndim != 2 or table.dtype != np.float64 or len(table) != len(categories) + 2:
            raise ValueError(f"the table of column '{column}' does not fit its {len(categories)} categories")
        blocks.append(CategoryBlock(column, start, categories, table))
    return tuple(blocks)
