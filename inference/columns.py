"""From a request's values to one numpy array per signature column, validated against the signature.

Every decoder ends in `_decode`: one column, all its values, checked by the set of their types instead of value
by value, so that the common case costs one pass in C. Only what does not fit is looked at row by row, to name
the first row at fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.errors import EmptyBatchError, SignatureMismatchError
from inference.runtime import Columns
from inference.signature import Column, ColumnType, Signature

if TYPE_CHECKING:
    import pandas as pd

_EXPECTED: Final[Mapping[ColumnType, str]] = {
    ColumnType.DOUBLE: "a number",
    ColumnType.LONG: "an integer",
    ColumnType.BOOLEAN: "true or false",
    ColumnType.STRING: "a string",
    ColumnType.ANY: "a string, a number, true or false",
}
_LARGEST: Final = 1e150  # beyond it, a linear model's sum may overflow into a NaN probability
_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1


def columns_from_rows(rows: Sequence[Any], signature: Signature) -> Columns:
    """Return one array per signature column from JSON rows, each a mapping of column name to value.

    Column order does not matter. A number column takes integers too; a missing value (`null`, or NaN where a
    number is expected) is accepted where the pipeline has an answer for it.

    Raises:
        EmptyBatchError: There are no rows.
        SignatureMismatchError: A row is no mapping, lacks a column, has one too many, or holds a value of
            another type, an infinite number, or a category the pipeline refuses.
    """
    if not rows:
        raise EmptyBatchError
    expected = signature.names
    for index, row in enumerate(rows):
        if type(row) is not dict:
            raise SignatureMismatchError("features must be an object of column names and values", row=index)
        if row.keys() != expected:
            _refuse_names(row, signature, index)
    return {column.name: _decode(column, [row[column.name] for row in rows]) for column in signature.columns}


def columns_from_lists(lists: Mapping[str, Sequence[Any]], signature: Signature) -> tuple[Columns, int]:
    """Return one array per signature column, and the number of rows, from lists of values by column name.

    Raises:
        EmptyBatchError: There are no rows.
        SignatureMismatchError: As for `columns_from_rows`; also when the lists have different lengths.
    """
    if lists.keys() != signature.names:
        _refuse_names(lists, signature, None)
    lengths = {len(values) for values in lists.values()}
    if len(lengths) > 1:
        raise SignatureMismatchError("the columns have different numbers of rows")
    rows = lengths.pop()
    if not rows:
        raise EmptyBatchError
    return {column.name: _decode(column, list(lists[column.name])) for column in signature.columns}, rows


def columns_from_frame(frame: pd.DataFrame, signature: Signature) -> tuple[Columns, int]:
    """Return one array per signature column, and the number of rows, from a data frame.

    Validated as a request would be, except that columns outside the signature are left aside (a data set
    carries its labels and protected attributes beside the features).
    """
    missing = [column.name for column in signature.columns if column.name not in frame.columns]
    if missing:
        raise SignatureMismatchError("is missing", column=missing[0])
    lists: dict[str, list[Any]] = {}
    for column in signature.columns:
        series = frame[column.name]
        values = series.astype(object).where(series.notna(), None).tolist()
        if column.type is ColumnType.STRING:
            lists[column.name] = values
        else:
            # pandas keeps integers with gaps as floats, and numpy scalars in object columns
            lists[column.name] = [value.item() if isinstance(value, np.generic) else value for value in values]
    return columns_from_lists(lists, signature)


def concatenate(parts: Sequence[Columns]) -> Columns:
    """Return the rows of all parts, in order, as one set of columns."""
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _decode(column: Column, values: list[Any]) -> NDArray[Any]:
    if not column.accepted_types.issuperset(map(type, values)):
        _refuse_types(column, values)
    if column.known_values is not None and not column.known_values.issuperset(values):
        row = next(index for index, value in enumerate(values) if value not in column.known_values)
        raise SignatureMismatchError("is a category the model does not know", column=column.name, row=row)
    kind = column.type
    if kind in {ColumnType.STRING, ColumnType.ANY}:
        strings = np.empty(len(values), dtype=object)
        strings[:] = values
        return strings
    if kind is ColumnType.DOUBLE:
        return _doubles(column, values)
    if kind is ColumnType.BOOLEAN:
        return np.array(values, dtype=np.bool_)
    for row, value in enumerate(values):
        if not _LONG_MIN <= value <= _LONG_MAX:
            raise SignatureMismatchError("does not fit 64 bits", column=column.name, row=row)
    return np.array(values, dtype=np.int64)


def _doubles(column: Column, values: list[Any]) -> NDArray[np.float64]:
    try:
        array = np.array(values, dtype=np.float64)  # None becomes NaN
    except OverflowError:
        row = next(i for i, value in enumerate(values) if isinstance(value, int) and not _is_double(value))
        raise SignatureMismatchError("is too large for a number", column=column.name, row=row) from None
    # One comparison refuses the too large, the infinite and NaN; which of them it was is asked only then.
    fits = abs(array[0]) <= _LARGEST if len(values) == 1 else bool((np.abs(array) <= _LARGEST).all())
    if not fits:
        _check_doubles(column, array)
    return array


def _check_doubles(column: Column, array: NDArray[np.float64]) -> None:
    for fault, reason in (
        (np.isinf(array), "may not be infinite"),
        (np.abs(array) > _LARGEST, "is too large for a number"),
        (np.isnan(array) & (not column.nullable), "is required and may not be NaN"),
    ):
        if fault.any():
            raise SignatureMismatchError(reason, column=column.name, row=int(np.argmax(fault)))


def _is_double(value: int) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _refuse_types(column: Column, values: list[Any]) -> None:
    row = next(index for index, value in enumerate(values) if type(value) not in column.accepted_types)
    if values[row] is None:
        raise SignatureMismatchError("is required and may not be null", column=column.name, row=row)
    given = {
        bool: "true/false",
        str: "a string",
        float: "a number",
        int: "a number",
        list: "a list",
        dict: "an object",
    }
    kind = given.get(type(values[row]), "something else")
    raise SignatureMismatchError(f"must be {_EXPECTED[column.type]}, not {kind}", column=column.name, row=row)


def _refuse_names(row: Mapping[str, Any], signature: Signature, index: int | None) -> None:
    for column in signature.columns:
        if column.name not in row:
            raise SignatureMismatchError("is missing", column=column.name, row=index)
    extra = next(name for name in row if name not in signature.names)
    raise SignatureMismatchError("is not a column of this model", column=str(extra)[:100], row=index)
