"""Repeats: rows under a caller's id that was there less than 24 hours before. They are stored and not analysed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, select

from monitoring.rows import Rows
from monitoring.tables import PREDICTION

REPEAT_AFTER: Final = timedelta(hours=24)
"""A row under an id that was first there so long ago, or longer, is a new one."""

_PLACES = {name: place for place, name in enumerate(PREDICTION.columns.keys())}
_MODEL, _SERVED_AT, _VARIANT = _PLACES["model"], _PLACES["served_at"], _PLACES["variant"]
_CALLER_ID, _IS_REPEAT = _PLACES["caller_id"], _PLACES["is_repeat"]
_IDS_PER_STATEMENT = 5_000


def mark_repeats(connection: Connection, records: Sequence[Rows]) -> None:
    """Set `is_repeat` of rows that are about to be inserted, in place.

    A row counts anew 24 hours after the last one under its id that counted. Rows for which the version was asked
    for by number are no repeats and make none: no analysis counts them. Of rows that are shipped in another order
    than they were served, the first to be shipped counts.
    """
    found = [
        (rows.predictions, place, row)
        for rows in records
        if not rows.is_bulk
        for place, row in enumerate(rows.predictions)
        if row[_CALLER_ID] is not None and row[_VARIANT] is not None
    ]
    if not found:
        return
    counted = _counted(connection, [row for _, _, row in found])
    for rows_of, place, row in found:
        times = counted[row[_MODEL], row[_CALLER_ID]]
        is_repeat = any(abs(row[_SERVED_AT] - time) < REPEAT_AFTER for time in times)
        if not is_repeat:
            times.append(row[_SERVED_AT])
        if row[_IS_REPEAT] is not is_repeat:
            rows_of[place] = (*row[:_IS_REPEAT], is_repeat, *row[_IS_REPEAT + 1 :])


def _counted(
    connection: Connection, rows: Sequence[tuple[Any, ...]]
) -> defaultdict[tuple[str, str], list[datetime]]:
    """Return by model and caller's id when rows that count were served, of those the rows may repeat."""
    first = min(row[_SERVED_AT] for row in rows) - REPEAT_AFTER
    ids: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        ids[row[_MODEL]].add(row[_CALLER_ID])
    times: defaultdict[tuple[str, str], list[datetime]] = defaultdict(list)
    columns = PREDICTION.c
    for model, of_model in ids.items():
        some = sorted(of_model)
        for start in range(0, len(some), _IDS_PER_STATEMENT):
            statement = select(columns.caller_id, columns.served_at).where(
                columns.model == model,
                columns.caller_id.in_(some[start : start + _IDS_PER_STATEMENT]),
                columns.served_at > first,
                columns.variant.is_not(None),
                columns.is_repeat.is_(False),
            )
            for caller_id, served_at in connection.execute(statement):
                times[model, caller_id].append(served_at)
    return times
