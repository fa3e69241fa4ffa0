"""Small models and the batch queues before them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from inference.batching import Batcher, BatchingPolicy
from inference.cost import CostModel
from inference.decision import Decision
from inference.errors import (
    ModelTimeoutError,
    RowsRefusedError,
)
from inference.observer import SilentObserver
from inference.runtime import Columns, Scores
from inference.served_model import ServedModel
from inference.signature import Column, ColumnType, Signature, Task

SIGNATURE = Signature(columns=(Column(name="x", type=ColumnType.DOUBLE),), task=Task.REGRESSION)


class Doubler:
    """Answers 2x, remembers the sizes of its calls, refuses negative numbers and can be slow."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.calls: list[int] = []
        self.seconds = seconds

    def run(self, columns: Columns, rows: int) -> Scores:
        self.calls.append(rows)
        time.sleep(self.seconds)
        if (columns["x"] < 0).any():
            raise ValueError("negative")
        return Scores(values=columns["x"] * 2)


class Held(Doubler):
    """A doubler that hangs in each call until it is let go; it is believed to take 50 ms."""

    def __init__(self) -> None:
        super().__init__(0.05)
        self._let = threading.Semaphore(0)

    def run(self, columns: Columns, rows: int) -> Scores:
        self.calls.append(rows)
        assert self._let.acquire(timeout=30), "nobody let it go"
        return Scores(values=columns["x"] * 2)

    def let_go(self) -> None:
        """End one call: the one under way, or the next one."""
        self._let.release()

    async def until_called(self, times: int = 1) -> None:
        async with asyncio.timeout(30):
            while len(self.calls) < times:
                await asyncio.sleep(0.001)


class Elsewhere:
    """A model in a process of its own, as far as a batch queue can tell: takes parameters, can be given up."""

    def __init__(self, hangs_on: float = float("nan")) -> None:
        self.hangs_on = hangs_on
        self.calls: list[tuple[list[float], Mapping[str, Any] | None]] = []

    def run(self, columns: Columns, rows: int) -> Scores:
        return self.run_within(columns, rows, params=None, seconds=None)

    def run_within(
        self, columns: Columns, rows: int, *, params: Mapping[str, Any] | None, seconds: float | None
    ) -> Scores:
        self.calls.append((columns["x"].tolist(), params))
        if self.hangs_on in columns["x"]:
            assert seconds is not None
            time.sleep(seconds)
            raise ModelTimeoutError(seconds)
        if (columns["x"] < 0).any():
            raise RowsRefusedError("elsewhere", "negative")
        return Scores(values=columns["x"] * (params or {}).get("factor", 2))

    def close(self) -> None:
        pass


def batcher(
    runtime: Doubler | Elsewhere,
    executor: ThreadPoolExecutor,
    *,
    before_call: Callable[[], None] | None = None,
    **policy: Any,
) -> Batcher:
    return Batcher(
        ServedModel(SIGNATURE, Decision(), runtime),
        name="doubler",
        version="1",
        policy=BatchingPolicy(**policy),
        cost=CostModel(fixed=max(getattr(runtime, "seconds", 0.0), 1e-6), per_row=1e-9),
        executor=executor,
        observer=SilentObserver(),
        before_call=before_call,
    )


def x(*values: float) -> Columns:
    return {"x": np.array(values, dtype=np.float64)}


def run(scenario: Callable[[ThreadPoolExecutor], Coroutine[Any, Any, None]]) -> None:
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(scenario(executor))
