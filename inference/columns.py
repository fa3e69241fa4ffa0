"""From a request's values to one numpy array per signature column, validated against the signature.

Every decoder ends in `_decode`: one column, all its values, checked by the set of their types instead of value
by value, so that the common case costs one pass in C. Only what does not fit is looked at row by row, to name
the first row at fault.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.arrays import (
    EXPECTED,
    LARGEST,
    Texts,
    Values,
    array_of,
    check_doubles,
    decode_array,
    decode_texts,
    missing,
)
from inference.errors import EmptyBatchError, Mismatch, SignatureMismatchError
from inference.row_layout import DecodedRows, RowLayout, join_rows, layout_of
from inference.runtime import Columns, EncodedColumns, plain_columns
from inference.signature import Column, ColumnType, Signature

_LONG_MIN, _LONG_MAX = -(2**63), 2**63 - 1
_REPEATS = 2  # how often a string must be there on average to be worth a reference


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
    layout = layout_of(signature)
    taken: list[tuple[Any, ...]] = []
    for index, row in enumerate(rows):
        if type(row) is not dict:
            raise SignatureMismatchError("features must be an object of column names and values", row=index)
        try:
            taken.append(layout.take(row))
        except KeyError:
            taken.append(layout.take(_completed(row, signature, index)))
        else:
            if len(row) != layout.width:
                _refuse_names(row, signature, index)
    if len(taken) == 1 and (columns := _decode_one(taken[0], layout)) is not None:
        return columns
    lists = zip(signature.columns, zip(*taken, strict=True), strict=True)
    return {column.name: _decode(column, list(values)) for column, values in lists}


def columns_from_lists(lists: Mapping[str, Values], signature: Signature) -> tuple[Columns, int]:
    """Return one array per signature column, and the number of rows, from lists or arrays of values by column name.

    Raises:
        EmptyBatchError: There are no rows.
        SignatureMismatchError: As for `columns_from_rows`; also when the lists have different lengths.
    """
    columns, rows = encoded_columns(lists, signature)
    return plain_columns(columns), rows


def encoded_columns(lists: Mapping[str, Values], signature: Signature) -> tuple[EncodedColumns, int]:
    """Return what `columns_from_lists` returns, but strings by reference as they came where rows repeat them.

    Raises:
        EmptyBatchError, SignatureMismatchError: As for `columns_from_lists`.
    """
    if lists.keys() != signature.names:
        _refuse_names(lists, signature, None)
    lengths = {len(values) for values in lists.values()}
    if len(lengths) > 1:
        raise SignatureMismatchError("the columns have different numbers of rows")
    if not lengths or not (rows := lengths.pop()):
        raise EmptyBatchError
    return {
        column.name: _decode_any(column, lists[column.name]) if column.name in lists else missing(column, rows)
        for column in signature.columns
    }, rows


def concatenate(parts: Sequence[EncodedColumns]) -> EncodedColumns:
    """Return the rows of all parts, in order, as one set of columns; arrays where there is more than one part."""
    if len(parts) == 1:
        return parts[0]
    rows = [part for part in parts if type(part) is DecodedRows]
    if len(rows) == len(parts) and all(part.layout is rows[0].layout for part in rows):
        return join_rows(rows)
    return {name: np.concatenate([array_of(part[name]) for part in parts]) for name in parts[0]}


def _decode_any(column: Column, values: Values) -> NDArray[Any] | Texts:
    if type(values) is list:
        return _decode(column, values)
    if isinstance(values, Texts):
        texts = decode_texts(column, values)
        return texts if _REPEATS * len(texts.distinct) <= len(texts) else texts.array()
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return decode_array(column, values)
    return _decode(column, values.tolist() if isinstance(values, np.ndarray) else list(values))


def _decode_one(values: tuple[Any, ...], layout: RowLayout) -> Columns | None:
    """Return the columns of one row, or None where something about it is unusual and `_decode` has to look."""
    if not layout.accepts(values):
        return None
    doubles = layout.doubles.of(values)
    for value in doubles:
        if value is None or not -LARGEST <= value <= LARGEST:
            return None
    objects = np.empty((len(layout.objects.names), 1), dtype=object)
    objects[:, 0] = layout.objects.of(values)
    numbers = np.array(doubles, dtype=np.float64).reshape(-1, 1)
    others = {
        column.name: _decode(column, [value])
        for column, value in zip(layout.others.columns, layout.others.of(values), strict=True)
    }
    columns = DecodedRows(layout, objects, numbers, others)
    for name, known in layout.closed:
        if columns[name].item() not in known:
            return None
    return columns


def _decode(column: Column, values: list[Any]) -> NDArray[Any]:
    if not column.accepted_types.issuperset(map(type, values)):
        _refuse_types(column, values)
    if column.known_values is not None and not column.known_values.issuperset(values):
        row = next(index for index, value in enumerate(values) if value not in column.known_values)
        raise SignatureMismatchError(
            "is a category the model does not know", kind=Mismatch.UNKNOWN_CATEGORY, column=column.name, row=row
        )
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
            raise SignatureMismatchError(
                "does not fit 64 bits", kind=Mismatch.OUT_OF_RANGE, column=column.name, row=row
            )
    return np.array(values, dtype=np.int64)


def _doubles(column: Column, values: list[Any]) -> NDArray[np.float64]:
    try:
        array = np.array(values, dtype=np.float64)  # None becomes NaN
    except OverflowError:
        row = next(i for i, value in enumerate(values) if isinstance(value, int) and not _is_double(value))
        raise SignatureMismatchError(
            "is too large for a number", kind=Mismatch.OUT_OF_RANGE, column=column.name, row=row
        ) from None
    # One comparison refuses the too large, the infinite and NaN; which of them it was is asked only then.
    fits = abs(array[0]) <= LARGEST if len(values) == 1 else bool((np.abs(array) <= LARGEST).all())
    if not fits:
        check_doubles(column, array)
    return array


def _is_double(value: int) -> bool:
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _refuse_types(column: Column, values: list[Any]) -> None:
    row = next(index for index, value in enumerate(values) if type(value) not in column.accepted_types)
    if values[row] is None:
        raise SignatureMismatchError(
            "is required and may not be null", kind=Mismatch.MISSING_VALUE, column=column.name, row=row
        )
    given = {
        bool: "true/false",
        str: "a string",
        float: "a number",
        int: "a number",
        list: "a list",
        dict: "an object",
    }
    kind = given.get(type(values[row]), "something else")
    raise SignatureMismatchError(
        f"must be {EXPECTED[column.type]}, not {kind}", kind=Mismatch.WRONG_TYPE, column=column.name, row=row
    )


def _completed(row: Mapping[str, Any], signature: Signature, index: int) -> Mapping[str, Any]:
    """Return the row with a missing value in every optional column that it leaves out."""
    absent = {column.name: None for column in signature.columns if column.optional and column.name not in row}
    _refuse_names(row, signature, index)
    return {**row, **absent}


def _refuse_names(row: Mapping[str, Any], signature: Signature, index: int | None) -> None:
    """Raise where names are missing or strange; return where only optional columns are left out."""
    for column in signature.columns:
        if column.name not in row and not column.optional:
            raise SignatureMismatchError("is missing", kind=Mismatch.MISSING_COLUMN, column=column.name, row=index)
    extra = next((name for name in row if name not in signature.names), None)
    if extra is not None:
        raise SignatureMismatchError(
            "is not a column of this model", kind=Mismatch.UNKNOWN_COLUMN, column=str(extra)[:100], row=index
        )
