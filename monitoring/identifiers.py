"""Request ids: UUIDs of version 7 (RFC 9562), which sort by time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

_DIGITS: Final = 19
_POOL_BYTES: Final = 4096
_VARIANT: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid7(now_ms: int, random: str) -> str:
    """Return the UUIDv7 of a time in milliseconds since 1970 and 19 random hexadecimal digits.

    >>> uuid7(0x017F22E279B0, "cc318c4dc0c0c07398f")
    '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'
    """
    text = f"{now_ms & 0xFFFF_FFFF_FFFF:012x}"
    return f"{text[:8]}-{text[8:]}-7{random[:3]}-{_VARIANT[random[3]]}{random[4:7]}-{random[7:]}"


class RandomDigits:
    """Random hexadecimal digits of the operating system, fetched for some hundred ids at once.

    No digit is given twice, in a forked process neither: it begins with digits of its own.
    """

    def __init__(self, source: Callable[[int], bytes] = os.urandom) -> None:
        self._source = source
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        """Begin with fresh digits."""
        self._digits, self._place = "", 0

    def take(self) -> str:
        """Return the next 19 digits."""
        end = self._place + _DIGITS
        if end > len(self._digits):
            self._digits, self._place, end = self._source(_POOL_BYTES).hex(), 0, _DIGITS
        taken = self._digits[self._place : end]
        self._place = end
        return taken


_digits = RandomDigits()


def new_request_id() -> str:
    """Return a new request id."""
    return uuid7(int(time.time() * 1000), _digits.take())
