"""The label column: which task it is, which classes there are, which of them is favourable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from inference.signature import Task
from training.config import Label, TaskChoice
from training.errors import DataError

# More different whole numbers than this are a quantity, not classes; more different texts, an identifier.
_MOST_NUMBER_CLASSES = 20
_MOST_TEXT_CLASSES = 100
_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Labels:
    """The label of every row, with its meaning.

    `values` is int64, bool or text for a classifier and float64 for a regressor; `classes` is in scikit-learn's
    order, empty for a regressor. Without `favourable` no selection can be measured.
    """

    values: NDArray[Any]
    task: Task
    classes: tuple[Label, ...]
    favourable: Label | None


def read_labels(
    column: pd.Series, *, task: TaskChoice = TaskChoice.AUTO, favourable: Label | None = None
) -> tuple[Labels, list[str]]:
    """Return the labels of a column, and a note for everything that was assumed.

    Texts, booleans and up to 20 different whole numbers are classes; other numbers are quantities. The favourable
    one of two classes is the largest (True, 1, the last in the alphabet) unless given; of more, there is none.

    Raises:
        DataError: labels are missing or infinite, all the same, too many to be classes, or not the task's.
    """
    gaps = int(column.isna().sum())
    if gaps:
        raise DataError(f"{gaps} of {len(column)} rows have no label in '{column.name}'; remove them first")
    if column.nunique() < 2:
        raise DataError(f"the label '{column.name}' has the same value in every row; there is nothing to learn")
    if _is_quantity(column, task):
        return _quantities(column, task, favourable)
    return _classes(column, favourable)


def _is_quantity(column: pd.Series, task: TaskChoice) -> bool:
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if task is TaskChoice.REGRESSION and not numeric:
        raise DataError(f"the label '{column.name}' is no number, so regression cannot predict it")
    if task is not TaskChoice.AUTO or not numeric:
        return task is TaskChoice.REGRESSION
    return column.nunique() > _MOST_NUMBER_CLASSES or not _is_whole(column)


def _quantities(column: pd.Series, task: TaskChoice, favourable: Label | None) -> tuple[Labels, list[str]]:
    values = column.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"the label '{column.name}' holds infinite numbers")
    if favourable is not None:
        raise DataError(f"a favourable label was given, but '{column.name}' is a quantity with no classes")
    notes = [] if task is TaskChoice.REGRESSION else [f"'{column.name}' is a quantity: regression is assumed"]
    return Labels(values, Task.REGRESSION, (), None), notes


def _classes(column: pd.Series, favourable: Label | None) -> tuple[Labels, list[str]]:
    values = _class_values(column)
    found, counts = np.unique(values, return_counts=True)
    if len(found) > _MOST_TEXT_CLASSES:
        raise DataError(f"the label '{column.name}' has {len(found)} classes (at most {_MOST_TEXT_CLASSES})")
    if counts.min() < 2:
        rare = found[counts.argmin()]
        raise DataError(f"class '{rare}' of the label '{column.name}' has one row; at least 2 are needed")
    classes: tuple[Label, ...] = tuple(found.tolist())
    task = Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    if favourable is not None:
        return Labels(values, task, classes, _match(favourable, classes)), []
    if task is Task.MULTICLASS:
        note = (
            f"the label has {len(classes)} classes and none was named favourable: no selection rates are measured"
        )
        return Labels(values, task, classes, None), [note]
    return Labels(values, task, classes, classes[1]), [f"the favourable label is assumed to be {classes[1]!r}"]


def _class_values(column: pd.Series) -> NDArray[Any]:
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.to_numpy(dtype=np.bool_)
    if pd.api.types.is_numeric_dtype(column.dtype):
        if not _is_whole(column):
            raise DataError(
                f"the label '{column.name}' holds fractions, which are no classes; set task: regression"
            )
        return column.to_numpy(dtype=np.int64)
    return column.astype(str).to_numpy(dtype=np.str_)


def _is_whole(column: pd.Series) -> bool:
    values = column.to_numpy(dtype=np.float64)
    return bool(np.isfinite(values).all() and (values == np.round(values)).all())


def _match(favourable: Label, classes: tuple[Label, ...]) -> Label:
    """Return the class that is meant; a text from a command line means the number of that spelling."""
    same = [label for label in classes if type(label) is type(favourable) and label == favourable]
    spelled = [label for label in classes if str(label).lower() == str(favourable).lower()]
    for found in (same, spelled):
        if len(found) == 1:
            return found[0]
    shown = ", ".join(repr(label) for label in classes[:_SHOWN]) + (", ..." if len(classes) > _SHOWN else "")
    hint = " (YAML reads an unquoted yes or no as true or false)" if isinstance(favourable, bool) else ""
    raise DataError(f"the favourable label {favourable!r} is not among the labels {shown}{hint}")
