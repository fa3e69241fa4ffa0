"""CSV to columns: RFC 4180, a header line, an empty cell is a missing value."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from inference.arrays import EXPECTED, Values
from inference.chosen_rows import as_sent, items_at
from inference.columns import columns_from_lists
from inference.errors import EmptyBatchError, MalformedColumnsError, Mismatch, SignatureMismatchError
from inference.runtime import Columns
from inference.scoring_tables import check_names
from inference.signature import Column, ColumnType, Signature

_TRUTHS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


class Cells:
    """A table that came as text; what a cell means depends on the column it is for."""

    def __init__(self, cells: Mapping[str, Sequence[str]], rows: int) -> None:
        self._cells, self.rows = cells, rows
        self.names: AbstractSet[str] = cells.keys()

    def values(self, name: str) -> Sequence[Any]:
        """Return one of the columns as text; None where a cell is empty."""
        return [cell or None for cell in self._cells[name]]

    def columns(self, signature: Signature, positions: Sequence[int] | None = None) -> Columns:
        """Return one array per signature column, of the rows at some positions (None: all).

        Cells are read by the column's type: a number as Python writes it, true or false; for a column of any type,
        whatever all its cells are. The order of the columns does not matter, others are left aside.

        Raises:
            SignatureMismatchError: A column is missing, or a cell does not fit its column; rows are counted as they
                were sent.
        """
        try:
            values: dict[str, Values] = {
                column.name: _read(column, self._cells[column.name], positions)
                for column in signature.columns
                if column.name in self._cells
            }
            return columns_from_lists(values, signature)[0]
        except SignatureMismatchError as error:
            raise as_sent(error, positions) from None


def csv_table(content: bytes) -> Cells:
    """Return the table in CSV in UTF-8; line ends may be LF or CRLF, lines without anything in them are no rows.

    Raises:
        MalformedColumnsError: The content is no UTF-8, no CSV, a row is longer or shorter than the header, or a
            name is there twice.
        EmptyBatchError: There are no rows.
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
    check_names(header)
    for row, line in enumerate(rows):
        if len(line) != len(header):
            raise MalformedColumnsError(f"row {row} has {len(line)} cells, the header has {len(header)}")
    if not rows:
        raise EmptyBatchError
    return Cells(dict(zip(header, zip(*rows, strict=True), strict=True)), len(rows))


def columns_from_csv(content: bytes, signature: Signature) -> tuple[Columns, int]:
    """Return one array per signature column, and the number of rows, from CSV in UTF-8.

    Raises:
        MalformedColumnsError, EmptyBatchError, SignatureMismatchError: As for `csv_table` and `Cells.columns`.
    """
    table = csv_table(content)
    return table.columns(signature), table.rows


def _read(column: Column, cells: Sequence[str], positions: Sequence[int] | None) -> list[Any]:
    if column.type is ColumnType.ANY:  # the same for all rows, whichever are asked for
        return list(items_at(_read_any(cells), positions))
    chosen = items_at(cells, positions)
    if column.type is ColumnType.STRING:
        return [cell or None for cell in chosen]
    read = _READERS[column.type]
    values: list[Any] = []
    for row, cell in enumerate(chosen):
        try:
            values.append(read(cell) if cell else None)
        except (KeyError, ValueError):
            reason = f"must be {EXPECTED[column.type]}"
            raise SignatureMismatchError(reason, kind=Mismatch.WRONG_TYPE, column=column.name, row=row) from None
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
