"""Request ids: UUIDs of version 7 (RFC 9562), which sort by time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def uuid7(now_ms: int, random: bytes) -> str:
    """Return the UUIDv7 of a time in milliseconds since 1970 and ten random bytes.

    >>> uuid7(0x017F22E279B0, bytes.fromhex("0cc318c4dc0c0c07398f"))
    '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'
    """
    tail = int.from_bytes(random, "big")
    upper = 0x7000 | (tail >> 64 & 0x0FFF)
    lower = 0x8000_0000_0000_0000 | (tail & 0x3FFF_FFFF_FFFF_FFFF)
    text = f"{now_ms & 0xFFFF_FFFF_FFFF:012x}{upper:04x}{lower:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_request_id(clock: Callable[[], float] = time.time, random: Callable[[int], bytes] = os.urandom) -> str:
    """Return a new request id."""
    return uuid7(int(clock() * 1000), random(10))
