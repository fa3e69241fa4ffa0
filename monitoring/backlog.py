"""What of the spool waits for the database: bytes, rows, and since when."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitoring.predictions import SEGMENT_SUFFIX

_SERVED_AT = re.compile(rb'\{"request_id":"[^"]*","served_at":([0-9.eE+]+)')
_HEAD_BYTES = 500
_CHUNK_BYTES = 4_000_000
_POSITIONS = re.compile(
    rb'"latency_us":\d+,"positions":(?:\[([\d,]+)\]|\{"range":\[(\d+),(\d+)\]\}|\{"dtype":"<i8","base64":"([^"]*)"\})'
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is not in the database; `oldest` is when its first record was served, in seconds since 1970, if any."""

    bytes: int
    oldest: float | None


class Backlog:
    """Looks at the segments of a spool behind the offsets up to which they are shipped."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._counted: dict[str, tuple[int, int, int]] = {}

    def segments(self) -> list[Path]:
        """Return the segments, oldest first."""
        return sorted(self._spool.glob(f"*{SEGMENT_SUFFIX}"))

    def waiting(self, offsets: Mapping[str, int]) -> Waiting:
        """Return the bytes that wait and since when; reads the head of each segment, from any thread."""
        found = [_unshipped(path, offsets.get(path.name, 0)) for path in self.segments()]
        times = [served_at for _, served_at in found if served_at is not None]
        return Waiting(sum(size for size, _ in found), min(times, default=None))

    def rows(self, offsets: Mapping[str, int]) -> int:
        """Return the rows that wait; reads what was appended since the last look, from one thread."""
        counted = {path.name: self._count(path, offsets.get(path.name, 0)) for path in self.segments()}
        self._counted = counted
        return sum(rows for _, _, rows in counted.values())

    def _count(self, path: Path, offset: int) -> tuple[int, int, int]:
        """Return from where to where a segment was read, and the rows there."""
        start, end, rows = self._counted.get(path.name, (offset, offset, 0))
        try:
            file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return offset, offset, 0
        try:
            if start <= offset <= end:
                rows -= _rows(file, start, offset)[1]
            else:
                end, rows = offset, 0
            new_end, more = _rows(file, end, os.fstat(file).st_size)
        finally:
            os.close(file)
        return offset, new_end, rows + more


def _rows(file: int, start: int, end: int) -> tuple[int, int]:
    """Return where the last whole line between two places ends, and the rows of the lines before."""
    rows = 0
    size = _CHUNK_BYTES
    while start < end:
        chunk = os.pread(file, min(size, end - start), start)
        whole = chunk.rfind(b"\n") + 1
        if not whole:
            if start + len(chunk) >= end:
                break
            size = end - start  # one very large record
            continue
        rows += sum(map(_rows_of, _POSITIONS.finditer(chunk, 0, whole)))
        start += whole
    return start, rows


def _rows_of(match: re.Match[bytes]) -> int:
    listed, first, end, packed = match.groups()
    if listed is not None:
        return listed.count(b",") + 1
    if first is not None:
        return int(end) - int(first)
    return len(packed) * 3 // 4 // 8


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
