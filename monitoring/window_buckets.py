"""Time buckets of windows: which one a prediction is counted in, whenever what became of it is learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from sqlalchemy import Connection, delete, select

from monitoring.tables import WINDOW_STATE

HOUR: Final = 3_600
DAY: Final = 86_400
FOREVER: Final = 2**53


@dataclass(frozen=True, slots=True)
class Buckets:
    """What is kept of a time in a count: its bucket. Times are in seconds since 1970.

    A row served before `days_until` is in the bucket of its day, before `hours_until` in that of its hour, else in
    one of `seconds`. The first two only grow, each with the merge of the counts that it passes, so that a late
    outcome finds the counts that its prediction is in. Rows served before `frozen_until` are moved no more: what
    they consist of was removed from the log. At most `most_groups` combinations of groups are told apart per model
    and day.
    """

    seconds: int = 300
    hours_until: int = 0
    days_until: int = 0
    frozen_until: int = 0
    most_groups: int = 500

    @classmethod
    def from_state(cls, state: Mapping[str, int]) -> Self:
        """Return the buckets that a database says, with the defaults for what it does not say."""
        return cls(**{name: state[name] for name in cls.__slots__ if name in state})

    def find(self, at: float) -> tuple[int, int]:
        """Return the start and length of the bucket that a time is in.

        >>> Buckets(hours_until=7200).find(7199.9), Buckets(hours_until=7200).find(7501)
        ((3600, 3600), (7500, 300))
        """
        seconds = DAY if at < self.days_until else HOUR if at < self.hours_until else self.seconds
        return int(at // seconds) * seconds, seconds

    def rounded(self, since: datetime, until: datetime) -> tuple[int, int]:
        """Return the start of the first and the end of the last bucket of [since, until), which may be empty."""
        start, _ = self.find(bounded(since))
        if until <= since:
            return start, start
        last, seconds = self.find(bounded(until))
        return start, last if last == bounded(until) else last + seconds


def bounded(time: datetime) -> float:
    """Return a time in seconds since 1970; what is farther away than any database keeps is its end."""
    return min(max(time.timestamp(), 0.0), float(2**31 - DAY))


def utc(seconds: float) -> datetime:
    """Return seconds since 1970 as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def read_buckets(connection: Connection) -> Buckets:
    """Return the buckets of a prediction log."""
    return Buckets.from_state(read_state(connection))


def read_state(connection: Connection) -> dict[str, int]:
    """Return all that is kept beside the counts."""
    return {row.name: row.value for row in connection.execute(select(WINDOW_STATE))}


def write_state(connection: Connection, **values: int) -> None:
    """Replace values of what is kept beside the counts."""
    connection.execute(delete(WINDOW_STATE).where(WINDOW_STATE.c.name.in_(values)))
    connection.execute(WINDOW_STATE.insert(), [{"name": name, "value": value} for name, value in values.items()])
