"""How one row of a signature is taken apart in a few calls: which columns have which dtype, and where they are.

Most requests have one row. Decoded column by column, it costs a dozen Python steps per column; taken by dtype, all
its strings cost about as much as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from inference.signature import Column, ColumnType, Signature

_REMEMBERED: Final = 256


class RowLayout:
    """The columns of one signature, by the dtype they are decoded to.

    `take` returns a row's values in the signature's order and raises KeyError where one is missing. `closed` are
    the columns that refuse unknown categories, each with the values it knows.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.width = len(columns)
        self.take = _taker([column.name for column in columns])
        self.objects = Group(columns, {ColumnType.STRING, ColumnType.ANY})
        self.doubles = Group(columns, {ColumnType.DOUBLE})
        self.others = Group(columns, {ColumnType.LONG, ColumnType.BOOLEAN})
        self.closed = tuple(
            (column.name, column.known_values) for column in columns if column.known_values is not None
        )
        self._columns = tuple(columns)
        self._accepted: set[tuple[type, ...]] = set()

    def accepts(self, values: tuple[Any, ...]) -> bool:
        """Return whether every value of a row has a type that its column takes."""
        kinds = tuple(map(type, values))
        if kinds in self._accepted:
            return True
        if any(kind not in column.accepted_types for kind, column in zip(kinds, self._columns, strict=True)):
            return False
        if len(self._accepted) < _REMEMBERED:
            self._accepted.add(kinds)
        return True


class Group:
    """The columns of one dtype; `of` takes their values out of a row's values."""

    def __init__(self, columns: Sequence[Column], types: set[ColumnType]) -> None:
        places = [place for place, column in enumerate(columns) if column.type in types]
        self.columns = tuple(columns[place] for place in places)
        self.names = tuple(column.name for column in self.columns)
        self.of = _taker(places)


def layout_of(signature: Signature) -> RowLayout:
    """Return the signature's layout, made once."""
    layout: RowLayout | None = signature.__dict__.get("_row_layout")
    if layout is None:
        layout = RowLayout(signature.columns)
        signature.__dict__["_row_layout"] = layout  # where pydantic keeps a frozen model's cached properties too
    return layout


def _taker(keys: Sequence[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what takes the values at `keys`, as a tuple also where there is one or none."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return lambda values: tuple([values[key] for key in keys])
