"""Counts predictions into windows as they are shipped, in the transaction that stores them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, select, tuple_

from database.engine import insert_or_replace
from monitoring.logged_rows import (
    ROW_COLUMNS,
    Attributes,
    Caller,
    as_row,
    find_rows,
    in_chunks,
    tally_rows,
    tell,
    unit_attributes,
)
from monitoring.rows import Rows
from monitoring.tables import CALLER_ATTRIBUTE, ORPHAN, OUTCOME, PREDICTION, PROTECTED_ATTRIBUTE
from monitoring.window_buckets import Buckets, read_buckets
from monitoring.window_cells import Amount, Tally, add, amount_of

_PLACES: Final = [PREDICTION.columns.keys().index(column.name) for column in ROW_COLUMNS]
_ID, _SERVED_AT, _MODEL, _VERSION, _VARIANT, _UNIT, _CALLER, _PREDICTION, _SCORE = _PLACES
_IS_REPEAT: Final = PREDICTION.columns.keys().index("is_repeat")
_ORPHANS_AT_ONCE: Final = 1_000


class WindowSink:
    """Keeps the counts of windows; told by the shipper of each record once.

    Most rows are counted from what the record says. Those of which more is known, since an outcome or an attribute
    came before them, are read back from the log.
    """

    def shipped(self, connection: Connection, records: Sequence[Rows]) -> None:
        """Count records."""
        buckets = read_buckets(connection)
        known = _Known(connection, records)
        tally = Tally()
        looked_up = _count(records, known, buckets, tally)
        if looked_up:
            _count_from_log(connection, looked_up, buckets, tally)
        add(connection, tally, buckets)


class _Known:
    """What the log knows about rows beside their records: which were awaited, and what is said of their units."""

    def __init__(self, connection: Connection, records: Sequence[Rows]) -> None:
        rows = [values for record in records for values in record.predictions]
        callers = {(values[_MODEL], values[_CALLER]) for values in rows if values[_CALLER] is not None}
        self.callers = _attribute_rows(connection, rows, callers)
        self.ids: set[str] = set()
        self._take_orphans(connection, {values[_ID] for values in rows}, callers)
        self.callers |= _told_callers(connection, callers)
        self.units = unit_attributes(connection, {values[_UNIT] for values in rows if values[_UNIT] is not None})

    def has_more(self, values: Sequence[Any]) -> bool:
        """Return whether a row cannot be counted from its record alone."""
        return values[_ID] in self.ids or (values[_MODEL], values[_CALLER]) in self.callers

    def _take_orphans(self, connection: Connection, ids: set[str], callers: set[Caller]) -> None:
        """Look for names that are awaited among those of new rows; they are not awaited any longer."""
        if connection.execute(select(ORPHAN.c.name).limit(1)).first() is None:
            return
        of_ids = select(ORPHAN.c.name).where(ORPHAN.c.model == "")
        self.ids = {name for (name,) in in_chunks(connection, of_ids, ORPHAN.c.name, ids)}
        names = {name for _, name in callers}
        awaited = {tuple(row) for row in in_chunks(connection, select(ORPHAN), ORPHAN.c.name, names)} & callers
        self.callers |= awaited
        found = [*(("", name) for name in self.ids), *awaited]
        for start in range(0, len(found), _ORPHANS_AT_ONCE):
            some = found[start : start + _ORPHANS_AT_ONCE]
            connection.execute(delete(ORPHAN).where(tuple_(ORPHAN.c.model, ORPHAN.c.name).in_(some)))


def _told_callers(connection: Connection, callers: set[Caller]) -> set[Caller]:
    """Return the callers' ids of which an outcome is known: of an earlier row, it is that of a later one too."""
    names = {name for _, name in callers}
    told = select(OUTCOME.c.model, OUTCOME.c.caller_id).distinct()
    return {(model, name) for model, name in in_chunks(connection, told, OUTCOME.c.caller_id, names)} & callers


def _attribute_rows(connection: Connection, rows: Sequence[Sequence[Any]], callers: set[Caller]) -> set[Caller]:
    """Give new rows the attributes that were told by their caller's id; return the ids of which some were."""
    if not callers or connection.execute(select(CALLER_ATTRIBUTE.c.model).limit(1)).first() is None:
        return set()
    found: defaultdict[Caller, dict[str, str | None]] = defaultdict(dict)
    names = {name for _, name in callers}
    for model, caller_id, attribute, value in in_chunks(
        connection, select(CALLER_ATTRIBUTE), CALLER_ATTRIBUTE.c.caller_id, names
    ):
        if (model, caller_id) in callers:
            found[model, caller_id][attribute] = value
    told = [
        {"prediction_id": values[_ID], "attribute": attribute, "value": value}
        for values in rows
        for attribute, value in found.get((values[_MODEL], values[_CALLER]), {}).items()
    ]
    if told:
        connection.execute(insert_or_replace(connection, PROTECTED_ATTRIBUTE), told)
    return set(found)


def _count(records: Sequence[Rows], known: _Known, buckets: Buckets, tally: Tally) -> set[str]:
    """Count the rows of records; return the ids of those that have to be looked up."""
    looked_up: set[str] = set()
    alike: dict[tuple[Any, ...], list[Any]] = {}
    for record in records:
        attributes: dict[str, list[tuple[str, str | None]]] = {}
        for id_, attribute, value in record.protected:
            attributes.setdefault(id_, []).append((attribute, value))
        for values in record.predictions:
            if values[_VARIANT] is None or values[_IS_REPEAT]:
                continue
            if known.has_more(values):
                looked_up.add(values[_ID])
                continue
            groups, unit, prediction = attributes.get(values[_ID]), values[_UNIT], values[_PREDICTION]
            kind = type(prediction)
            key = (
                buckets.find(values[_SERVED_AT].timestamp()),
                values[_MODEL],
                values[_VERSION],
                values[_VARIANT],
                None if groups is None else tuple(groups),
                unit if unit in known.units and not record.is_bulk else None,
                kind,
                # Lists are no labels, and are counted by their text.
                str(prediction) if kind in {list, dict} else prediction,
                values[_SCORE] is None,
            )
            found = alike.get(key)
            if found is None:
                alike[key] = [1, values]
            else:
                found[0] += 1
    for (*_, groups, unit, _, _, _), (n, values) in alike.items():
        row = as_row([values[place] for place in _PLACES])
        named: Attributes = known.units.get(unit, {}) | dict(groups or ())
        amount = amount_of(row.prediction, has_score=row.has_score)
        tally.count(row.cell(buckets, named, None), Amount(n, n * amount.value_sum, n * amount.value_sum_squares))
    return looked_up


def _count_from_log(connection: Connection, ids: set[str], buckets: Buckets, tally: Tally) -> None:
    """Count rows of which more is known."""
    rows = find_rows(connection, buckets, ids=ids)
    tally_rows(tally, rows.values(), tell(connection, rows), buckets)
