"""CSV to columns: RFC 4180, a header line, an empty cell is a missing value."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any, Final

from inference.arrays import EXPECTED, Values
from inference.columns import columns_from_lists
from inference.errors import EmptyBatchError, MalformedColumnsError, SignatureMismatchError
from inference.runtime import Columns
from inference.signature import Column, ColumnType, Signature

_TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_MAX_TEXT: Final = 200


def columns_from_csv(content: bytes, signature: Signature) -> tuple[Columns, int]:
    """Return one array per signature column, and the number of rows, from CSV in UTF-8.

    The order of the columns does not matter, columns outside the signature are left aside. Line ends may be LF or
    CRLF, lines without anything in them are no rows. Cells are read by the column's type: a number as Python writes
    it, true or false; for a column of any type, whatever all its cells are.

    Raises:
        MalformedColumnsError: The content is no UTF-8, no CSV, a row is longer or shorter than the header, or a
            name is there twice.
        EmptyBatchError: There are no rows.
        SignatureMismatchError: A column is missing, or a cell does not fit its column; names row and column.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MalformedColumnsError("the CSV is not UTF-8") from None
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise MalformedColumnsError(f"this is not CSV: {error}") from None
    if not lines:
        raise MalformedColumnsError("the CSV has no header line")
    header, rows = lines[0], lines[1:]
    if len(header) == 1 and not header[0]:
        raise MalformedColumnsError("the CSV has no header line")
    if len(set(header)) != len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise MalformedColumnsError(f"column '{twice[:_MAX_TEXT]}' is there twice")
    for row, line in enumerate(rows):
        if len(line) != len(header):
            raise MalformedColumnsError(f"row {row} has {len(line)} cells, the header has {len(header)}")
    if not rows:
        raise EmptyBatchError
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    values: dict[str, Values] = {
        column.name: _read(column, cells[column.name]) for column in signature.columns if column.name in cells
    }
    return columns_from_lists(values, signature)


def _read(column: Column, cells: Sequence[str]) -> list[Any]:
    if column.type is ColumnType.STRING:
        return [cell or None for cell in cells]
    if column.type is ColumnType.ANY:
        return _read_any(cells)
    read = _READERS[column.type]
    values: list[Any] = []
    for row, cell in enumerate(cells):
        try:
            values.append(read(cell) if cell else None)
        except (KeyError, ValueError):
            reason = f"must be {EXPECTED[column.type]}"
            raise SignatureMismatchError(reason, column=column.name, row=row) from None
    return values


def _read_any(cells: Sequence[str]) -> list[Any]:
    for read in _READERS.values():
        try:
            return [read(cell) if cell else None for cell in cells]
        except (KeyError, ValueError):
            continue
    return [cell or None for cell in cells]


def _number(cell: str) -> float:
    if "_" in cell:  # Python's own, nobody else's
        raise ValueError
    return float(cell)


def _integer(cell: str) -> int:
    if "_" in cell:
        raise ValueError
    try:
        return int(cell)
    except ValueError:
        value = float(cell)  # pandas writes integers with gaps as floats
        if not value.is_integer():
            raise
        return int(value)


_READERS: Final[dict[ColumnType, Callable[[str], Any]]] = {
    ColumnType.BOOLEAN: _TRUTHS.__getitem__,
    ColumnType.LONG: _integer,
    ColumnType.DOUBLE: _number,
}
