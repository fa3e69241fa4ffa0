"""Confusion counts per group: the sufficient statistics of everything this package measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fairness.errors import LengthMismatchError
from fairness.groups import Groups
from fairness.labels import Labels, is_favourable, missing

Key = TypeVar("Key")


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
        return GroupCounts(
            self.tp + other.tp,
            self.fp + other.fp,
            self.tn + other.tn,
            self.fn + other.fn,
            self.selected_unlabelled + other.selected_unlabelled,
            self.rejected_unlabelled + other.rejected_unlabelled,
        )


def count_groups(
    groups: Groups,
    y_true: Labels | None,
    y_pred: Labels,
    favourable: Any,
) -> dict[str, GroupCounts]:
    """Return the counts of every group, in the order of `groups.names`.

    A missing outcome (None or NaN) makes its row unlabelled; `y_true=None` makes all of them so. A label is
    favourable when it equals `favourable`, or is in that set; 1, 1.0 and True are equal, 1 and "1" are not.

    Raises:
        LengthMismatchError: The columns are not of one length.
    """
    check_lengths(len(groups.codes), y_true, y_pred)
    cell = cells_of(y_true, y_pred, favourable)
    table = np.bincount(groups.codes * 6 + cell, minlength=6 * len(groups.names)).reshape(-1, 6).tolist()
    return {name: from_cells(row) for name, row in zip(groups.names, table, strict=True)}


def check_lengths(rows: int, y_true: Labels | None, y_pred: Labels) -> None:
    """Raise `LengthMismatchError` unless the columns are of one length."""
    if len(y_pred) != rows:
        raise LengthMismatchError("protected attribute", rows, len(y_pred))
    if y_true is not None and len(y_true) != rows:
        raise LengthMismatchError("outcomes", len(y_true), rows)


def cells_of(y_true: Labels | None, y_pred: Labels, favourable: Any) -> NDArray[np.uint8]:
    """Return, per row, which of the six cells it is in: tn, fp, fn, tp, rejected or selected without an outcome."""
    predicted = is_favourable(y_pred, favourable).view(np.uint8)
    if y_true is None:
        return predicted + np.uint8(4)
    cell = is_favourable(y_true, favourable).view(np.uint8) * np.uint8(2) + predicted
    absent = missing(y_true)
    return cell if absent is None else np.where(absent, predicted + np.uint8(4), cell)


def from_cells(cells: Sequence[int]) -> GroupCounts:
    """Return six counts in the order of `cells_of` as the counts of a group."""
    tn, fp, fn, tp, rejected, selected = cells
    return GroupCounts(tp=tp, fp=fp, tn=tn, fn=fn, selected_unlabelled=selected, rejected_unlabelled=rejected)


def merge(left: Mapping[Key, GroupCounts], right: Mapping[Key, GroupCounts]) -> dict[Key, GroupCounts]:
    """Return the counts of two disjoint sets of rows taken together; a group may be in only one of them."""
    names = list(left) + [name for name in right if name not in left]
    nothing = GroupCounts()
    return {name: left.get(name, nothing) + right.get(name, nothing) for name in names}
