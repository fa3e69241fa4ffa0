"""Rows of any values as whole numbers: what explains them need not know what a string or a missing value is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, Any]


class CodedRows:
    """One row and its background, column by column as places in the list of the values that are there.

    Numbers are coded too: shap takes two that are close for equal, and places never are.

    Args:
        row: The row, a JSON value per column.
        background: At least one row with the same columns.
    """

    def __init__(self, row: Row, background: Sequence[Row]) -> None:
        self.names = tuple(row)
        self._values: list[list[Any]] = []
        coded = []
        for name in self.names:
            places: dict[Any, int] = {}
            coded.append([places.setdefault(_key(one[name]), len(places)) for one in (row, *background)])
            self._values.append([value for _, value in places])
        codes = np.array(coded, dtype=np.float64).T
        self.row: NDArray[np.float64] = codes[:1]
        self.background: NDArray[np.float64] = codes[1:]

    def rows(self, codes: NDArray[np.float64]) -> list[dict[str, Any]]:
        """Return the rows that codes [N, columns] stand for."""
        columns = [
            [values[place] for place in places]
            for values, places in zip(self._values, codes.T.astype(np.intp).tolist(), strict=True)
        ]
        return [dict(zip(self.names, values, strict=True)) for values in zip(*columns, strict=True)]

    @property
    def varying(self) -> int:
        """In how many columns the row differs from any row of the background."""
        return int((self.background != self.row).any(axis=0).sum())


def _key(value: Any) -> tuple[str, Any]:
    """Return what tells a value from others, and the value: true is not 1, and 1 is not 1.0."""
    return repr(value), value
