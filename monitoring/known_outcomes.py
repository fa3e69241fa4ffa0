"""What the log knows about the predictions that a list of outcomes names, read with a few statements."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Set
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select

from monitoring.bulk_blocks import read_bulk_blocks
from monitoring.naming import Name
from monitoring.tables import OUTCOME, PREDICTION

Told = tuple[bool, Any, datetime | None]
"""What an outcome says: whether its value is a boolean (true is no 1), the value, when it was observed."""

_NAMES_PER_STATEMENT = 5_000
_NOTHING: tuple[int, Told | None] = (-1, None)


class KnownOutcomes:
    """The latest outcomes of the predictions that are named, whichever of its two names each came under."""

    def __init__(self, connection: Connection, names: Set[Name]) -> None:
        self._connection = connection
        self._latest: dict[Name, tuple[int, Told | None]] = {}
        self._callers: dict[str, Name | None] = {}
        self._served: dict[Name, int] = {}
        self._by_id: defaultdict[Name, dict[str, tuple[int, Told | None]]] = defaultdict(dict)
        self._new_ids = itertools.count(2**63)  # later than any row there is
        ids = [name for model, name in names if model is None]
        called = {name for name in names if name[0] is not None}
        self._read_predictions(ids)
        self._read_callers({*called, *(caller for caller in self._callers.values() if caller is not None)})
        self._read_outcomes_by_id(called)

    def is_matched(self, name: Name) -> bool:
        """Return whether the log holds a prediction of that name."""
        return self._served.get(name, 0) > 0 if name[0] is not None else name[1] in self._callers

    def subject(self, name: Name) -> Name:
        """Return the one name of a prediction that has two."""
        caller = self._callers.get(name[1]) if name[0] is None else None
        return caller if caller is not None and self._served.get(caller) == 1 else name

    def add(self, name: Name, told: Told) -> bool:
        """Return whether this is news, and if so take it for what was told last."""
        if all(found == told for found in self._told(name)):
            return False
        self._latest[name] = latest = (next(self._new_ids), told)
        caller = self._callers.get(name[1]) if name[0] is None else None
        if caller is not None:
            self._by_id[caller][name[1]] = latest
        return True

    def _told(self, name: Name) -> Iterator[Told | None]:
        """Yield what was told last of each prediction of that name."""
        own = self._latest.get(name, _NOTHING)
        if name[0] is None:
            caller = self._callers.get(name[1])
            yield max(own, self._latest.get(caller, _NOTHING) if caller else _NOTHING, key=_row_id)[1]
            return
        by_ids = self._by_id[name].values()
        if not by_ids or len(by_ids) < self._served.get(name, 0):
            yield own[1]
        for by_id in by_ids:
            yield max(own, by_id, key=_row_id)[1]

    def _read_predictions(self, ids: Collection[str]) -> None:
        columns = PREDICTION.c
        statement = select(columns.prediction_id, columns.model, columns.caller_id)
        for row in self._rows(statement, columns.prediction_id, ids):
            caller = None if row["caller_id"] is None else (row["model"], row["caller_id"])
            self._callers[row["prediction_id"]] = caller
        bulk = [name for name in ids if name not in self._callers]
        blocks = read_bulk_blocks(self._connection, {name.rpartition("-")[0] for name in bulk})
        held = {name for found in blocks.values() for block in found for name in block.prediction_ids()}
        self._callers.update(dict.fromkeys(held.intersection(bulk)))
        for row in self._latest_rows(OUTCOME.c.prediction_id, ids):
            self._latest[None, row["prediction_id"]] = _latest(row)

    def _read_callers(self, callers: Iterable[Name]) -> None:
        columns = PREDICTION.c
        for model, ids in _by_model(callers):
            statement = (
                select(columns.caller_id, func.count().label("served"))
                .where(columns.model == model)
                .group_by(columns.caller_id)
            )
            for row in self._rows(statement, columns.caller_id, ids):
                self._served[model, row["caller_id"]] = row["served"]
            for row in self._latest_rows(OUTCOME.c.caller_id, ids, OUTCOME.c.model == model):
                self._latest[model, row["caller_id"]] = _latest(row)

    def _read_outcomes_by_id(self, callers: Iterable[Name]) -> None:
        """Read what was told under the prediction ids of rows that are named by the caller's id now."""
        for model, ids in _by_model(callers):
            statement = (
                select(OUTCOME, PREDICTION.c.caller_id.label("called"))
                .join(PREDICTION, PREDICTION.c.prediction_id == OUTCOME.c.prediction_id)
                .where(PREDICTION.c.model == model)
                .order_by(OUTCOME.c.id)
            )
            for row in self._rows(statement, PREDICTION.c.caller_id, ids):
                self._by_id[model, row["called"]][row["prediction_id"]] = _latest(row)

    def _latest_rows(
        self, column: ColumnElement[str | None], names: Iterable[str], *conditions: ColumnElement[bool]
    ) -> Iterator[RowMapping]:
        """Yield of each name in `column` the outcome received last."""
        for some in _chunks(names):
            last = select(func.max(OUTCOME.c.id)).where(*conditions, column.in_(some)).group_by(column)
            yield from self._connection.execute(select(OUTCOME).where(OUTCOME.c.id.in_(last))).mappings()

    def _rows(
        self, statement: Select[Any], column: ColumnElement[Any], names: Iterable[str]
    ) -> Iterator[RowMapping]:
        for some in _chunks(names):
            yield from self._connection.execute(statement.where(column.in_(some))).mappings()


def _latest(row: RowMapping) -> tuple[int, Told | None]:
    return row["id"], (isinstance(row["outcome"], bool), row["outcome"], row["observed_at"])


def _row_id(latest: tuple[int, Told | None]) -> int:
    return latest[0]


def _by_model(callers: Iterable[Name]) -> Iterator[tuple[str, list[str]]]:
    models: defaultdict[str, list[str]] = defaultdict(list)
    for model, name in callers:
        models[model or ""].append(name)
    yield from models.items()


def _chunks(names: Iterable[str]) -> Iterator[list[str]]:
    rest = sorted(names)
    for start in range(0, len(rest), _NAMES_PER_STATEMENT):
        yield rest[start : start + _NAMES_PER_STATEMENT]
