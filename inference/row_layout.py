"""How one row of a signature is taken apart in a few calls: which columns have which dtype, and where they are.

Most requests have one row. Decoded column by column, it costs a dozen Python steps per column; taken by dtype, all
its strings cost about as much as one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

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


class DecodedRows(Mapping[str, NDArray[Any]]):
    """The columns of rows of one layout, kept as an array per dtype: `objects` and `doubles`, [columns, rows].

    `others` are the columns of other dtypes by name. A column's own array is a view that is made when one is asked
    for: with hundreds of columns, making them for each request and joining them one by one costs more than the
    answer, and all of it is too much for the processor's cache.
    """

    __slots__ = ("_views", "doubles", "layout", "objects", "others")

    def __init__(
        self,
        layout: RowLayout,
        objects: NDArray[Any],
        doubles: NDArray[np.float64],
        others: Mapping[str, NDArray[Any]],
    ) -> None:
        self.layout, self.objects, self.doubles, self.others = layout, objects, doubles, others
        self._views: dict[str, NDArray[Any]] | None = None

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.views()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.views())

    def __len__(self) -> int:
        return self.layout.width

    def views(self) -> dict[str, NDArray[Any]]:
        """Return each column's own array, for those who look at many of them."""
        if self._views is None:
            views = dict(zip(self.layout.objects.names, self.objects, strict=True))
            views.update(zip(self.layout.doubles.names, self.doubles, strict=True))
            views.update(self.others)
            self._views = views
        return self._views


def join_rows(parts: Sequence[DecodedRows]) -> DecodedRows:
    """Return the rows of all parts, which have one layout, in order."""
    layout = parts[0].layout
    return DecodedRows(
        layout,
        np.concatenate([part.objects for part in parts], axis=1),
        np.concatenate([part.doubles for part in parts], axis=1),
        {name: np.concatenate([part.others[name] for part in parts]) for name in layout.others.names},
    )


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
