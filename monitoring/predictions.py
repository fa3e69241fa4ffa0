"""The prediction log, worker side: a local append-only segment that is written before a request is answered.

A record that `append` returned from lies in the kernel's page cache: it survives the worker being killed. The
shipper (`monitoring.shipper`) moves segments into the database. A worker holds a lock on its open segment; a
segment without one has lost its writer and will not grow.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from monitoring.errors import SpoolFullError

SEGMENT_SUFFIX = ".jsonl"
_SIZE_CHECK_EVERY = 1.0


@dataclass(slots=True)
class PredictionRecord:
    """The rows of one request that one model version answered.

    `positions` are the rows' places in the request, so that row i's prediction id is `<request_id>-<positions[i]>`;
    `unit_hashes`, `caller_ids`, `predictions`, `scores`, `features` and `protected` are in that order. `variant` is
    None when the caller asked for the version by number, which keeps the rows out of every analysis.
    """

    request_id: str
    served_at: float
    model: str
    model_version: str
    variant: str | None
    epoch: int
    rollout_id: str | None
    protocol: str
    latency_us: int
    positions: Sequence[int]
    predictions: Sequence[Any]
    scores: Sequence[float] | None
    features: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]
    unit_hashes: Sequence[str | None] | None = None
    caller_ids: Sequence[str | None] | None = None
    protected: Sequence[Mapping[str, str | None] | None] | None = None


class SegmentWriter:
    """Appends records to this worker's segment; used from one thread.

    Args:
        spool: Folder of all segments of the deployment.
        segment_bytes: Size at which a new segment is begun.
        spool_bytes: Most bytes all segments together may have.
    """

    def __init__(self, spool: Path, *, segment_bytes: int, spool_bytes: int) -> None:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._spool, self._segment_bytes, self._spool_bytes = spool, segment_bytes, spool_bytes
        self._sequence = itertools.count()
        self._file = -1
        self._written = 0
        self._others = 0
        self._checked_at = 0.0
        self._open()

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Write the records of one request in one piece.

        Raises:
            SpoolFullError: The spool has reached its bound; nothing was written.
            OSError: The disk refused (full, gone); a torn line is never shipped.
        """
        data = b"".join([orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records])
        if self.waiting_bytes() + len(data) > self._spool_bytes:
            raise SpoolFullError(self._spool_bytes)
        if self._written and self._written + len(data) > self._segment_bytes:
            self.close()
            self._open()
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self._written += len(data)

    def waiting_bytes(self) -> int:
        """Return the bytes in the spool; other segments are looked at no more than once a second."""
        now = time.monotonic()
        if now - self._checked_at > _SIZE_CHECK_EVERY:
            self._checked_at = now
            self._others = sum(_size(path) for path in self._spool.glob(f"*{SEGMENT_SUFFIX}")) - self._written
        return self._others + self._written

    def close(self) -> None:
        """Close the segment, which frees it for the shipper to remove."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        name = f"{time.time_ns():020d}-{os.getpid()}-{next(self._sequence)}{SEGMENT_SUFFIX}"
        self._file = os.open(self._spool / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._written = 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
