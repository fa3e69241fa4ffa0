"""The table in a scoring request: MLflow's four JSON shapes, read before it is known which model answers which row.

Columns outside the signature are left aside, as MLflow's own server drops what a model does not ask for. Whole
floats are taken for an integer column, since pandas keeps integers with gaps as floats; nothing else is cast.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Protocol

from inference.arrays import whole_numbers
from inference.chosen_rows import as_sent, items_at
from inference.columns import columns_from_lists, columns_from_rows
from inference.errors import EmptyBatchError, MalformedColumnsError, SignatureMismatchError
from inference.runtime import Columns
from inference.signature import ColumnType, Signature

SHAPES: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
"""The members of a scoring request of which exactly one must be there."""

_MAX_TEXT: Final = 200


class Table(Protocol):
    """Rows of a request; `names` are those of its columns, none where rows are told by position alone."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        ...

    @property
    def names(self) -> AbstractSet[str]:
        """The names of the columns."""
        ...

    def values(self, name: str) -> Sequence[Any]:
        """Return the values of one of the columns, one per row; None where a row has none."""
        ...

    def columns(self, signature: Signature, positions: Sequence[int] | None = None) -> Columns:
        """Return one array per signature column, of the rows at some positions (None: all).

        Raises:
            MalformedColumnsError: The rows are not as wide as the model.
            EmptyBatchError: There are no rows.
            SignatureMismatchError: A column is missing or does not fit; rows are counted as they were sent.
        """
        ...


class NamedLists:
    """A table that came as a list of values per column."""

    def __init__(self, lists: Mapping[str, list[Any]], rows: int) -> None:
        self._lists, self.rows = lists, rows
        self.names: AbstractSet[str] = lists.keys()

    def values(self, name: str) -> Sequence[Any]:
        """Return the values of one of the columns."""
        return self._lists[name]

    def columns(self, signature: Signature, positions: Sequence[int] | None = None) -> Columns:
        """Return one array per signature column."""
        return _columns(self, signature, positions)


class Records:
    """A table that came as an object per row; a name that a record lacks is a missing value in its row."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self._records, self.rows = records, len(records)
        self.names: AbstractSet[str] = set().union(*records)

    def values(self, name: str) -> Sequence[Any]:
        """Return the values of one of the columns."""
        return [record.get(name) for record in self._records]

    def columns(self, signature: Signature, positions: Sequence[int] | None = None) -> Columns:
        """Return one array per signature column."""
        return _columns(self, signature, positions)


class PositionalRows:
    """A table that came as a list of values per row, in the signature's order; `member` is where it came from."""

    def __init__(self, member: str, rows: list[Any]) -> None:
        self._member, self._rows, self.rows = member, rows, len(rows)
        self.names: AbstractSet[str] = frozenset()

    def values(self, name: str) -> Sequence[Any]:
        """Raise KeyError: no column has a name."""
        raise KeyError(name)

    def columns(self, signature: Signature, positions: Sequence[int] | None = None) -> Columns:
        """Return one array per signature column."""
        names = [column.name for column in signature.columns]
        return _columns(_named(self._member, self._rows, names), signature, positions)


def scoring_table(body: Mapping[str, Any]) -> Table:
    """Return the table of a request to MLflow's scoring server; members other than the four shapes are left aside.

    Raises:
        MalformedColumnsError: Not exactly one of the four shapes is there, or it is built otherwise.
        EmptyBatchError: There are no rows.
        SignatureMismatchError: The columns have different numbers of rows.
    """
    given = [shape for shape in SHAPES if shape in body]
    if len(given) != 1:
        raise MalformedColumnsError(f"the body must have exactly one of {', '.join(SHAPES)}")
    shape, value = given[0], body[given[0]]
    if shape == "dataframe_split":
        return _split_table(value)
    if shape == "dataframe_records":
        return _records_table(value)
    if shape == "inputs" and type(value) is dict:
        return _lists_table(value)
    return instances_table(value, member=shape)


def instances_table(instances: Any, *, member: str = "instances") -> Table:
    """Return the table of a list of objects, of lists in the signature's order, or of the values of one column.

    Raises:
        MalformedColumnsError, EmptyBatchError: As for `scoring_table`.
    """
    if type(instances) is not list:
        raise MalformedColumnsError(f"'{member}' must be a list")
    kinds = set(map(type, instances))
    if kinds == {dict}:
        return _records_table(instances)
    if kinds & {dict, list} and len(kinds) > 1:
        raise MalformedColumnsError(f"'{member}' mixes objects, lists and single values")
    if not instances:
        raise EmptyBatchError
    return PositionalRows(member, instances if kinds == {list} else [[value] for value in instances])


def check_names(names: Sequence[str]) -> None:
    """Raise MalformedColumnsError where two columns have the same name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise MalformedColumnsError(f"column '{name[:_MAX_TEXT]}' is there twice")
        seen.add(name)


def _split_table(split: Any) -> Table:
    """Return the table of `{"columns": [...], "data": [[...], ...]}`; an `index` is left aside.

    Without `columns`, the values of a row are in the signature's order.
    """
    if type(split) is not dict or type(data := split.get("data")) is not list:
        raise MalformedColumnsError("'dataframe_split' must be an object with a list 'data'")
    if "columns" not in split:
        return PositionalRows("data", data)
    names = split["columns"]
    if type(names) is not list or not all(type(name) in {str, int} for name in names):
        raise MalformedColumnsError("'columns' must be a list of names")
    texts = [str(name) for name in names]  # pandas numbers columns that were given no names
    check_names(texts)
    return _named("data", data, texts)


def _records_table(records: Any) -> Table:
    if type(records) is not list or not all(type(record) is dict for record in records):
        raise MalformedColumnsError("records must be a list of objects of column names and values")
    if not records:
        raise EmptyBatchError
    return Records(records)


def _lists_table(lists: Mapping[str, Any]) -> Table:
    """Return the table of an object of column names and lists of values, flat or of the shape [N, 1]."""
    if not all(type(values) is list for values in lists.values()):
        raise MalformedColumnsError("'inputs' must hold a list for every column")
    flat = {name: _flat(name, values) for name, values in lists.items()}
    lengths = {len(values) for values in flat.values()}
    if len(lengths) > 1:
        raise SignatureMismatchError("the columns have different numbers of rows")
    return NamedLists(flat, lengths.pop() if lengths else 0)


def _flat(name: str, values: list[Any]) -> list[Any]:
    kinds = set(map(type, values))
    if list not in kinds:
        return values
    if kinds != {list} or any(len(value) != 1 for value in values):
        raise MalformedColumnsError(f"column '{name[:_MAX_TEXT]}' must have the shape [N] or [N, 1]")
    return [value[0] for value in values]


def _named(member: str, rows: Sequence[Any], names: Sequence[str]) -> NamedLists:
    """Return the table of lists of values, one list per row, in the order of `names`."""
    if not rows:
        raise EmptyBatchError
    for index, row in enumerate(rows):
        if type(row) is not list or len(row) != len(names):
            raise MalformedColumnsError(f"'{member}', row {index}: must be a list of {len(names)} values")
    values = zip(names, zip(*rows, strict=True), strict=True)
    return NamedLists({name: list(column) for name, column in values}, len(rows))


def _columns(table: Table, signature: Signature, positions: Sequence[int] | None) -> Columns:
    lists: dict[str, list[Any]] = {}
    for column in signature.columns:
        if column.name in table.names:
            given = list(items_at(table.values(column.name), positions))
            lists[column.name] = whole_numbers(given) if column.type is ColumnType.LONG else given
    if (table.rows if positions is None else len(positions)) == 1:
        # One row costs less as a row; whatever is unusual or wrong about it is told as of columns.
        with contextlib.suppress(SignatureMismatchError):
            return columns_from_rows([{name: values[0] for name, values in lists.items()}], signature)
    try:
        return columns_from_lists(lists, signature)[0]
    except SignatureMismatchError as error:
        raise as_sent(error, positions) from None
