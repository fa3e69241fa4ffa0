"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(
    claim: Callable[[], T],
    seconds: float = 60.0,
    told: Callable[[], object] = lambda: "it did not come true in time",
) -> T:
    """Return what `claim` says as soon as it is true; the test fails where that is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := claim()):
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)
    return found
