"""What a call costs, measured so that a busy machine is unfair to all candidates alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Final

REPEATS: Final[Mapping[int, int]] = {1: 60, 32: 20, 1024: 5}
"""How often a call of so many rows is repeated."""

_SECONDS = 0.1
_FEWEST = 3
_TURN = 6
_QUICK = 1e-3


@contextmanager
def one_thread() -> Iterator[None]:
    """Hold numeric libraries to one thread, as a worker does: what is compared and timed is what will serve."""
    try:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it has no types
    except ImportError:  # scikit-learn brings it; without scikit-learn there is nothing to hold
        yield
        return
    with threadpool_limits(1):
        yield


def interleaved(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median microseconds of each call, the calls taking turns.

    A turn of a quick call is several, after one that is not counted: the call before it has left its own data in
    the processor's caches. A slow call is repeated less often, three times at least.
    """
    first = {name: _seconds(call) for name, call in calls.items()}
    left = {name: max(_FEWEST, min(repeats, int(_SECONDS / max(cost, 1e-9)))) for name, cost in first.items()}
    taken: dict[str, list[float]] = {name: [] for name in calls}
    while left:
        for name in list(left):
            turn = min(left[name], _TURN) if first[name] < _QUICK else 1
            if turn > 1:
                calls[name]()
            taken[name] += [_seconds(calls[name]) for _ in range(turn)]
            left[name] -= turn
            if not left[name]:
                del left[name]
    return {name: median(times) * 1e6 for name, times in taken.items()}


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
