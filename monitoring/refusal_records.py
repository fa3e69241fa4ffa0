"""Requests refused for a row that does not fit the signature, worker side: counted, and soon in the segment.

A record of each would let whoever sends nonsense fill the disk. One record says what a worker refused since its
last one, a fifth of a second before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import orjson

from monitoring.errors import LogUnavailableError, SpoolFullError

KIND: Final = "refused"
_HOUR: Final = 3_600


@dataclass  # without slots, as `PredictionRecord` is
class RefusalRecord:
    """How many requests were refused: per hour (its start, in seconds since 1970), model and code.

    It begins as the record of a prediction does, so that whoever looks since when a segment waits finds a time;
    it is of no request, and has no features.
    """

    request_id: str
    served_at: float
    refused: Sequence[tuple[int, str, str, int]]
    features: None = None
    kind: str = KIND


def encode_refusals(record: RefusalRecord) -> bytes:
    """Return a record as one line of JSON, with its newline."""
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


class Log(Protocol):
    """Where the record goes: `monitoring.predictions.SegmentWriter`."""

    def refuse(self, record: RefusalRecord) -> None:
        """Write a record.

        Raises:
            SpoolFullError, LogUnavailableError: Nothing of it was written.
        """
        ...


class RefusedRequests:
    """Counts refused requests until a record holds them; used from one thread.

    A worker that is killed takes what it refused since the last `write` with it. Nothing else is lost, and nothing
    is counted twice: once in the segment, a record is in the database exactly once, as predictions are.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: Counter[tuple[int, str, str]] = Counter()

    def note(self, model: str, code: str, at: float) -> None:
        """Count a request of a served model, refused at a time in seconds since 1970."""
        self._waiting[int(at // _HOUR) * _HOUR, model, code] += 1

    def write(self, at: float) -> None:
        """Write what was counted since the last time; a log that takes nothing now is given it the next time."""
        if not self._waiting:
            return
        refused = [(*key, requests) for key, requests in self._waiting.items()]
        try:
            self._log.refuse(RefusalRecord("", at, refused))
        except (SpoolFullError, LogUnavailableError):
            return
        self._waiting.clear()
