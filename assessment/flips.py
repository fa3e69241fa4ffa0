"""The flip test: a model asked again about the same rows, with nothing changed but a protected attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from assessment.errors import FlipValueError
from assessment.options import Label
from assessment.predictor import Predictor
from fairness.flips import Flips, flips
from fairness.groups import Groups
from fairness.labels import is_favourable
from inference.runtime import Columns
from inference.served_model import Predictions
from inference.signature import Column, ColumnType

Swap = tuple[Label, Label]
"""Two values of an attribute that are exchanged."""

_LONG: Final = np.iinfo(np.int64)


class FlipReport(BaseModel):
    """What a swap of two values of one attribute did to decisions (`fairness.flips`), by group as it was.

    `rows` had one of the two values and were asked about twice. No `groups`, with a `reason`, where the model does
    not read the attribute, or no row has either value. 0 flips do not show that groups are treated alike: what a
    model learns through other columns stays as it is.
    """

    model_config = ConfigDict(frozen=True)

    attribute: str
    one: Label
    other: Label
    rows: int
    groups: tuple[Flips, ...] = ()
    reason: str | None = None


class Flipping:
    """A model that is asked a second time with attributes swapped, while it scores the rows of a test.

    Args:
        served: The model.
        swaps: Attribute to the two values to exchange.
        favourable: The label one would rather get.

    Raises:
        FlipValueError: A value is none that its column can have.
    """

    def __init__(self, served: Predictor, swaps: Mapping[str, Swap], favourable: Label) -> None:
        self._served = served
        self.signature = served.signature
        read = {column.name: column for column in served.signature.columns}
        self._flips = [_Flip(attribute, swap, read.get(attribute), favourable) for attribute, swap in swaps.items()]

    def predict(self, columns: Columns, rows: int) -> Predictions:
        """Return the predictions of the rows as they are."""
        found = self._served.predict(columns, rows)
        for flip in self._flips:
            flip.look(self._served, columns, found)
        return found

    def reports(self) -> tuple[FlipReport, ...]:
        """Return what was found in all rows so far."""
        return tuple(flip.report() for flip in self._flips)


class _Flip:
    """One swap: which rows it concerned, and what was decided about them before and after."""

    def __init__(self, attribute: str, swap: Swap, column: Column | None, favourable: Label) -> None:
        self._attribute, self._swap, self._favourable = attribute, swap, favourable
        self._values = None if column is None else tuple(_value(attribute, value, column) for value in swap)
        self._codes: list[NDArray[np.intp]] = []
        self._before: list[NDArray[np.bool_]] = []
        self._after: list[NDArray[np.bool_]] = []

    def look(self, served: Predictor, columns: Columns, found: Predictions) -> None:
        """Ask about the rows that have one of the two values once more, with the other one."""
        if self._values is None:
            return
        one, other = self._values
        column = np.asarray(columns[self._attribute])
        is_one = np.asarray(column == one, dtype=np.bool_)
        concerned = np.flatnonzero(is_one | np.asarray(column == other, dtype=np.bool_))
        if not len(concerned):
            return
        was_one = is_one[concerned]
        swapped = column[concerned]  # a copy: indexed by numbers
        swapped[was_one], swapped[~was_one] = other, one
        asked = {name: np.asarray(values)[concerned] for name, values in columns.items()}
        after = served.predict({**asked, self._attribute: swapped}, len(concerned))
        self._codes.append(np.where(was_one, 0, 1).astype(np.intp))
        self._before.append(is_favourable(found.prediction[concerned], self._favourable))
        self._after.append(is_favourable(after.prediction, self._favourable))

    def report(self) -> FlipReport:
        one, other = self._swap
        about: dict[str, Any] = {"attribute": self._attribute, "one": one, "other": other}
        if self._values is None:
            return FlipReport(**about, rows=0, reason="the model has no feature of this name, so it cannot read it")
        if not self._codes:
            return FlipReport(**about, rows=0, reason="no row has one of the two values")
        groups = Groups(np.concatenate(self._codes), (str(one), str(other)))
        measured = flips(groups, np.concatenate(self._before), np.concatenate(self._after), favourable=True)
        return FlipReport(**about, rows=len(groups.codes), groups=measured)


def _value(attribute: str, value: Label, column: Column) -> Any:
    """Return a value as the column has it: 1 where it has numbers, "1" where it has texts.

    Raises:
        FlipValueError: It can have none like it.
    """
    try:
        made = _typed(value, column.type)
    except (ValueError, OverflowError):
        raise FlipValueError(attribute, f"is of type {column.type}") from None
    if column.known_values is not None and made not in column.known_values:
        raise FlipValueError(attribute, "was fitted without this value")
    return made


def _typed(value: Label, kind: ColumnType) -> Any:
    if kind is ColumnType.STRING:
        return str(value)
    if kind is ColumnType.DOUBLE:
        return float(value)
    if kind is ColumnType.LONG:
        whole = int(value) if isinstance(value, str) else float(value)
        if whole != int(whole) or not _LONG.min <= whole <= _LONG.max:
            raise ValueError
        return int(whole)
    if kind is ColumnType.BOOLEAN:
        known = {"true": True, "1": True, "false": False, "0": False}
        if str(value).lower() not in known:
            raise ValueError
        return known[str(value).lower()]
    return value
