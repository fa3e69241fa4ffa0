"""What a worker keeps in memory: what is wanted, what serves, and a bounded number of versions nobody wants."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from typing import Any

import pytest

from bentos.loaded import LoadedVersions, tidy_heap
from inference.batching import BatchingPolicy
from inference.columns import columns_from_lists
from monitoring.metrics import RELOADS, ServingMetrics
from rollout.serving_state import ServedVersion


async def load(held: LoadedVersions, version: ServedVersion) -> Any:
    held.get("credit", version)
    await held.settle()
    batcher = held.get("credit", version)
    assert batcher is not None
    return batcher


def test_going_back_to_a_version_that_is_still_held_needs_no_loading(credit: Any) -> None:
    async def scenario() -> None:
        metrics = ServingMetrics()
        held = LoadedVersions(BatchingPolicy(), metrics, lambda: None, idle=2)
        versions = [ServedVersion(version=str(n), digest=None, folder=str(credit.folder)) for n in range(4)]
        batchers = []
        for version in versions:
            batchers.append(await load(held, version))
            held.keep_only([("credit", version)], [])
        assert metrics.value(RELOADS, "credit", "loaded") == 4
        assert held.get("credit", versions[1]) is batchers[1]
        assert held.get("credit", versions[2]) is batchers[2]
        assert held.get("credit", versions[0]) is None, "the one that had been idle longest is gone"
        await held.settle()
        await held.close()

    asyncio.run(scenario())


def test_what_is_let_go_is_freed_and_still_answers_who_holds_it(credit: Any) -> None:
    async def scenario() -> None:
        held = LoadedVersions(BatchingPolicy(), ServingMetrics(), lambda: None, idle=0)
        version = ServedVersion(version="1", digest=None, folder=str(credit.folder))
        batcher = await load(held, version)
        held.keep_only([], [])
        columns = {"age": [30.0], "amount": [1000.0], "job": ["nurse"]}
        in_a_minute = time.perf_counter() + 60  # a deadline that has been met keeps nothing
        answer = await batcher.predict(*columns_from_lists(columns, batcher.model.signature), in_a_minute)
        assert len(answer.prediction) == 1
        await batcher.drain()
        gone = weakref.ref(batcher)
        del batcher
        gc.collect()
        assert gone() is None
        await held.close()

    asyncio.run(scenario())


def test_memory_is_given_back_once_the_last_holder_of_a_version_has_let_go(
    credit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request under way may hold it for longer than the swap takes; what is given back before is not its."""
    given_back = threading.Semaphore(0)
    monkeypatch.setattr("bentos.loaded.give_back_memory", given_back.release)

    async def scenario() -> None:
        held = LoadedVersions(BatchingPolicy(), ServingMetrics(), lambda: None, idle=0)
        batcher = await load(held, ServedVersion(version="1", digest=None, folder=str(credit.folder)))
        assert await asyncio.to_thread(given_back.acquire, timeout=10), "after it was loaded"
        held.keep_only([], [])
        await asyncio.sleep(0.05)
        assert not given_back.acquire(blocking=False)
        del batcher
        assert await asyncio.to_thread(given_back.acquire, timeout=10)
        await held.close()

    asyncio.run(scenario())


class Knot:
    """Held by itself, once it was told to: only the collector frees it."""

    itself: Knot


def test_a_swap_leaves_no_garbage_and_nothing_for_the_collector_to_look_through() -> None:
    knot, thresholds = Knot(), gc.get_threshold()
    knot.itself = knot
    gone = weakref.ref(knot)
    gc.collect()
    gc.freeze()  # as a swap before left it: out of the collector's sight
    del knot
    try:
        tidy_heap()
        assert gone() is None
        assert gc.get_freeze_count() > 10_000, "what stays is out of its sight"
        assert gc.get_count()[0] < 1_000
        assert gc.get_threshold()[0] > thresholds[0]
    finally:
        gc.set_threshold(*thresholds)


def test_the_heap_is_tidied_when_a_version_came_and_when_one_was_dropped(
    credit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidied: list[str] = []
    monkeypatch.setattr("bentos.loaded.tidy_heap", lambda: tidied.append("once"))

    async def scenario() -> None:
        held = LoadedVersions(BatchingPolicy(), ServingMetrics(), lambda: None, idle=0)
        await load(held, ServedVersion(version="1", digest=None, folder=str(credit.folder)))
        assert len(tidied) == 1
        held.keep_only([], [])
        assert len(tidied) == 2
        held.keep_only([], [])
        assert len(tidied) == 2
        await held.close()

    asyncio.run(scenario())
