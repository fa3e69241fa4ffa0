"""A circuit breaker: who failed several times in a row is left alone for a while, and then tried by one call."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

FAILURES: Final = 5
REST_SECONDS: Final = 1.0
LONGEST_REST_SECONDS: Final = 30.0


class Circuit(StrEnum):
    """Closed: calls go through; open: none does; half open: one is trying."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """Lets calls through until several fail in a row, then one at a time after rests that double.

    Args:
        failures: How many failures in a row open it.
        rest: Seconds that it stays open at first.
        longest_rest: Seconds that it stays open at most.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        failures: int = FAILURES,
        rest: float = REST_SECONDS,
        longest_rest: float = LONGEST_REST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._first_rest, self._longest, self._clock = failures, rest, longest_rest, clock
        self._failures, self._rest, self._opened_at = 0, rest, 0.0
        self.circuit = Circuit.CLOSED

    def wait(self) -> float:
        """Return 0.0 where a call may be made now, which then has to be told of; else the seconds until one may."""
        if self.circuit is Circuit.CLOSED:
            return 0.0
        left = self._opened_at + self._rest - self._clock()
        if self.circuit is Circuit.HALF_OPEN:
            return max(left, self._first_rest)  # one is trying: what comes of it, nobody knows yet
        if left > 0:
            return left
        self.circuit = Circuit.HALF_OPEN
        return 0.0

    def succeeded(self) -> None:
        """Hear of a call that was answered, be it by a refusal."""
        self._failures, self._rest, self.circuit = 0, self._first_rest, Circuit.CLOSED

    def failed(self) -> None:
        """Hear of a call that failed."""
        self._failures += 1
        if self.circuit is Circuit.HALF_OPEN:
            self._rest = min(2 * self._rest, self._longest)
        elif self.circuit is Circuit.OPEN or self._failures < self._most:
            return  # of calls that were under way when it opened
        self.circuit, self._opened_at = Circuit.OPEN, self._clock()

    def abandoned(self) -> None:
        """Hear of a call that nobody waited for: it says nothing; where it was the one that tries, another may."""
        if self.circuit is Circuit.HALF_OPEN:
            self.circuit = Circuit.OPEN

    def may_try(self) -> None:
        """Let the next call try at once: a check has found the server ready."""
        if self.circuit is Circuit.OPEN:
            self._opened_at = self._clock() - self._rest
