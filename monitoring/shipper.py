"""Moves segments of the prediction log into the database, each record exactly once."""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError, SQLAlchemyError, StatementError

from database.engine import reading
from database.row_insert import RowInsert
from monitoring.predictions import SEGMENT_SUFFIX, UNLOCKED_SUFFIX
from monitoring.rows import Line, Rows, decode
from monitoring.sinks import Sink
from monitoring.tables import FEATURE_BLOCK, PREDICTION, PROTECTED_ATTRIBUTE, SEGMENT

_log = logging.getLogger(__name__)
_CHUNK_BYTES = 4_000_000
_SERVED_AT = re.compile(rb'\{"request_id":"[^"]*","served_at":([0-9.eE+]+)')
_HEAD_BYTES = 500


@dataclass(frozen=True, slots=True)
class Shipment:
    """What was done since the last one: rows inserted, lines put aside; and what still waits.

    `oldest_waiting` is when the oldest record that waits was served, in seconds since 1970; None when none does.
    """

    rows: int
    quarantined: int
    waiting_bytes: int
    oldest_waiting: float | None


class Shipper:
    """Ships the segments in `spool`; only one may be at work on a spool at a time (the caller holds a lock).

    A line that is no record, or one that the database will never take, is moved to `spool/quarantine/<segment>`
    and shipping goes on. After a crash in that moment it may be there twice. `sinks` are told of every record in
    the transaction that stores it.
    """

    def __init__(self, spool: Path, engine: Engine, sinks: Sequence[Sink] = ()) -> None:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._spool, self._engine, self._sinks = spool, engine, tuple(sinks)
        self._insert_predictions = RowInsert(engine, PREDICTION)
        self._insert_features = RowInsert(engine, FEATURE_BLOCK)
        self._insert_protected = RowInsert(engine, PROTECTED_ATTRIBUTE)
        self._offsets: dict[str, int] = {}
        self._knows_offsets = False
        self._rows = self._quarantined = 0

    def ship(self) -> Shipment:
        """Ship all complete lines there are and remove segments that are done and have lost their writer.

        A segment that fails is left for the next call and does not keep those after it from being shipped.

        Raises:
            SQLAlchemyError: The database is away or failed; nothing is lost, the next call tries again.
            OSError: A segment cannot be read, or a line not be put aside; the same.
        """
        if not self._knows_offsets:
            with reading(self._engine) as connection:
                self._offsets = {row.name: row.offset for row in connection.execute(select(SEGMENT))}
            self._knows_offsets = True
        self._remove_unlocked()
        failed: Exception | None = None
        for path in self._segments():
            try:
                self._ship_segment(path)
            except FileNotFoundError:  # another shipper was done with it
                self._offsets.pop(path.name, None)
            except (SQLAlchemyError, OSError) as error:
                if isinstance(error, OperationalError):
                    raise
                failed = failed or error
        if failed is not None:
            raise failed
        shipment = Shipment(self._rows, self._quarantined, *self._waiting())
        self._rows = self._quarantined = 0
        return shipment

    def oldest_waiting(self) -> float | None:
        """Return when the oldest record that waits was served, None when none does; needs no database."""
        return self._waiting()[1]

    def _waiting(self) -> tuple[int, float | None]:
        found = [_unshipped(path, self._offsets.get(path.name, 0)) for path in self._segments()]
        times = [served_at for _, served_at in found if served_at is not None]
        return sum(size for size, _ in found), min(times, default=None)

    def _segments(self) -> list[Path]:
        return sorted(self._spool.glob(f"*{SEGMENT_SUFFIX}"))

    def _remove_unlocked(self) -> None:
        """Remove what workers left behind that died before they had locked their new segment."""
        for path in self._spool.glob(f"*{UNLOCKED_SUFFIX}"):
            try:
                file = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                continue
            try:
                if _try_lock(file):
                    path.unlink(missing_ok=True)
            finally:
                os.close(file)

    def _ship_segment(self, path: Path) -> None:
        offsets = self._offsets
        file = os.open(path, os.O_RDONLY)
        try:
            # Asked before the last read: a writer that is gone now can add nothing after it.
            is_abandoned = _try_lock(file)
            while chunk := os.pread(file, _CHUNK_BYTES, offset := offsets.get(path.name, 0)):
                end = chunk.rfind(b"\n") + 1
                if not end:
                    chunk = os.pread(file, os.fstat(file).st_size - offset, offset)  # one very large record
                    end = chunk.rfind(b"\n") + 1
                if not end:
                    break
                rows, refused = self._store(path.name, chunk[:end], offset + end)
                self._rows += rows
                self._quarantined += refused
                offsets[path.name] = offset + end
            if is_abandoned:
                torn = os.fstat(file).st_size - offsets.get(path.name, 0)
                if torn:
                    _log.warning(
                        "segment %s ends in %d bytes of a request that was never answered", path.name, torn
                    )
                path.unlink()
                with self._engine.begin() as connection:
                    connection.execute(delete(SEGMENT).where(SEGMENT.c.name == path.name))
                offsets.pop(path.name, None)
        finally:
            os.close(file)

    def _store(self, name: str, content: bytes, offset: int) -> tuple[int, int]:
        """Store lines and how far the segment is shipped; return the rows stored and the lines put aside."""
        lines = [decode(line) for line in content.split(b"\n")[:-1]]
        with self._engine.begin() as connection:
            rows, refused = self._insert(connection, [line for line in lines if line.rows is not None])
            refused += [line for line in lines if line.rows is None]
            if refused:
                self._quarantine(name, refused)
            connection.execute(delete(SEGMENT).where(SEGMENT.c.name == name))
            connection.execute(SEGMENT.insert(), {"name": name, "offset": offset})
        return rows, len(refused)

    def _insert(self, connection: Connection, lines: list[Line]) -> tuple[int, list[Line]]:
        """Insert records; return the rows inserted, and the lines refused for what they hold, found by halving."""
        records = [line.rows for line in lines if line.rows is not None]
        try:
            with connection.begin_nested():
                self._insert_all(connection, records)
        except Exception as error:
            if not _is_refusal(error):
                raise
            if len(lines) == 1:
                return 0, [Line(lines[0].content, None, type(error).__name__)]
            half = len(lines) // 2
            rows, refused = self._insert(connection, lines[:half])
            more_rows, more_refused = self._insert(connection, lines[half:])
            return rows + more_rows, refused + more_refused
        return sum(len(record.predictions) for record in records), []

    def _insert_all(self, connection: Connection, records: list[Rows]) -> None:
        self._insert_predictions(connection, [row for record in records for row in record.predictions])
        self._insert_features(connection, [record.features for record in records])
        self._insert_protected(connection, [row for record in records for row in record.protected])
        for sink in self._sinks:
            sink.shipped(connection, records)

    def _quarantine(self, name: str, lines: list[Line]) -> None:
        folder = self._spool / "quarantine"
        folder.mkdir(mode=0o700, exist_ok=True)
        file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(file, "ab") as stream:
            stream.writelines(line.content + b"\n" for line in lines)
        reasons = ", ".join(sorted({line.problem for line in lines}))
        _log.error(
            "segment %s: %d records cannot be stored (%s); they are in %s", name, len(lines), reasons, folder
        )


def _try_lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unshipped(path: Path, offset: int) -> tuple[int, float | None]:
    """Return the bytes of a segment from `offset` on, and when the first record in them was served."""
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            head = os.pread(stream.fileno(), _HEAD_BYTES, offset)
    except FileNotFoundError:
        return 0, None
    if not head:
        return 0, None
    match = _SERVED_AT.match(head)
    return status.st_size - offset, float(match[1]) if match else status.st_mtime


def _is_refusal(error: Exception) -> bool:
    """Return whether the database will refuse these rows each time, whatever its state."""
    if isinstance(error, DBAPIError):
        over_a_limit = str(getattr(error.orig, "sqlstate", "")).startswith("54")  # PostgreSQL calls it operational
        return isinstance(error, (DataError, IntegrityError)) or over_a_limit
    return isinstance(error, (StatementError, ValueError, TypeError, OverflowError))  # met while binding values
