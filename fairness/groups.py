"""Protected attributes as group codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fairness.errors import UnusableGroupsError

UNKNOWN: Final = "unknown"
"""The group of rows whose attribute is missing: counted and shown, never compared."""

MAXIMUM_GROUPS: Final = 200
"""More values than this are a measurement, not groups; pairs grow with the square."""


@dataclass(frozen=True, slots=True)
class Groups:
    """One attribute of N rows: row i belongs to group `names[codes[i]]`. Names are unique and in natural order."""

    codes: NDArray[np.intp]
    names: tuple[str, ...]


class _FirstSeen(dict[Any, int]):
    """Give every new value the next code; a dictionary is 20 times quicker here than sorting Python objects."""

    def __missing__(self, value: Any) -> int:
        self[value] = code = len(self)
        return code


def encode(attribute: str, values: Sequence[Any] | NDArray[Any]) -> Groups:
    """Return the groups of one protected attribute.

    Values are compared by their text, and whole floats as integers, so that 1, 1.0 and "1" are one group wherever
    the column came from. None, NaN, NaT, pandas' NA and blank text are the group "unknown", as is that word itself.
    A pandas categorical is read from its codes, without looking at the rows.

    Raises:
        UnusableGroupsError: A value is not a scalar, or there are more than `MAXIMUM_GROUPS` groups.
    """
    codes, found = _factorize(attribute, values)
    names = [_name(value) for value in found]
    ordered = sorted(set(names), key=_natural)
    if len(ordered) > MAXIMUM_GROUPS:
        raise UnusableGroupsError(
            attribute,
            f"has {len(ordered)} different values (at most {MAXIMUM_GROUPS}); send ranges instead of numbers",
        )
    position = {name: code for code, name in enumerate(ordered)}
    recoded = np.array([position[name] for name in names], dtype=np.intp)
    return Groups(codes=recoded[codes] if len(codes) else codes, names=tuple(ordered))


def _factorize(attribute: str, values: Sequence[Any] | NDArray[Any]) -> tuple[NDArray[np.intp], list[Any]]:
    categorical = getattr(values, "cat", values)
    if hasattr(categorical, "codes") and hasattr(categorical, "categories"):
        # Only categories that occur: an unused one is no group. Code -1 is pandas' for a missing value.
        shifted = np.asarray(categorical.codes).astype(np.intp) + 1
        present = np.flatnonzero(np.bincount(shifted, minlength=1))
        position = np.zeros(len(categorical.categories) + 1, dtype=np.intp)
        position[present] = np.arange(len(present))
        return position[shifted], [None if code == 0 else categorical.categories[code - 1] for code in present]
    if isinstance(values, np.ndarray) and values.dtype.kind in "iub" and values.ndim == 1:
        found, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.intp), found.tolist()
    seen = _FirstSeen()
    rows = values.tolist() if isinstance(values, np.ndarray) else list(values)
    try:
        codes = np.fromiter(map(seen.__getitem__, rows), dtype=np.intp, count=len(rows))
    except TypeError as error:
        raise UnusableGroupsError(attribute, "has a value that is no text, number or boolean") from error
    return codes, list(seen)


def is_missing(value: Any) -> bool:
    """Return whether a value stands for "not known": None, NaN, or pandas' NA and NaT, seen by their names."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _name(value: Any) -> str:
    if is_missing(value):
        return UNKNOWN
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip() or UNKNOWN


def _natural(name: str) -> tuple[bool, float, str]:
    """Sort numbers by value, then words by letter, and the unknown last."""
    try:
        return (name == UNKNOWN, float(name), name)
    except ValueError:
        return (name == UNKNOWN, float("inf"), name)
