"""From fitted preprocessing steps to blocks of one column each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from compilation.encoder_blocks import ENCODERS, Reduced, check_imputer, reduce_categories
from inference.errors import CompileError
from inference.preprocessing import NumberBlock, Operation, apply
from inference.signature import ColumnType


@dataclass(frozen=True, slots=True)
class Tail:
    """The steps that have no blocks.

    `entries` cover the blocks' features in their order: start, stop, and the steps that take only those; `rest` are
    the steps that take what the entries make.
    """

    entries: tuple[tuple[int, int, tuple[Any, ...]], ...]
    rest: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Front:
    """The blocks of the first steps, how many features they make, and the steps after them; None where none are."""

    reduced: tuple[Reduced, ...]
    features: int
    tail: Tail | None


def reduce_preprocessing(steps: Sequence[Any], names: Sequence[str], types: dict[str, ColumnType]) -> Front:
    """Return the blocks of the fitted `steps` before the estimator, as far as they have any.

    Raises:
        CompileError: A step chooses columns by name, or takes strings, and has no blocks; names it.
    """
    flat = list(_flatten(steps))
    entries, rest = [(flat, list(names))], []
    if any(isinstance(step, ColumnTransformer) for step in flat):
        if not isinstance(flat[0], ColumnTransformer):
            raise CompileError(type(flat[0]).__name__, "a step before a ColumnTransformer has no compiled form")
        entries, rest = list(_entries(flat[0], names)), flat[1:]
    reduced: list[Reduced] = []
    parts: list[tuple[int, int, tuple[Any, ...]]] = []
    start = 0
    for chain, columns in entries:
        at = _reducible(chain)
        if any(map(_chooses_columns, [*chain[at:], *rest])):
            raise CompileError(
                type([*chain[at:], *rest][0]).__name__, "what follows it takes columns by their names"
            )
        made, stop = _reduce_chain(chain[:at], columns, types, start)
        reduced += made
        parts.append((start, stop, tuple(chain[at:])))
        start = stop
    tail = Tail(tuple(parts), tuple(rest)) if rest or any(after for _, _, after in parts) else None
    return Front(tuple(reduced), start, tail)


def _reducible(chain: list[Any]) -> int:
    """Return how many of the steps have blocks: up to an encoder anything that fills gaps, then what scales."""
    encoded = next((index for index, step in enumerate(chain) if isinstance(step, ENCODERS)), None)
    for index, step in enumerate(chain):
        if encoded is not None and index <= encoded:
            continue
        try:
            if encoded is None and isinstance(step, SimpleImputer):
                check_imputer(step)
            else:
                _operations(step, 0)
        except CompileError:
            return index
    return len(chain)


def _chooses_columns(step: Any) -> bool:
    if isinstance(step, FeatureUnion):
        return any(_chooses_columns(part) for _, part in step.transformer_list)
    if isinstance(step, Pipeline):
        return any(_chooses_columns(part) for _, part in step.steps)
    return isinstance(step, ColumnTransformer)


def _flatten(steps: Sequence[Any]) -> Iterator[Any]:
    for step in steps:
        if step is None or (isinstance(step, str) and step == "passthrough"):
            continue
        if isinstance(step, Pipeline):
            yield from _flatten([part for _, part in step.steps])
        elif not (isinstance(step, FunctionTransformer) and step.func is None):
            yield step


def _entries(transformer: ColumnTransformer, names: Sequence[str]) -> Iterator[tuple[list[Any], list[str]]]:
    if transformer.transformer_weights:
        raise CompileError("ColumnTransformer", "transformer_weights have no compiled form")
    for _, chain, columns in transformer.transformers_:
        chosen = _column_names(columns, names)
        if chosen and not (isinstance(chain, str) and chain == "drop"):
            yield list(_flatten([chain])), chosen


def _column_names(columns: Any, names: Sequence[str]) -> list[str]:
    if isinstance(columns, str):
        raise CompileError("ColumnTransformer", f"column '{columns}' is given as a text; give a list of one")
    if isinstance(columns, list) and all(isinstance(column, str) for column in columns):
        return columns
    return [str(name) for name in np.atleast_1d(np.asarray(names, dtype=object)[columns])]


def _reduce_chain(
    chain: list[Any], columns: list[str], types: dict[str, ColumnType], start: int
) -> tuple[list[Reduced], int]:
    at = [index for index, step in enumerate(chain) if isinstance(step, ENCODERS)]
    if at:
        for step in chain[at[0] + 1 :]:
            _operations(step, 0)  # only what treats each feature alone may follow an encoder
        return reduce_categories(chain, at[0], columns, types, start)
    for column in columns:
        if types[column] is ColumnType.STRING:
            raise CompileError(f"column '{column}'", "strings reach the model without an encoder")
    reduced = [_reduce_number(chain, index, column, start + index) for index, column in enumerate(columns)]
    return reduced, start + len(columns)


def _reduce_number(chain: list[Any], index: int, column: str, start: int) -> Reduced:
    steps: list[tuple[Operation, float]] = []
    missing, imputed = float("nan"), False
    for step in chain:
        if isinstance(step, SimpleImputer):
            check_imputer(step)
            fill = step.statistics_[index]
            if not isinstance(fill, int | float | np.number | np.bool_) or np.isnan(float(fill)):
                raise CompileError(f"SimpleImputer of column '{column}'", "it has no number to fill in")
            missing, imputed = (missing, True) if imputed else (float(fill), True)
            continue
        for operation, operand in _operations(step, index):
            steps.append((operation, operand))
            missing = apply(operation, missing, operand)
    return Reduced(NumberBlock(column, start, tuple(steps), missing), nullable=imputed, imputed=imputed)


def _operations(step: Any, index: int) -> list[tuple[Operation, float]]:
    def of(operation: Operation, values: NDArray[Any] | None) -> list[tuple[Operation, float]]:
        return [] if values is None else [(operation, float(values[index]))]

    match step:
        case StandardScaler():
            centre = of(Operation.SUBTRACT, step.mean_ if step.with_mean else None)
            return centre + of(Operation.DIVIDE, step.scale_ if step.with_std else None)
        case MinMaxScaler():
            if step.clip:
                raise CompileError("MinMaxScaler", "clip=True has no compiled form")
            return of(Operation.MULTIPLY, step.scale_) + of(Operation.ADD, step.min_)
        case MaxAbsScaler():
            if getattr(step, "clip", False):
                raise CompileError("MaxAbsScaler", "clip=True has no compiled form")
            return of(Operation.DIVIDE, step.scale_)
        case RobustScaler():
            return of(Operation.SUBTRACT, step.center_) + of(Operation.DIVIDE, step.scale_)
    raise CompileError(type(step).__name__, "this preprocessing step has no compiled form")
