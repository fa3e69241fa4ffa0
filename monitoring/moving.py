"""Moves predictions from cell to cell when more becomes known of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Literal

from sqlalchemy import Connection

from database.engine import insert_or_ignore
from monitoring.logged_rows import (
    Caller,
    Told,
    attributes_of,
    find_rows,
    outcomes_of,
    tally_rows,
    tell,
)
from monitoring.tables import ORPHAN
from monitoring.window_buckets import read_buckets
from monitoring.window_cells import Tally, add


@contextmanager
def moving(
    connection: Connection,
    changed: Literal["attributes", "outcomes"],
    *,
    ids: Iterable[str] = (),
    callers: Iterable[Caller] = (),
    units: Iterable[str] = (),
) -> Iterator[None]:
    """Count the rows of these names where they belong after what is written meanwhile.

    No other transaction counts until this one ends. Rows are counted in the bucket in which they were served.
    """
    buckets = read_buckets(connection)
    rows = find_rows(connection, buckets, ids=ids, callers=callers, units=units)
    before = tell(connection, rows)
    yield
    if changed == "outcomes":
        after = Told(before.attributes, outcomes_of(connection, rows))
    else:
        after = Told(attributes_of(connection, rows), before.outcomes)
    moved = [row for row in rows.values() if before.of(row) != after.of(row)]
    tally = Tally()
    tally_rows(tally, moved, before, buckets, sign=-1)
    tally_rows(tally, moved, after, buckets)
    add(connection, tally, buckets)


def await_rows(connection: Connection, names: Iterable[tuple[str | None, str]]) -> None:
    """Remember names of predictions that are not there yet: (None, prediction id) or (model, the caller's id)."""
    waiting = [{"model": model or "", "name": name} for model, name in dict.fromkeys(names)]
    if waiting:
        connection.execute(insert_or_ignore(connection.engine, ORPHAN), waiting)
