"""Open Inference Protocol tensors, JSON or raw, to columns.

Columns come as one tensor each, of the shape [N] or [N, 1], in any order; or all at once as one matrix [N, F] of
any name that is no column's, in the signature's order, where every column is a number.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inference.arrays import LONG_END, Texts, Values, whole_numbers
from inference.columns import columns_from_rows, encoded_columns
from inference.errors import MalformedColumnsError, Mismatch, SignatureMismatchError
from inference.raw_texts import texts_from_raw
from inference.runtime import EncodedColumns
from inference.signature import Column, ColumnType, Signature

DATATYPES: Final[Mapping[ColumnType, str]] = {
    ColumnType.DOUBLE: "FP64",
    ColumnType.LONG: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.STRING: "BYTES",
    ColumnType.ANY: "BYTES",
}
"""The datatype that a column of each type is announced with."""

_NUMBERS: Final[Mapping[str, np.dtype[Any]]] = {
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
_INTEGERS: Final = frozenset(name for name in _NUMBERS if "INT" in name)
_ACCEPTED: Final[Mapping[ColumnType, frozenset[str]]] = {
    ColumnType.DOUBLE: frozenset(_NUMBERS),
    ColumnType.LONG: _INTEGERS,
    ColumnType.BOOLEAN: frozenset({"BOOL"}),
    ColumnType.STRING: frozenset({"BYTES"}),
    ColumnType.ANY: frozenset({*_NUMBERS, "BOOL", "BYTES"}),
}
_MAX_TEXT: Final = 200


@dataclass(slots=True)
class Tensor:
    """One input: `values` are flat, in row-major order, and as many as the shape says."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: Values

    @property
    def label(self) -> str:
        """The name, short enough for a message."""
        return self.name[:_MAX_TEXT]


def tensor_from_json(name: str, datatype: str, shape: Sequence[int], data: list[Any]) -> Tensor:
    """Return a tensor whose values came as JSON, flat or nested along its shape.

    Raises:
        MalformedColumnsError: The shape has not one or two dimensions, or does not fit the values.
    """
    if len(shape) == 1 and len(data) == shape[0] and (not data or type(data[0]) is not list):
        return Tensor(name, datatype, shape, data)
    size = _size(name, shape)
    if data and type(data[0]) is list:
        if not all(type(item) is list for item in data):
            raise MalformedColumnsError(f"input '{name[:_MAX_TEXT]}' mixes nested and flat data")
        if len(shape) == 2 and len(data) == shape[0] and any(len(item) != shape[1] for item in data):
            raise MalformedColumnsError(f"input '{name[:_MAX_TEXT]}' has rows that do not have {shape[1]} values")
        data = list(chain.from_iterable(data))
    if len(data) != size:
        raise MalformedColumnsError(f"input '{name[:_MAX_TEXT]}' has {len(data)} values for shape {list(shape)}")
    return Tensor(name, datatype, shape, data)


def tensor_from_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Tensor:
    """Return a tensor whose values came as little-endian bytes, strings with a uint32 length before each.

    Raises:
        MalformedColumnsError: The datatype is unknown, or the bytes do not fit it and the shape.
    """
    label, size = name[:_MAX_TEXT], _size(name, shape)
    if datatype == "BYTES":
        if len(raw) < 4 * size:
            raise MalformedColumnsError(f"input '{label}' does not hold {size} strings in its {len(raw)} bytes")
        return Tensor(name, datatype, shape, texts_from_raw(bytes(raw), size, label))
    dtype = np.dtype(np.uint8) if datatype == "BOOL" else _NUMBERS.get(datatype)
    if dtype is None:
        raise MalformedColumnsError(f"input '{label}' has the unknown datatype {datatype[:_MAX_TEXT]}")
    if len(raw) != size * dtype.itemsize:
        raise MalformedColumnsError(
            f"input '{label}' has {len(raw)} bytes, {datatype} of shape {list(shape)} has {size * dtype.itemsize}"
        )
    values: NDArray[Any] = np.frombuffer(raw, dtype=dtype)
    if datatype == "BOOL":
        if size and values.max() > 1:
            raise MalformedColumnsError(f"input '{label}' is BOOL and holds bytes other than 0 and 1")
        values = values.view(np.bool_)
    return Tensor(name, datatype, shape, values)


def with_base64_decoded(tensor: Tensor) -> Tensor:
    """Return a BYTES tensor whose strings came as base64 with the strings they stand for.

    Raises:
        MalformedColumnsError: A value is not base64 of UTF-8 text.
    """
    values = tensor.values
    given = values.array().tolist() if isinstance(values, Texts) else list(values)
    texts: list[str] = []
    for row, value in enumerate(given):
        try:
            texts.append(base64.b64decode(value, validate=True).decode())
        except (binascii.Error, TypeError, ValueError):
            raise MalformedColumnsError(f"input '{tensor.label}', row {row}: is not base64 of UTF-8 text") from None
    return Tensor(tensor.name, tensor.datatype, tensor.shape, texts)


def rows_in(tensors: Sequence[Tensor]) -> int:
    """Return the number of rows that all tensors have.

    Raises:
        MalformedColumnsError: They have different numbers of rows, or a name is there twice.
    """
    first, names = tensors[0], set()
    for tensor in tensors:
        if tensor.name in names:
            raise MalformedColumnsError(f"input '{tensor.label}' is there twice")
        names.add(tensor.name)
        if tensor.shape[0] != first.shape[0]:
            raise MalformedColumnsError(
                f"input '{tensor.label}' has {tensor.shape[0]} rows, input '{first.label}' has {first.shape[0]}"
            )
    return first.shape[0]


def columns_from_tensors(tensors: Sequence[Tensor], signature: Signature) -> EncodedColumns:
    """Return the signature's columns from tensors that `rows_in` has accepted.

    JSON has one kind of number, and clients that convert write an integer as 3.0 and a truth value as 1.0: the
    datatype says what is meant, and what loses nothing is taken.

    Raises:
        EmptyBatchError: There are no rows.
        MalformedColumnsError: A tensor has another datatype or shape than its column.
        SignatureMismatchError: A column is missing, unknown, or holds a value that does not fit.
    """
    if len(tensors) == 1 and len(tensors[0].shape) == 2 and tensors[0].name not in signature.names:
        return _columns_from_matrix(tensors[0], signature)
    values: dict[str, Values] = {}
    for tensor in tensors:
        if len(tensor.shape) == 2 and tensor.shape[1] != 1:
            raise MalformedColumnsError(f"input '{tensor.label}' must have the shape [N] or [N, 1]")
        values[tensor.name] = tensor.values
    datatypes = {tensor.name: tensor.datatype for tensor in tensors}
    for column in signature.columns:
        datatype = datatypes.get(column.name)
        if datatype is not None and datatype != DATATYPES[column.type]:
            _check_datatype(column, datatype, values[column.name])
    try:
        return _encoded(values, signature)
    except SignatureMismatchError:
        known = [column for column in signature.columns if column.name in values]
        meant = {column.name: _meant(column, values[column.name]) for column in known}
        if all(given is values[name] for name, given in meant.items()):
            raise
        return _encoded(values | meant, signature)


def _encoded(values: Mapping[str, Values], signature: Signature) -> EncodedColumns:
    row = {name: given[0] for name, given in values.items() if type(given) is list and len(given) == 1}
    if len(row) == len(values):
        return columns_from_rows([row], signature)
    return encoded_columns(values, signature)[0]


def _meant(column: Column, given: Values) -> Values:
    """Return integers and truth values that JSON has as other numbers; the same object where there are none."""
    if type(given) is not list:
        return given
    if column.type is ColumnType.LONG and float in set(map(type, given)):
        return [
            int(value) if type(value) is float and abs(value) < LONG_END and value.is_integer() else value
            for value in given
        ]
    if column.type is ColumnType.BOOLEAN and not {int, float}.isdisjoint(map(type, given)):
        return [value == 1 if type(value) in {int, float} and value in {0, 1} else value for value in given]
    return given


def _size(name: str, shape: Sequence[int]) -> int:
    if len(shape) not in {1, 2}:
        raise MalformedColumnsError(
            f"input '{name[:_MAX_TEXT]}' must have the shape [N] or [N, 1], or [N, F] for all columns at once"
        )
    return math.prod(shape)


def _check_datatype(column: Column, datatype: str, values: Values) -> None:
    label = column.name[:_MAX_TEXT]
    if datatype not in _ACCEPTED[column.type]:
        expected = DATATYPES[column.type]
        raise MalformedColumnsError(f"input '{label}' must be {expected}, not {datatype[:_MAX_TEXT]}")
    if type(values) is not list or datatype not in _INTEGERS:
        return
    bounds = np.iinfo(_NUMBERS[datatype])
    low, high = int(bounds.min), int(bounds.max)
    for row, value in enumerate(values):
        if type(value) is float and not value.is_integer():
            raise SignatureMismatchError(
                "must be an integer, not a number", kind=Mismatch.WRONG_TYPE, column=column.name, row=row
            )
        if type(value) in {int, float} and not low <= value <= high:
            raise SignatureMismatchError(
                f"does not fit {datatype}", kind=Mismatch.OUT_OF_RANGE, column=column.name, row=row
            )


def _columns_from_matrix(tensor: Tensor, signature: Signature) -> EncodedColumns:
    width = len(signature.columns)
    textual = [column for column in signature.columns if column.type not in {ColumnType.DOUBLE, ColumnType.LONG}]
    if textual:
        raise MalformedColumnsError(
            f"input '{tensor.label}' is no column of this model, and one matrix cannot hold all of them: "
            f"column '{textual[0].name[:_MAX_TEXT]}' is no number"
        )
    if tensor.shape[1] != width:
        raise MalformedColumnsError(f"input '{tensor.label}' has {tensor.shape[1]} columns, this model {width}")
    if tensor.datatype not in _NUMBERS:
        raise MalformedColumnsError(f"input '{tensor.label}' must be FP64, not {tensor.datatype[:_MAX_TEXT]}")
    flat = tensor.values
    values: dict[str, Values] = {}
    for index, column in enumerate(signature.columns):
        if not isinstance(flat, list):
            values[column.name] = np.asarray(flat)[index::width]
            continue
        given = flat[index::width]
        if tensor.datatype in _INTEGERS:
            _check_datatype(column, tensor.datatype, given)
        values[column.name] = whole_numbers(given) if column.type is ColumnType.LONG else given
    return encoded_columns(values, signature)[0]
