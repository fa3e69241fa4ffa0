"""Request ids: UUIDs of version 7 (RFC 9562), which sort by time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

_DIGITS: Final = 19
_AT_ONCE: Final = 64
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid7(now_ms: int, random: str) -> str:
    """Return the UUIDv7 of a time in milliseconds since 1970 and 19 random hexadecimal digits.

    >>> uuid7(0x017F22E279B0, "cc318c4dc0c0c07398f")
    '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'
    """
    return f"{_time(now_ms)}-{_end(random)}"


def _time(now_ms: int) -> str:
    return "%08x-%04x" % (now_ms >> 16 & 0xFFFF_FFFF, now_ms & 0xFFFF)  # noqa: UP031  (half of an f-string's time)


def _end(random: str) -> str:
    return f"7{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:]}"


class RandomEnds:
    """What stands behind the time in an id, made of the operating system's random digits for some dozens at once.

    No end is given twice, in a forked process neither: it begins with ends of its own.
    """

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Begin with fresh digits."""
        self._ends: list[str] = []

    def take(self) -> str:
        """Return the next end."""
        if not self._ends:
            digits = self._source(_AT_ONCE * _DIGITS // 2).hex()
            self._ends = [_end(digits[at : at + _DIGITS]) for at in range(0, len(digits), _DIGITS)]
        return self._ends.pop()


_ends = RandomEnds()


def new_request_id() -> str:
    """Return a new request id."""
    return f"{_time(int(time.time() * 1000))}-{_ends.take()}"
