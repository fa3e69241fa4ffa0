"""Which labels are the favourable one, and which are not known."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairness.groups import codes_of, is_missing

Labels = Sequence[Any] | NDArray[Any]


def is_favourable(labels: Labels, favourable: Any) -> NDArray[np.bool_]:
    """Return, row by row, whether a label equals the favourable one, or is in a set of favourable ones.

    1, 1.0 and True are equal, 1 and "1" are not.
    """
    column = _as_array(labels)
    if column is None:
        return _each(labels, lambda value: matches(value, favourable))
    wanted = favourable if isinstance(favourable, set | frozenset) else {favourable}
    # numpy would warn, or turn one into the other: a number never equals a text.
    numeric = column.dtype.kind in "iufb"
    comparable = [one for one in wanted if isinstance(one, int | float | np.number | np.bool_) == numeric]
    if not comparable:
        return np.zeros(len(column), dtype=np.bool_)
    found = np.asarray(column == comparable[0], dtype=np.bool_)
    for one in comparable[1:]:
        found |= column == one
    return found


def matches(label: Any, favourable: Any) -> bool:
    """Return whether one label is favourable; a missing one never is."""
    if is_missing(label):
        return False
    if isinstance(favourable, set | frozenset):
        return any(bool(label == one) for one in favourable)
    return bool(label == favourable)


def occurs(favourable: Any, labels: Collection[Any]) -> bool:
    """Return whether any of these labels is favourable."""
    return any(matches(label, favourable) for label in labels)


def missing(labels: Labels) -> NDArray[np.bool_] | None:
    """Return, row by row, whether the label is not known; None where the type of the column has no such value."""
    column = _as_array(labels)
    if column is None:
        return _each(labels, is_missing)
    return np.asarray(np.isnan(column), dtype=np.bool_) if column.dtype.kind == "f" else None


def _as_array(labels: Labels) -> NDArray[Any] | None:
    """Return a 1-D array of one type, None where labels are Python objects (a list may mix numbers and text)."""
    if not isinstance(labels, np.ndarray):
        convert = getattr(labels, "to_numpy", None)
        if convert is None:
            return None
        labels = np.asarray(convert())
    return None if labels.dtype.kind == "O" else labels


def _each(labels: Labels, answer: Callable[[Any], bool]) -> NDArray[np.bool_]:
    """Return the answer for each label, having asked once for each different one."""
    rows = labels if isinstance(labels, list | tuple) else list(labels)
    try:
        codes, found = codes_of(rows)
    except TypeError:  # a label that has no hash
        return np.fromiter(map(answer, rows), dtype=np.bool_, count=len(rows))
    return np.asarray(np.fromiter(map(answer, found), dtype=np.bool_, count=len(found))[codes])
