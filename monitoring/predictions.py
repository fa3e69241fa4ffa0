"""The prediction log, worker side: a local append-only segment that is written before a request is answered.

A record that `append` returned from lies in the kernel's page cache: it survives the worker being killed. The
shipper (`monitoring.shipper`) moves segments into the database. A worker holds a lock on its open segment; a
segment without one has lost its writer and will not grow. So that no segment is ever seen before it is locked, it
gets the name the shipper looks for only then. One that is closed and shipped gets a third name: it waits for
`monitoring.archive`, which keeps its features.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from inference.arrays import Texts
from inference.runtime import EncodedColumns
from monitoring.bulk import bulk_positions, bulk_repeated, bulk_values
from monitoring.errors import LogUnavailableError, SpoolFullError
from monitoring.exposure_records import ANSWERED, ExposedRow, encode_exposures
from monitoring.kept_features import KeptFeatures
from monitoring.refusal_records import RefusalRecord, encode_refusals
from monitoring.shadow_records import ShadowRecord, encode_shadow
from monitoring.shipped_state import ShippedState, read_shipped_state

SEGMENT_SUFFIX = ".jsonl"
SHIPPED_SUFFIX = ".shipped"
"""A segment whose rows are all in the database; only its features are still wanted."""
QUARANTINE = "quarantine"
"""Folder in the spool for lines that the database does not take, in a file named after their segment."""

UNLOCKED_SUFFIX = ".new"
"""A segment that its worker is about to lock; empty, and no segment yet."""

BULK_ROWS = 1_000
"""A record of more rows is written in the bulk form (`monitoring.bulk`), a tenth of the work that digits are."""

_SIZE_CHECK_EVERY = 1.0
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY


@dataclass  # without slots: orjson writes what an object's own dictionary holds in half the time
class PredictionRecord:
    """The rows of one request that one model version answered.

    `positions` are the rows' places in the request, so that row i's prediction id is `<request_id>-<positions[i]>`;
    `unit_hashes`, `cohorts`, `caller_ids`, `predictions`, `scores`, `features` and `protected` are in that order.
    `variant` is None when the caller asked for the version by number, which keeps the rows out of every analysis. A
    cohort is one of `rollout.assignment.Cohort`, None for a model that is not split, and for a row without a unit
    unless such rows are assigned by their ids.
    Features are rows, or columns by name; columns, predictions and scores may be arrays, columns strings by
    reference, positions a range. No features at all: they are not kept.
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
    predictions: Sequence[Any] | NDArray[Any]
    scores: Sequence[float] | NDArray[Any] | None
    features: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]] | EncodedColumns
    unit_hashes: Sequence[str | None] | None = None
    cohorts: Sequence[str | None] | None = None
    caller_ids: Sequence[str | None] | None = None
    protected: Sequence[Mapping[str, str | None] | None] | None = None
    status: str = ANSWERED


def encode_record(record: PredictionRecord) -> bytes:
    """Return a record as one line of JSON, with its newline."""
    if len(record.positions) > BULK_ROWS:
        features = record.features
        record = replace(
            record,
            positions=bulk_positions(record.positions),
            predictions=bulk_values(record.predictions),
            scores=bulk_values(record.scores),
            features={name: bulk_values(values) for name, values in features.items()}
            if isinstance(features, Mapping)
            else features,
            unit_hashes=bulk_repeated(record.unit_hashes),
            cohorts=bulk_repeated(record.cohorts),
        )
    return orjson.dumps(record, default=_listed, option=_OPTIONS)


class SegmentWriter:
    """Appends records to this worker's segment; used from one thread.

    Args:
        spool: Folder of all segments of the deployment.
        segment_bytes: Size at which a new segment is begun.
        spool_bytes: Most bytes of all segments together that may wait for the database, and most that may wait for
            their features to be archived.
        segment_seconds: Age at which a segment is closed; None: however old.
        shipped: Where the shipper says how far it is; None: all of a segment waits until it is gone.
        features: What of the features is written; None: all.
    """

    def __init__(
        self,
        spool: Path,
        *,
        segment_bytes: int,
        spool_bytes: int,
        segment_seconds: float | None = None,
        shipped: Path | None = None,
        features: KeptFeatures | None = None,
    ) -> None:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._spool, self._segment_bytes, self._spool_bytes = spool, segment_bytes, spool_bytes
        self._id, self._sequence = secrets.token_hex(8), itertools.count()
        self._segment_seconds, self._shipped = segment_seconds, shipped
        self._features = None if features is None or features.are_all else features
        self._file = -1
        self._opened_at = 0.0
        self._written = 0
        self._others = self._unarchived = 0
        self._checked_at = float("-inf")

    def append(self, records: Sequence[PredictionRecord]) -> None:
        """Write the records of one request in one piece.

        Raises:
            SpoolFullError: The spool has reached its bound; nothing was written.
            LogUnavailableError: The disk refused (full, gone). No part of a record stays; of several records, the
                first ones may.
        """
        if self._features is not None:
            records = [self._features.of(record) for record in records]
        self._append(b"".join([encode_record(record) for record in records]))

    def expose(self, rows: Sequence[ExposedRow]) -> None:
        """Write what is known of rows in a cohort before they are answered, or that they will not be; all or none.

        Raises:
            SpoolFullError, LogUnavailableError: As from `append`.
        """
        self._append(encode_exposures(rows))

    def shadow(self, records: Sequence[ShadowRecord]) -> None:
        """Write what a challenger would have answered, beside what the champion did.

        Raises:
            SpoolFullError, LogUnavailableError: As from `append`.
        """
        self._append(b"".join([encode_shadow(record) for record in records]))

    def refuse(self, record: RefusalRecord) -> None:
        """Write how many requests were refused.

        Raises:
            SpoolFullError, LogUnavailableError: As from `append`.
        """
        self._append(encode_refusals(record))

    def check_room(self, wanted: int = 1) -> None:
        """Raise SpoolFullError where the spool has no room for so many bytes."""
        if self.waiting_bytes() + wanted > self._spool_bytes:
            self.close()  # its features can be archived, which a segment is as a whole
            raise SpoolFullError(self._spool_bytes, "the database")
        if self._unarchived > self._spool_bytes:
            raise SpoolFullError(self._spool_bytes, "the files of features")

    def _append(self, data: bytes) -> None:
        self.check_room(len(data))
        try:
            if self._written and self._written + len(data) > self._segment_bytes:
                self.close()
            if self._file < 0:
                self._open()
            self._write(data)
        except OSError as error:
            if self._written:  # as above: on a full disk, what is shipped makes room only once it is closed
                with contextlib.suppress(OSError):
                    self.close()
            raise LogUnavailableError(error.strerror or type(error).__name__) from error

    def waiting_bytes(self) -> int:
        """Return the bytes that wait for the database; other segments are looked at once a second at most."""
        now = time.monotonic()
        if now - self._checked_at > _SIZE_CHECK_EVERY:
            self._checked_at = now
            self._others = waiting_bytes(self._spool, self.shipped_state().offsets) - self._written
            self._unarchived = unarchived_bytes(self._spool)
        return self._others + self._written

    def shipped_state(self) -> ShippedState:
        """Return what the shipper said last."""
        return read_shipped_state(self._shipped)

    def close_if_old(self) -> None:
        """Close the segment if it has reached its age; for a clock that ticks where no requests come."""
        if self._segment_seconds is not None and time.monotonic() - self._opened_at >= self._segment_seconds:
            self.close()

    def close(self) -> None:
        """Close the segment, which frees it for the shipper to finish; the next record begins another."""
        if self._file >= 0:
            file, self._file = self._file, -1
            self._others += self._written
            self._written = 0
            os.close(file)

    def _open(self) -> None:
        while self._file < 0:
            # In the order of time as far as the clock knows; no two are ever of one name, on any host.
            name = f"{time.time_ns():020d}-{self._id}-{next(self._sequence)}"
            unlocked = self._spool / f"{name}{UNLOCKED_SUFFIX}"
            file = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                unlocked.rename(self._spool / f"{name}{SEGMENT_SUFFIX}")
            except FileNotFoundError:  # a shipper came first and took it for what a dead worker left behind
                os.close(file)
            except OSError:
                os.close(file)
                raise
            else:
                self._file, self._opened_at = file, time.monotonic()

    def _write(self, data: bytes) -> None:
        done = 0
        try:
            while done < len(data):
                done += os.write(self._file, memoryview(data)[done:])
        except OSError:
            # Whole records stay, since the shipper may have read them; the next one must not continue a torn line.
            self._written += data.rfind(b"\n", 0, done) + 1
            try:
                os.ftruncate(self._file, self._written)
            except OSError:
                with contextlib.suppress(OSError):  # closing may report the failed write once more
                    self.close()
            raise
        self._written += len(data)


def _listed(value: Any) -> Any:
    """Return what orjson does not know, a range, strings of either form or columns, as what it knows."""
    if isinstance(value, range):
        return list(value)
    if isinstance(value, Texts):
        return value.array().tolist()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def waiting_bytes(spool: Path, offsets: Mapping[str, int]) -> int:
    """Return the bytes of segments in a spool that are not shipped, by how far each is."""
    sizes = ((path.name, _size(path)) for path in spool.glob(f"*{SEGMENT_SUFFIX}"))
    return sum(max(0, size - offsets.get(name, 0)) for name, size in sizes)


def unarchived_bytes(spool: Path) -> int:
    """Return the bytes of segments in a spool that are shipped and wait for their features to be archived."""
    return sum(_size(path) for path in spool.glob(f"*{SHIPPED_SUFFIX}"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
