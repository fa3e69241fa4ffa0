"""Rows made to tell a compiled model from the registered one: what evaluation data seldom holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compilation.text_dtype import TEXT
from inference.preprocessing import NumberBlock, Operation, apply
from inference.signature import Column, ColumnType, Signature

_ROWS = 40
_THRESHOLDS = 40
_TEXTS = 5
_NEVER_SEEN = "a category that was never seen"
_INVERSE = {
    Operation.SUBTRACT: Operation.ADD,
    Operation.ADD: Operation.SUBTRACT,
    Operation.MULTIPLY: Operation.DIVIDE,
    Operation.DIVIDE: Operation.MULTIPLY,
}


def adversarial_rows(
    frame: pd.DataFrame, signature: Signature, thresholds: Mapping[str, Sequence[float]]
) -> pd.DataFrame:
    """Return rows derived from `frame` that fit `signature`, the same on every call.

    Combinations that do not occur, and one column at a time: the most and the least frequent categories, unknown
    ones where they are accepted, missing values where there is an answer for them, both zeros, extremes, and each
    threshold with its neighbours in float64 and in float32.
    """
    plain = _plain(frame, signature)
    some = plain.iloc[np.unique(np.linspace(0, len(plain) - 1, _ROWS).astype(int))].reset_index(drop=True)
    crossed = {name: np.roll(some[name].to_numpy(), 7 * place) for place, name in enumerate(some.columns, start=1)}
    parts = [pd.DataFrame(crossed).astype(some.dtypes.to_dict())]
    for column in signature.columns:
        values = _values(column, plain[column.name], thresholds.get(column.name, ()))
        if values:
            rows = some.iloc[np.resize(np.arange(len(some)), len(values))].reset_index(drop=True)
            rows[column.name] = pd.Series(values, dtype=some[column.name].dtype)
            parts.append(rows)
    return pd.concat(parts, ignore_index=True)


def raw_thresholds(block: NumberBlock, thresholds: Sequence[float]) -> list[float]:
    """Return the raw values whose features are nearest to `thresholds`, up to rounding."""
    raw = []
    for value in thresholds:
        for operation, operand in reversed(block.steps):
            value = apply(_INVERSE[operation], value, operand)  # noqa: PLW2901 (it is undone step by step)
        raw.append(value)
    return raw


def _plain(frame: pd.DataFrame, signature: Signature) -> pd.DataFrame:
    kinds: dict[ColumnType, Any] = {
        ColumnType.STRING: TEXT,
        ColumnType.DOUBLE: np.dtype(np.float64),
        ColumnType.LONG: np.dtype(np.int64),
        ColumnType.BOOLEAN: np.dtype(np.bool_),
    }
    chosen = frame[[column.name for column in signature.columns]]
    return chosen.astype({column.name: kinds[column.type] for column in signature.columns})


def _values(column: Column, seen: pd.Series[Any], thresholds: Sequence[float]) -> list[Any]:
    missing = [np.nan] * (3 if column.nullable else 0)
    match column.type:
        case ColumnType.STRING:
            known = [value for value in column.categories or _most_and_least(seen) if isinstance(value, str)]
            new = [] if column.categories is not None else [_NEVER_SEEN, "", " ", *_beside_texts(known)]
            return [*known, *new, *missing]
        case ColumnType.BOOLEAN:
            allowed = column.categories or (False, True)
            return [value for value in (False, True) if value in allowed]
        case ColumnType.LONG:
            return [0, int(seen.min()) - 1, int(seen.max()) + 1, -(2**31), 2**31]
    low, high = float(seen.min()), float(seen.max())
    if not np.isfinite([low, high]).all():
        low, high = 0.0, 1.0
    width = high - low or 1.0
    values = [0.0, -0.0, low, high, low - width, high + width, low - 1e6 * width, high + 1e6 * width, -1e30, 1e30]
    if len(thresholds):
        places = np.unique(np.linspace(0, len(thresholds) - 1, _THRESHOLDS).astype(int))
        chosen = np.asarray(thresholds, dtype=np.float64)[places]
        neighbours = np.concatenate(
            [beside for kind in (np.float64, np.float32) for beside in _beside(chosen, kind)]
        )
        values += neighbours[np.abs(neighbours) < 1e30].tolist()
    return [*values, *missing]


def _most_and_least(seen: pd.Series[Any]) -> tuple[str, ...]:
    by_count = seen.value_counts().index.tolist()  # the most frequent first
    return tuple(by_count if len(by_count) <= _ROWS else by_count[: _ROWS // 2] + by_count[-_ROWS // 2 :])


def _beside_texts(known: Sequence[str]) -> Iterator[str]:
    """Yield texts that are other categories, and other words where letters beyond ASCII are part of one."""
    for text in known[:_TEXTS]:
        yield from (text.upper(), f"{text}ö", f"ö{text}", f" {text}")


def _beside(values: NDArray[np.float64], kind: type[np.floating[Any]]) -> Iterator[NDArray[np.float64]]:
    """Yield the values in a precision, and the next ones below and above them in it."""
    with np.errstate(over="ignore"):
        near = values.astype(kind)
    for beside in (near, np.nextafter(near, kind(-np.inf)), np.nextafter(near, kind(np.inf))):
        yield beside.astype(np.float64)
