"""Waiting for what another thread or process does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 180.0
"""Seconds after which what has not come is not late but missing, on a machine however slow."""


def until(
    claim: Callable[[], T],
    seconds: float = PATIENCE,
    told: Callable[[], object] = lambda: "it did not come true in time",
    progress: Callable[[], object] = lambda: None,
) -> T:
    """Return what `claim` says as soon as it is true; the test fails where that is not within `seconds`.

    Of what takes long and is on its way, they are the seconds since `progress` last said something new.
    """
    deadline, last = time.monotonic() + seconds, progress()
    asked = time.monotonic()
    while not (found := claim()):
        if (now := progress()) != last:
            deadline, last = time.monotonic() + seconds, now
        assert time.monotonic() < deadline, told()
        # As long as asking took: who asks all the time keeps the machine from what is waited for.
        time.sleep(min(max(0.02, time.monotonic() - asked), 1.0))
        asked = time.monotonic()
    return found


def kept(promised: float, measured: Callable[[], float], tries: int = 3) -> None:
    """Hold that what `measured` returns, in seconds, is at most what is promised.

    A machine that has much to do may be late once and again: a promise is broken that none of the tries keeps.
    """
    took: list[float] = []
    while not took or took[-1] > promised:
        assert len(took) < tries, f"{promised} s are promised, and it took {took}"
        took.append(round(measured(), 2))


async def soon(claim: Callable[[], T], seconds: float = PATIENCE) -> T:
    """Return what `claim` says as soon as it is true, as `until` does, while the event loop goes on."""
    deadline = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.005)
    return found
