"""Records of one request that are still in the spool of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson

from monitoring.predictions import SEGMENT_SUFFIX, SHIPPED_SUFFIX


def spooled_lines(spool: Path, request_id: str) -> Iterator[bytes]:
    """Yield the lines of a request, of segments that are shipped and wait for their features to be archived too.

    The whole spool is read: it is short while the log's database and the feature store are there.
    """
    wanted = b'{"request_id":%b,' % orjson.dumps(request_id)
    for suffix in (SEGMENT_SUFFIX, SHIPPED_SUFFIX):
        for path in sorted(spool.glob(f"*{suffix}")):
            try:
                with path.open("rb") as segment:
                    yield from (line[:-1] for line in segment if line.startswith(wanted) and line.endswith(b"\n"))
            except FileNotFoundError:  # shipped, or archived, just now
                continue
