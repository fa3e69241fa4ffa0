"""The upkeep of windows: old buckets are merged into larger ones, and a log is counted anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Integer, case, cast, delete, func, literal, select

from database.engine import insert_or_add, reading
from monitoring.bulk_blocks import iterate_bulk_blocks
from monitoring.logged_rows import as_row, bulk_rows, counted_rows, tally_rows, tell
from monitoring.tables import BULK_BLOCK, PREDICTION, WINDOW_COUNT
from monitoring.window_buckets import DAY, HOUR, Buckets, read_buckets, read_state, utc, write_state
from monitoring.window_cells import Amount, Tally, add

FINE_FOR: Final = timedelta(days=1)
"""Age at which buckets are merged into hours."""
HOURLY_FOR: Final = timedelta(days=7)
"""Age at which hours are merged into days."""
_ROWS_AT_ONCE: Final = 5_000


def prepare(engine: Engine, *, seconds: int, most_groups: int) -> None:
    """Write down how this deployment counts, and count what was logged before it did.

    Buckets of another length than `seconds` that there are become hours.
    """
    with engine.begin() as connection:
        state = read_state(connection)
        before = Buckets.from_state(state)
        if state and before.seconds != seconds:
            last = connection.execute(select(func.max(WINDOW_COUNT.c.bucket_start))).scalar()
            if last is not None:
                _merge(connection, before, hours_until=max(before.hours_until, _floor(last, HOUR) + HOUR))
        write_state(connection, seconds=seconds, most_groups=most_groups)
        if "counted" not in state:
            _recount(connection)
            write_state(connection, counted=1)


def merge_old(engine: Engine, now: datetime) -> None:
    """Merge buckets older than `FINE_FOR` into hours, and hours older than `HOURLY_FOR` into days."""
    hours = _floor((now - FINE_FOR).timestamp(), HOUR)
    days = _floor((now - HOURLY_FOR).timestamp(), DAY)
    with reading(engine) as connection:
        buckets = read_buckets(connection)
    if hours <= buckets.hours_until and days <= buckets.days_until:
        return
    with engine.begin() as connection:
        _merge(connection, read_buckets(connection), hours_until=hours, days_until=days)


def freeze(connection: Connection, before: datetime) -> None:
    """Move rows served before a time no more; for whoever removes something of them from the log.

    Their counts stay. An outcome that comes later would take them away from where they never were.
    """
    until = int(before.timestamp())
    if until > read_buckets(connection).frozen_until:
        write_state(connection, frozen_until=until)


def recount(engine: Engine) -> int:
    """Count the rows of the log anew, as far as it holds all of them; return how many are counted."""
    with engine.begin() as connection:
        return _recount(connection)


def count_rows(connection: Connection, buckets: Buckets, since: float) -> Tally:
    """Return the counts of all rows of the log that were served from `since` on, read row by row."""
    tally = Tally()
    statement = counted_rows().where(PREDICTION.c.served_at >= utc(since)).order_by(PREDICTION.c.prediction_id)
    after = ""
    while found := connection.execute(
        statement.where(PREDICTION.c.prediction_id > after).limit(_ROWS_AT_ONCE)
    ).all():
        rows = {row[0]: as_row(row) for row in found}
        after = found[-1][0]
        tally_rows(tally, rows.values(), tell(connection, rows), buckets)
    blocks = select(BULK_BLOCK).where(BULK_BLOCK.c.served_at >= utc(since), BULK_BLOCK.c.variant != "")
    for block in iterate_bulk_blocks(connection, blocks):
        rows = {row.prediction_id: row for row in bulk_rows(block)}
        tally_rows(tally, rows.values(), tell(connection, rows), buckets)
    return tally


def _recount(connection: Connection) -> int:
    buckets = read_buckets(connection)
    frozen = buckets.frozen_until
    start, seconds = buckets.find(frozen)
    since = start if start == frozen else start + seconds
    connection.execute(delete(WINDOW_COUNT).where(WINDOW_COUNT.c.bucket_start >= since))
    tally = count_rows(connection, buckets, since)
    add(connection, tally, buckets)
    return sum(changed[0] for _, changed in tally.changes())


def _merge(connection: Connection, buckets: Buckets, *, hours_until: int = 0, days_until: int = 0) -> None:
    """Make hours of all buckets before one time, and days of those before another."""
    days = max(days_until, buckets.days_until)
    hours = max(hours_until, buckets.hours_until, days)
    columns = WINDOW_COUNT.c
    due = ((columns.bucket_start < days) & (columns.seconds < DAY)) | (
        (columns.bucket_start < hours) & (columns.seconds < HOUR)
    )
    width: Any = case((columns.bucket_start < days, literal(DAY)), else_=literal(HOUR))
    sums = [columns[name] for name in Amount._fields]
    # In two steps: a server takes an expression with parameters for another one where it is grouped by.
    start = cast(columns.bucket_start - columns.bucket_start % width, Integer)
    placed = (
        select(columns.cell, start.label("bucket_start"), width.label("seconds"), *sums).where(due).subquery().c
    )
    found = [placed.cell, placed.bucket_start, placed.seconds]
    merged = select(*found, *(func.sum(placed[name]).label(name) for name in Amount._fields)).group_by(*found)
    rows = [dict(row) for row in connection.execute(merged).mappings() if row["n"]]
    connection.execute(delete(WINDOW_COUNT).where(due))
    if rows:
        connection.execute(insert_or_add(connection, WINDOW_COUNT), rows)
    write_state(connection, hours_until=hours, days_until=days)


def _floor(at: float, step: int) -> int:
    return int(at // step) * step
