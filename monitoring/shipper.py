"""Moves segments of the prediction log into the database, each record exactly once."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from database.engine import insert_or_ignore, reading
from monitoring.backlog import Backlog, Waiting
from monitoring.log_insert import LogInsert
from monitoring.predictions import QUARANTINE, SHIPPED_SUFFIX, UNLOCKED_SUFFIX
from monitoring.rows import Line, decode
from monitoring.shipped_state import ShippedState, write_shipped_state
from monitoring.sinks import Sink
from monitoring.tables import SEGMENT

_log = logging.getLogger(__name__)
_CHUNK_BYTES = 4_000_000
_LONG_SECONDS = 0.25
_LET_IN_SECONDS = 0.11
"""The breath after a long transaction: whoever waits for SQLite's lock looks ten times a second and is in no queue.
Without it a backlog kept evaluations of rollouts waiting until they gave up."""
_TOLD_EVERY = 5.0


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
    """Ships the segments in `spool`.

    How far a segment is shipped stands in the database, and is read, held and written in the transaction that
    inserts: of two shippers at work on one spool each record is inserted by one, and shown to that one's sinks. One
    shipper at a time is enough, though, and the caller sees to it.

    A line that is no record, or one that the database will never take, is moved to `spool/quarantine/<segment>`
    and shipping goes on. After a crash in that moment it may be there twice.

    Args:
        spool: Folder of the segments.
        engine: The log's database.
        sinks: Told of every record in the transaction that stores it.
        archives: Whether segments that are done wait for their features to be archived; else they are removed.
        shipped: Where workers read how far the shipper is; None: they are not told.
    """

    def __init__(
        self,
        spool: Path,
        engine: Engine,
        sinks: Sequence[Sink] = (),
        *,
        archives: bool = False,
        shipped: Path | None = None,
    ) -> None:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._spool, self._engine = spool, engine
        self._archives, self._shipped = archives, shipped
        self._insert = LogInsert(engine, sinks)
        self._backlog = Backlog(spool)
        self._offsets: dict[str, int] = {}
        self._knows_offsets = False
        self._rows = self._quarantined = 0
        self._told = ShippedState()

    def ship(self) -> Shipment:
        """Ship all complete lines there are; of segments that are done and have lost their writer, let go.

        A segment that fails is left for the next call and does not keep those after it from being shipped.

        Raises:
            SQLAlchemyError: The database is away or failed; nothing is lost, the next call tries again.
            OSError: A segment cannot be read, or a line not be put aside; the same.
        """
        try:
            self._ship_segments()
        finally:
            self._tell()
        waiting = self.waiting()
        shipment = Shipment(self._rows, self._quarantined, waiting.bytes, waiting.oldest)
        self._rows = self._quarantined = 0
        return shipment

    def waiting(self) -> Waiting:
        """Return what is in the spool and not in the database; needs no database."""
        return self._backlog.waiting(self._offsets)

    def oldest_waiting(self) -> float | None:
        """Return when the oldest record that waits was served, None when none does."""
        return self.waiting().oldest

    @property
    def waiting_rows(self) -> int:
        """The rows that were in the spool and not in the database when `ship` ended."""
        return self._told.rows

    def _ship_segments(self) -> None:
        if not self._knows_offsets:
            with reading(self._engine) as connection:
                self._offsets = {row.name: row.offset for row in connection.execute(select(SEGMENT))}
            self._knows_offsets = True
        self._remove_unlocked()
        failed: Exception | None = None
        for path in self._backlog.segments():
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

    def _tell(self) -> None:
        """Tell workers how far the segments are shipped, where that changed or was not told for some seconds."""
        names = {path.name for path in self._backlog.segments()}
        offsets = {name: offset for name, offset in self._offsets.items() if name in names}
        told, now = self._told, time.time()
        rows = self._backlog.rows(offsets)
        if offsets == told.offsets and rows == told.rows and abs(now - told.at) < _TOLD_EVERY:
            return
        self._told = ShippedState(offsets, rows, now)
        if self._shipped is not None:
            with contextlib.suppress(OSError):  # they take for waiting what no longer is, until the disk has room
                write_shipped_state(self._shipped, self._told)

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
        file = os.open(path, os.O_RDONLY)
        try:
            # Asked before the last read: a writer that is gone now can add nothing after it.
            is_abandoned = _try_lock(file)
            while content := _whole_lines(file, self._offsets.get(path.name, 0)):
                began = time.monotonic()
                self._store(path, file, content)
                if time.monotonic() - began > _LONG_SECONDS:
                    time.sleep(_LET_IN_SECONDS)
            if is_abandoned:
                self._let_go(path, file)
        finally:
            os.close(file)

    def _let_go(self, path: Path, file: int) -> None:
        """Remove a segment that is shipped, or leave it to be archived; its name says that it is shipped."""
        offset = self._offsets.get(path.name, 0)
        with reading(self._engine) as connection:
            known = connection.execute(select(SEGMENT.c.offset).where(SEGMENT.c.name == path.name))
            reached = known.scalar_one_or_none() or 0
        if reached != offset:  # the database was set back, to a backup or a replica: the next call ships the rest
            self._offsets[path.name] = reached
            return
        torn = os.fstat(file).st_size - offset
        if torn:
            _log.warning("segment %s ends in %d bytes of a request that was never answered", path.name, torn)
        if self._archives:
            path.rename(path.with_suffix(SHIPPED_SUFFIX))
        else:
            path.unlink()
            with self._engine.begin() as connection:
                connection.execute(delete(SEGMENT).where(SEGMENT.c.name == path.name))
        self._offsets.pop(path.name, None)

    def _store(self, path: Path, file: int, content: bytes) -> None:
        """Store lines and how far the segment is shipped, where it is shipped as far as we know."""
        offset = self._offsets.get(path.name, 0)
        lines = [decode(line) for line in content.split(b"\n")[:-1]]
        rows = 0
        refused: list[Line] = []
        with self._engine.begin() as connection:
            reached = self._claim(connection, path, file)
            if reached == offset:
                rows, refused = self._insert(connection, [line for line in lines if line.rows is not None])
                refused += [line for line in lines if line.rows is None]
                if refused:
                    self._quarantine(path.name, refused)
                reached = offset + len(content)
                connection.execute(update(SEGMENT).where(SEGMENT.c.name == path.name).values(offset=reached))
        self._offsets[path.name] = reached
        self._rows += rows
        self._quarantined += len(refused)

    def _claim(self, connection: Connection, path: Path, file: int) -> int:
        """Return how far a segment is shipped, which nobody changes before this transaction ends.

        Raises:
            FileNotFoundError: Another shipper was done with the segment, and perhaps the archive too.
        """
        held = select(SEGMENT.c.offset).where(SEGMENT.c.name == path.name).with_for_update()
        offset = connection.execute(held).scalar_one_or_none()
        if offset is None:
            connection.execute(insert_or_ignore(self._engine, SEGMENT), {"name": path.name, "offset": 0})
            offset = connection.execute(held).scalar_one()
        # Rows are removed after segments have lost this name: a file that still has it was not forgotten.
        if path.stat().st_ino != os.fstat(file).st_ino:
            raise FileNotFoundError(path)
        return int(offset)

    def _quarantine(self, name: str, lines: list[Line]) -> None:
        folder = self._spool / QUARANTINE
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


def _whole_lines(file: int, offset: int) -> bytes:
    """Return whole lines from a place in a segment on; none where there are none."""
    chunk = os.pread(file, _CHUNK_BYTES, offset)
    end = chunk.rfind(b"\n") + 1
    if chunk and not end:
        chunk = os.pread(file, os.fstat(file).st_size - offset, offset)  # one very large record
        end = chunk.rfind(b"\n") + 1
    return chunk[:end]
