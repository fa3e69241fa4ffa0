"""Decisions among several labels: one label against the rest, or a set of favourable ones against the others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairness.counts import GroupCounts
from fairness.disparities import Measured, Metric, measure_metric
from fairness.errors import LengthMismatchError, UnseenLabelError, UnusableNumbersError
from fairness.groups import Groups, codes_of, is_missing
from fairness.labels import Labels


@dataclass(frozen=True, slots=True, eq=False)
class ClassTable:
    """The confusion table of every group: `rows` is [G, C + 1, C] by outcome (the last: not known) and decision.

    Tables of disjoint rows with the same classes add up.
    """

    names: tuple[str, ...]
    classes: tuple[Any, ...]
    rows: NDArray[np.int64]

    def __add__(self, other: ClassTable) -> ClassTable:
        if self.classes != other.classes:
            raise UnseenLabelError
        names = (*self.names, *(name for name in other.names if name not in self.names))
        rows = np.zeros((len(names), *self.rows.shape[1:]), dtype=np.int64)
        for table in (self, other):
            rows[[names.index(name) for name in table.names]] += table.rows
        return ClassTable(names, self.classes, rows)

    def favourable(self, labels: Collection[Any]) -> dict[str, GroupCounts]:
        """Return the counts in which any of `labels` is favourable: everything binary then applies.

        Which of the favourable labels somebody got makes no difference: "gold" where "silver" was true is a true
        positive.

        Raises:
            UnseenLabelError: One of the labels is none of the classes.
        """
        wanted = set(labels)
        if not wanted <= set(self.classes):
            raise UnseenLabelError
        good = np.array([label in wanted for label in self.classes], dtype=np.bool_)
        known, unknown = self.rows[:, :-1], self.rows[:, -1]
        cells = zip(
            known[:, good][:, :, good].sum(axis=(1, 2)).tolist(),
            known[:, ~good][:, :, good].sum(axis=(1, 2)).tolist(),
            known[:, ~good][:, :, ~good].sum(axis=(1, 2)).tolist(),
            known[:, good][:, :, ~good].sum(axis=(1, 2)).tolist(),
            unknown[:, good].sum(axis=1).tolist(),
            unknown[:, ~good].sum(axis=1).tolist(),
            strict=True,
        )
        return {name: GroupCounts(*cell) for name, cell in zip(self.names, cells, strict=True)}

    def one_vs_rest(self, label: Any) -> dict[str, GroupCounts]:
        """Return the counts in which `label` alone is favourable."""
        return self.favourable([label])


def count_classes(
    groups: Groups, y_true: Labels | None, y_pred: Labels, classes: Sequence[Any] | None = None
) -> ClassTable:
    """Return the confusion table of every group, from N decisions and outcomes (None or NaN where not known).

    `classes` are all labels there are; without them those that occur, in the order of their first occurrence.

    Raises:
        LengthMismatchError: The columns are not of one length.
        UnusableNumbersError: A decision is missing, a label cannot be compared, or it is none of the classes.
    """
    if len(y_pred) != len(groups.codes):
        raise LengthMismatchError("protected attribute", len(groups.codes), len(y_pred))
    if y_true is not None and len(y_true) != len(y_pred):
        raise LengthMismatchError("outcomes", len(y_true), len(y_pred))
    decided, decisions = _read("predictions", y_pred)
    truth, outcomes = _read("outcomes", y_true) if y_true is not None else (np.zeros_like(decided), [None])
    known = [label for label in (*decisions, *outcomes) if not is_missing(label)]
    labels = tuple(classes) if classes is not None else tuple(dict.fromkeys(known))
    place = {label: code for code, label in enumerate(labels)}
    size = len(labels)
    decision = _places("predictions", decisions, decided, place, absent=None)
    outcome = _places("outcomes", outcomes, truth, place, absent=size)
    cell = (groups.codes * (size + 1) + outcome) * size + decision
    table = np.bincount(cell, minlength=len(groups.names) * (size + 1) * size)
    return ClassTable(groups.names, labels, table.reshape(len(groups.names), size + 1, size))


def one_vs_rest(table: ClassTable, metric: Metric, minimum_rows: int = 1) -> dict[Any, Measured]:
    """Return a metric for each label as the favourable one.

    With C labels there are C chances for a gap to appear: the largest is too large on average, and is no verdict. A
    policy judges one favourable set, named beforehand.
    """
    return {label: measure_metric(metric, table.one_vs_rest(label), minimum_rows) for label in table.classes}


def _read(column: str, labels: Labels) -> tuple[NDArray[Any], list[Any]]:
    try:
        return codes_of(labels.tolist() if isinstance(labels, np.ndarray) else list(labels))
    except TypeError as error:
        raise UnusableNumbersError(column, "has a label that is no text, number or boolean") from error


def _places(
    column: str, labels: list[Any], codes: NDArray[Any], place: dict[Any, int], absent: int | None
) -> NDArray[np.intp]:
    """Return the class of each row; `absent` is where rows without a label go, None where there may be none."""
    found = []
    for code, label in enumerate(labels):
        position = absent if is_missing(label) else place.get(label)
        if position is None:
            row = int(np.argmax(codes == code))
            raise UnusableNumbersError(column, "is none of the classes; check its value and its type", row)
        found.append(position)
    return np.array(found, dtype=np.intp)[codes] if len(codes) else np.empty(0, dtype=np.intp)
