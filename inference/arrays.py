"""Columns that arrive as arrays, checked against the signature without a Python object per value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.errors import Mismatch, SignatureMismatchError
from inference.signature import Column, ColumnType

EXPECTED: Final[Mapping[ColumnType, str]] = {
    ColumnType.DOUBLE: "a number",
    ColumnType.LONG: "an integer",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.STRING: "a string",
    ColumnType.ANY: "a string, a number, true or false",
}
"""What a value of each type is called where another one came."""

LARGEST: Final = 1e150
"""Largest number taken; beyond it, a linear model's sum may overflow into a NaN probability."""

_GIVEN: Final = {"b": "true/false", "i": "a number", "u": "a number", "f": "a number"}
LONG_END: Final = 2.0**63
"""The first number that 64 bits with a sign do not hold."""

_REQUIRED: Final = "is required and may not be null"


class Texts:
    """Strings by reference: row i holds `distinct[codes[i]]`.

    `distinct` is an object array of str, or None where a value is missing; a string may be in it more than once, or
    be in no row. No dataclass: an encoder of JSON that knows those would take it apart unasked.
    """

    __slots__ = ("codes", "distinct")

    def __init__(self, distinct: NDArray[Any], codes: NDArray[np.intp]) -> None:
        self.distinct, self.codes = distinct, codes

    def __len__(self) -> int:
        return len(self.codes)

    def array(self) -> NDArray[Any]:
        """Return the strings, one per row, as an object array."""
        return self.distinct[self.codes]

    def item(self) -> Any:
        """Return the string of the only row.

        Raises:
            ValueError: There is not one row.
        """
        return self.distinct[self.codes.item()]


def array_of(values: NDArray[Any] | Texts) -> NDArray[Any]:
    """Return a column as an array, one value per row."""
    return values.array() if isinstance(values, Texts) else values


Values = Sequence[Any] | NDArray[Any] | Texts
"""The values of one column as a decoder has them: JSON scalars, numbers or truth values, or strings."""


def decode_array(column: Column, array: NDArray[Any]) -> NDArray[Any]:
    """Return numbers or truth values, [N] of any bool, integer or float dtype, as the column's own dtype has them.

    What is returned shares no memory with what was given. Floats are taken for a LONG column where all are whole.

    Raises:
        SignatureMismatchError: A value does not fit, or would lose something.
    """
    kind, given = column.type, array.dtype.kind
    if kind is ColumnType.DOUBLE and given in "iuf":
        doubles = np.array(array, dtype=np.float64)
        if not (np.abs(doubles) <= LARGEST).all():
            check_doubles(column, doubles)
        return doubles
    if kind is ColumnType.LONG and given in "iuf":
        return _longs(column, array)
    if kind is ColumnType.BOOLEAN and given == "b":
        _check_known(column, array)
        return np.array(array, dtype=np.bool_)
    if kind is ColumnType.ANY and given in "biuf":
        _check_known(column, array)
        return array.astype(object)
    given_name = _GIVEN.get(given, "something else")
    raise SignatureMismatchError(
        f"must be {EXPECTED[kind]}, not {given_name}", kind=Mismatch.WRONG_TYPE, column=column.name, row=0
    )


def decode_texts(column: Column, texts: Texts) -> Texts:
    """Return strings that a column takes; only the distinct ones are looked at.

    Raises:
        SignatureMismatchError: The column takes no strings, or not one of these.
    """
    if column.type not in {ColumnType.STRING, ColumnType.ANY}:
        raise SignatureMismatchError(
            f"must be {EXPECTED[column.type]}, not a string", kind=Mismatch.WRONG_TYPE, column=column.name, row=0
        )
    distinct = texts.distinct.tolist()
    if not column.nullable and None in distinct and None in (values := texts.array().tolist()):
        raise SignatureMismatchError(
            _REQUIRED, kind=Mismatch.MISSING_VALUE, column=column.name, row=values.index(None)
        )
    if column.known_values is not None and not column.known_values.issuperset(distinct):
        _check_known(column, texts.array())
    return texts


def missing(column: Column, rows: int) -> NDArray[Any]:
    """Return an optional column that a request left out: `rows` missing values.

    Raises:
        SignatureMismatchError: The column is not optional, or its type has no missing value.
    """
    if not column.optional or column.type in {ColumnType.LONG, ColumnType.BOOLEAN}:
        raise SignatureMismatchError("is missing", kind=Mismatch.MISSING_COLUMN, column=column.name)
    if column.type is ColumnType.DOUBLE:
        return np.full(rows, np.nan)
    return np.full(rows, None, dtype=object)


def whole_numbers(values: list[Any]) -> list[Any]:
    """Return a list with its whole floats as integers; whatever else is in it stays, to be refused by name."""
    if float not in set(map(type, values)):
        return values
    return [int(value) if type(value) is float and value.is_integer() else value for value in values]


def check_doubles(column: Column, array: NDArray[np.float64]) -> None:
    """Raise SignatureMismatchError for the first number that is infinite, too large, or missing and required."""
    for fault, reason, kind in (
        (np.isinf(array), "may not be infinite", Mismatch.OUT_OF_RANGE),
        (np.abs(array) > LARGEST, "is too large for a number", Mismatch.OUT_OF_RANGE),
        (np.isnan(array) & (not column.nullable), "is required and may not be NaN", Mismatch.MISSING_VALUE),
    ):
        if fault.any():
            raise SignatureMismatchError(reason, kind=kind, column=column.name, row=int(np.argmax(fault)))


def _longs(column: Column, array: NDArray[Any]) -> NDArray[np.int64]:
    faults: tuple[tuple[NDArray[np.bool_], str, Mismatch], ...] = ()
    if array.dtype.kind == "f":
        faults = (
            (np.isnan(array), _REQUIRED, Mismatch.MISSING_VALUE),
            (np.trunc(array) != array, "must be an integer, not a number", Mismatch.WRONG_TYPE),
            ((array >= LONG_END) | (array < -LONG_END), "does not fit 64 bits", Mismatch.OUT_OF_RANGE),
        )
    elif array.dtype == np.uint64:
        faults = ((array > np.iinfo(np.int64).max, "does not fit 64 bits", Mismatch.OUT_OF_RANGE),)
    for fault, reason, kind in faults:
        if fault.any():
            raise SignatureMismatchError(reason, kind=kind, column=column.name, row=int(np.argmax(fault)))
    return np.array(array, dtype=np.int64)


def _check_known(column: Column, array: NDArray[Any]) -> None:
    known = column.known_values
    if known is None:
        return
    values = array.tolist()
    if not known.issuperset(values):
        row = next(index for index, value in enumerate(values) if value not in known)
        raise SignatureMismatchError(
            "is a category the model does not know", kind=Mismatch.UNKNOWN_CATEGORY, column=column.name, row=row
        )
