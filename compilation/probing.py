"""A signature found by asking the model itself, for preprocessing that has no blocks."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator

from inference.errors import CompileError
from inference.signature import Column, ColumnType

_NEVER_SEEN = "a category that was never seen"
_MOST_CATEGORIES = 1000


def probed_columns(
    model: Any, frame: pd.DataFrame, types: Mapping[str, ColumnType], refusal: CompileError
) -> tuple[Column, ...]:
    """Return the columns of a model, with what each may hold found by changing one value of one row at a time.

    Args:
        model: Fitted on a data frame.
        frame: Rows it answers.
        types: The columns in the model's order.
        refusal: Why it has no blocks; raised where the model does not answer the first row as it is.

    Raises:
        CompileError: The model does not answer an ordinary row, or takes only some numbers.
    """
    rows = frame[list(types)]
    complete = rows.dropna()
    row = (rows if complete.empty else complete).iloc[:1].reset_index(drop=True)
    if not answers(model, row):
        raise refusal
    return tuple(_column(model, row, rows[name], types[name], refusal) for name in types)


def answers(model: Any, rows: pd.DataFrame) -> bool:
    """Return whether the model has an answer for the rows, and a finite one where it is a number."""
    ask = getattr(model, "predict_proba", model.predict)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd values are asked for on purpose
        try:
            answer = np.asarray(ask(rows))
        # Whatever a library raises on a value: that it does is the answer.
        except Exception:
            return False
    return answer.dtype.kind not in "fc" or bool(np.isfinite(answer).all())


def _column(model: Any, row: pd.DataFrame, seen: pd.Series[Any], kind: ColumnType, refusal: CompileError) -> Column:
    name = str(seen.name)
    nullable = kind is not ColumnType.BOOLEAN and answers(model, _with(row, name, np.nan))
    if kind is ColumnType.LONG and nullable:
        kind = ColumnType.DOUBLE  # an integer column has no missing value, and this pipeline has an answer for one
    if not nullable and bool(seen.isna().any()):
        if refusal.part == f"column '{name}'":
            raise refusal  # which says more of this column
        raise CompileError(f"column '{name}'", "it has missing values and nothing in the pipeline fills them")
    if kind in {ColumnType.DOUBLE, ColumnType.LONG}:
        if not answers(model, _with(row, name, seen.max() + 1)):
            reason = "numbers as closed categories; use strings, or let the encoder ignore new ones"
            raise CompileError(f"column '{name}'", reason)
        return Column(name=name, type=kind, nullable=nullable)
    return Column(name=name, type=kind, nullable=nullable, categories=_categories(model, row, seen, kind))


def _categories(
    model: Any, row: pd.DataFrame, seen: pd.Series[Any], kind: ColumnType
) -> tuple[str | bool, ...] | None:
    """Return the values that the model takes where it refuses others."""
    name = str(seen.name)
    pool: list[Any] = [False, True]
    if kind is ColumnType.STRING:
        if answers(model, _with(row, name, _NEVER_SEEN)):
            return None
        present = set(seen.dropna().unique())
        fitted = [known for known in _fitted_categories(model) if present <= known]
        pool = sorted(min(fitted, key=len, default=present))
        if len(pool) > _MOST_CATEGORIES:
            raise CompileError(
                f"column '{name}'", f"it takes only {len(pool):,} values; let the encoder ignore new ones"
            )
    taken = tuple(value for value in pool if answers(model, _with(row, name, value)))
    return None if kind is ColumnType.BOOLEAN and len(taken) == 2 else taken


def _with(row: pd.DataFrame, name: str, value: Any) -> pd.DataFrame:
    changed = row.copy()
    missing = isinstance(value, float) and np.isnan(value)
    kind: Any = np.float64 if missing and pd.api.types.is_integer_dtype(row[name].dtype) else row[name].dtype
    if isinstance(kind, pd.CategoricalDtype) and not missing and value not in kind.categories:
        kind = pd.CategoricalDtype([*kind.categories, value])
    changed[name] = pd.Series([value], dtype=kind)
    return changed


def _fitted_categories(step: Any) -> Iterator[set[str]]:
    """Yield the categories of every encoder inside a model, those of strings."""
    for categories in getattr(step, "categories_", ()):
        yield {value for value in np.asarray(categories).tolist() if isinstance(value, str)}
    parts = [*vars(step).values()] if isinstance(step, BaseEstimator) else []
    while parts:
        part = parts.pop()
        if isinstance(part, list | tuple):
            parts += part
        elif isinstance(part, BaseEstimator):
            yield from _fitted_categories(part)
