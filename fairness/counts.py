"""Confusion counts per group: the sufficient statistics of everything this package measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairness.errors import LengthMismatchError
from fairness.groups import Groups, is_missing


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """How often one group was selected, by what turned out to be true.

    "Positive" means the favourable label. Rows whose outcome is not known (yet) are in the last two fields: they
    count for the selection rate and for nothing that needs an outcome. Counts of disjoint sets of rows add up.
    """

    tp: int = 0
    fp: int = 0
    tn: int = 0
    fn: int = 0
    selected_unlabelled: int = 0
    rejected_unlabelled: int = 0

    @property
    def rows(self) -> int:
        """All rows of the group."""
        return self.labelled + self.selected_unlabelled + self.rejected_unlabelled

    @property
    def labelled(self) -> int:
        """Rows with a known outcome."""
        return self.tp + self.fp + self.tn + self.fn

    @property
    def selected(self) -> int:
        """Rows that were given the favourable label."""
        return self.tp + self.fp + self.selected_unlabelled

    def __add__(self, other: GroupCounts) -> GroupCounts:
        return GroupCounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


def count_groups(
    groups: Groups,
    y_true: Sequence[Any] | NDArray[Any] | None,
    y_pred: Sequence[Any] | NDArray[Any],
    favourable: Any,
) -> dict[str, GroupCounts]:
    """Return the counts of every group, in the order of `groups.names`.

    A missing outcome (None or NaN) makes its row unlabelled; `y_true=None` makes all of them so. A label is
    favourable when it equals `favourable`; 1, 1.0 and True are equal, 1 and "1" are not.

    Raises:
        LengthMismatchError: The columns are not of one length.
    """
    rows = len(groups.codes)
    if len(y_pred) != rows:
        raise LengthMismatchError("protected attribute", rows, len(y_pred))
    if y_true is not None and len(y_true) != rows:
        raise LengthMismatchError("outcomes", len(y_true), rows)
    predicted = is_favourable(y_pred, favourable).astype(np.intp)
    if y_true is None:
        cell = 4 + predicted
    else:
        actual = is_favourable(y_true, favourable)
        cell = np.where(_missing(y_true), 4 + predicted, 2 * actual + predicted)
    table = np.bincount(groups.codes * 6 + cell, minlength=6 * len(groups.names)).reshape(-1, 6).tolist()
    return {
        name: GroupCounts(tp=tp, fp=fp, tn=tn, fn=fn, selected_unlabelled=selected, rejected_unlabelled=rejected)
        for name, (tn, fp, fn, tp, rejected, selected) in zip(groups.names, table, strict=True)
    }


def merge(left: Mapping[str, GroupCounts], right: Mapping[str, GroupCounts]) -> dict[str, GroupCounts]:
    """Return the counts of two disjoint sets of rows taken together; a group may be in only one of them."""
    names = list(left) + [name for name in right if name not in left]
    nothing = GroupCounts()
    return {name: left.get(name, nothing) + right.get(name, nothing) for name in names}


def is_favourable(labels: Sequence[Any] | NDArray[Any], favourable: Any) -> NDArray[np.bool_]:
    """Return, row by row, whether a label equals the favourable one."""
    column = _as_column(labels)
    if column.dtype.kind in "iufb" and not isinstance(favourable, int | float | bool | np.number | np.bool_):
        return np.zeros(len(column), dtype=np.bool_)  # numpy would warn: a number never equals a text
    if column.dtype.kind == "O":
        # Element by element: numpy's own comparison would hand back what pandas' NA answers, which is no boolean.
        return np.fromiter((_equal(value, favourable) for value in column), dtype=np.bool_, count=len(column))
    return np.asarray(column == favourable, dtype=np.bool_)


def _equal(value: Any, favourable: Any) -> bool:
    return not is_missing(value) and bool(value == favourable)


def _missing(labels: Sequence[Any] | NDArray[Any]) -> NDArray[np.bool_]:
    column = _as_column(labels)
    if column.dtype.kind == "f":
        return np.asarray(np.isnan(column), dtype=np.bool_)
    if column.dtype.kind != "O":
        return np.zeros(len(column), dtype=np.bool_)
    return np.fromiter(map(is_missing, column), dtype=np.bool_, count=len(column))


def _as_column(labels: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    """Return a 1-D array, without turning a mix of numbers and text into text as numpy would."""
    if isinstance(labels, np.ndarray):
        return labels
    values = getattr(labels, "to_numpy", None)
    if values is not None:
        return np.asarray(values())
    column = np.empty(len(labels), dtype=object)
    column[:] = list(labels)
    return column
