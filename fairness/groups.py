"""Protected attributes as group codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fairness.errors import UnusableGroupsError

UNKNOWN: Final = "unknown"
"""The group of rows whose attribute is missing: counted and shown, never compared."""

MAXIMUM_GROUPS: Final = 200
"""More values than this are a measurement, not groups; pairs grow with the square."""

INTERSECTION: Final = " × "
"""Stands between the names of attributes, and of groups, that are taken together: `SEX × RAC1P`, `1 × 6`."""

_SMALL_SPAN: Final = 1_024
"""Whole numbers this near to each other are their own codes."""


@dataclass(frozen=True, slots=True)
class Factors:
    """A column as read: row i has the group `names[codes[i]]`, of which some may be equal or not occur at all.

    `ordered` says that the names are in the order to show them in: ranges are.
    """

    codes: NDArray[Any]
    names: tuple[str, ...]
    ordered: bool = False


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


def codes_of(rows: Sequence[Any]) -> tuple[NDArray[Any], list[Any]]:
    """Return Python objects as codes, and the values in the order of their codes.

    Raises:
        TypeError: A value has no hash.
    """
    seen = _FirstSeen()
    try:
        # Twice as quick as numpy's reader of iterators, and enough for as many groups as can be compared.
        codes: NDArray[Any] = np.frombuffer(bytes(map(seen.__getitem__, rows)), dtype=np.uint8)
    except ValueError:
        codes = np.fromiter(map(seen.__getitem__, rows), dtype=np.intp, count=len(rows))
    return codes, list(seen)


def encode(attribute: str, values: Sequence[Any] | NDArray[Any], edges: Sequence[float] | None = None) -> Groups:
    """Return the groups of one protected attribute.

    Values are compared by their text, and whole floats as integers, so that 1, 1.0 and "1" are one group wherever
    the column came from. None, NaN, NaT, pandas' NA and blank text are the group "unknown", as is that word itself.
    A pandas categorical or an Arrow dictionary is read from its codes, without looking at the rows.

    `edges` make ranges of a measurement: [25, 40] gives "< 25", "25 to < 40" and "≥ 40". They are asked for because
    ranges found in the data would move with every sample.

    Raises:
        UnusableGroupsError: A value is not a scalar, there are more than `MAXIMUM_GROUPS` groups, or, with edges, a
            value is no number or the edges do not rise.
    """
    factors = factorize(attribute, values, edges)
    present = np.flatnonzero(np.bincount(factors.codes, minlength=len(factors.names)))
    found = set(map(factors.names.__getitem__, present.tolist()))
    ordered = [name for name in factors.names if name in found] if factors.ordered else sorted(found, key=natural)
    if len(ordered) > MAXIMUM_GROUPS:
        raise UnusableGroupsError(
            attribute,
            f"has {len(ordered)} different values (at most {MAXIMUM_GROUPS}); send ranges instead of numbers",
        )
    position = {name: code for code, name in enumerate(ordered)}
    recoded = np.array([position.get(name, 0) for name in factors.names], dtype=np.intp)
    codes = recoded[factors.codes] if len(factors.codes) else np.empty(0, dtype=np.intp)
    return Groups(codes=codes, names=tuple(ordered))


def factorize(
    attribute: str, values: Sequence[Any] | NDArray[Any], edges: Sequence[float] | None = None
) -> Factors:
    """Return a column as codes without a second look at its rows; `encode` tidies them up."""
    if edges is not None:
        return _ranges(attribute, values, edges)
    try:
        codes, found = _codes(values)
    except TypeError as error:
        raise UnusableGroupsError(attribute, "has a value that is no text, number or boolean") from error
    return Factors(codes, tuple(map(_name, found)))


def _codes(values: Any) -> tuple[NDArray[Any], list[Any]]:
    categorical = getattr(values, "cat", values)
    if hasattr(categorical, "codes") and hasattr(categorical, "categories"):
        # Code -1 is pandas' for a missing value.
        return _shifted(np.asarray(categorical.codes)), [None, *categorical.categories]
    if hasattr(values, "dictionary_encode"):
        encoded = values.dictionary_encode()
        encoded = encoded.combine_chunks() if hasattr(encoded, "combine_chunks") else encoded
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return _shifted(codes), [None, *encoded.dictionary.to_pylist()]
    if isinstance(values, np.ndarray) and values.dtype.kind in "iub" and values.ndim == 1 and len(values):
        lowest, highest = int(values.min()), int(values.max())
        if values.dtype.kind != "b" and highest - lowest < _SMALL_SPAN:
            # The distance may not fit into a small signed type, and a large unsigned value into no signed one.
            wide = np.int64 if values.dtype.kind == "i" else values.dtype
            return np.subtract(values, values.min(), dtype=wide), list(range(lowest, highest + 1))
        unique, inverse = np.unique(values, return_inverse=True)
        return inverse, unique.tolist()
    if hasattr(values, "factorize") and hasattr(values, "dtype"):
        codes, found = values.factorize()
        return _shifted(np.asarray(codes)), [None, *found.tolist()]
    return codes_of(values.tolist() if isinstance(values, np.ndarray) else values)


def _shifted(codes: NDArray[Any]) -> NDArray[Any]:
    """Return codes from -1 as codes from 0, in a type that has room for one more."""
    wide: type[np.signedinteger[Any]] = np.int16 if codes.dtype.itemsize == 1 else np.int64
    return np.asarray(np.add(codes, 1, dtype=wide))


def _ranges(attribute: str, values: Any, edges: Sequence[float]) -> Factors:
    limits = np.asarray(edges, dtype=np.float64)
    if limits.ndim != 1 or not len(limits) or not np.isfinite(limits).all() or (np.diff(limits) <= 0).any():
        raise UnusableGroupsError(attribute, "has edges that do not rise; send numbers, each larger than the last")
    numbers = np.array([np.nan if is_missing(value) else _number(attribute, value) for value in values])
    codes = np.where(np.isnan(numbers), len(limits) + 1, np.searchsorted(limits, numbers, side="right"))
    texts = [f"{edge:.12g}" for edge in limits]
    between = [f"{low} to < {high}" for low, high in pairwise(texts)]
    return Factors(codes.astype(np.intp), (f"< {texts[0]}", *between, f"≥ {texts[-1]}", UNKNOWN), ordered=True)


def _number(attribute: str, value: Any) -> float:
    if isinstance(value, str) and not value.strip():
        return float("nan")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise UnusableGroupsError(
            attribute, "has a value that is no number; edges make ranges of numbers only"
        ) from error


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


def natural(name: str) -> tuple[bool, float, str]:
    """Sort numbers by value, then words by letter, and the unknown last."""
    try:
        return (name == UNKNOWN, float(name), name)
    except ValueError:
        return (name == UNKNOWN, float("inf"), name)
