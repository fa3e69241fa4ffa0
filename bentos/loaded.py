"""The model versions a worker holds: loaded and warmed beside the traffic, dropped when nobody wants them."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.batching import Batcher, BatchingPolicy
from inference.cost import CostModel, measure
from inference.loading import load_model
from inference.runtime import Columns
from inference.served_model import ServedModel
from inference.signature import ColumnType, Signature
from monitoring.metrics import ServingMetrics
from rollout.serving_state import ServedVersion

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 30.0

Key = tuple[str, str, str | None]


class LoadedVersions:
    """Batch queues by model, version and digest. Belongs to one event loop.

    Args:
        policy: How batches form.
        metrics: What is counted.
        changed: Called when a load has ended, well or not.
    """

    def __init__(self, policy: BatchingPolicy, metrics: ServingMetrics, changed: Callable[[], None]) -> None:
        self._policy, self._metrics, self._changed = policy, metrics, changed
        self._batchers: dict[Key, Batcher] = {}
        self._loading: dict[Key, asyncio.Task[None]] = {}
        self._failed: dict[Key, tuple[str, float]] = {}
        # Loading has a thread of its own: it must not stand in a slow model's way, nor that one in its.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._runner = ThreadPoolExecutor(2, thread_name_prefix="model")

    def get(self, model: str, version: ServedVersion) -> Batcher | None:
        """Return the version's batch queue; when there is none, begin to load it and return None."""
        key = (model, version.version, version.digest)
        batcher = self._batchers.get(key)
        if batcher is None and version.folder is not None and key not in self._loading:
            failed = self._failed.get(key)
            if failed is None or time.monotonic() - failed[1] > _RETRY_SECONDS:
                self._loading[key] = asyncio.create_task(self._load(key, Path(version.folder)))
        return batcher

    def problem(self, model: str, version: ServedVersion) -> str | None:
        """Return why the version is not loaded, None when it is."""
        key = (model, version.version, version.digest)
        if key in self._batchers:
            return None
        if key in self._loading:
            return "is being loaded"
        if key in self._failed:
            return self._failed[key][0]
        return f"its files are not here yet{': ' + version.problem if version.problem else ''}"

    def keep_only(self, wanted: Iterable[tuple[str, ServedVersion]], serving: Iterable[Batcher]) -> None:
        """Drop what is neither wanted nor serving; what was taken is answered, then the memory is given back."""
        keys = {(model, version.version, version.digest) for model, version in wanted}
        held = set(map(id, serving))
        dropped = [key for key, batcher in self._batchers.items() if key not in keys and id(batcher) not in held]
        for key in dropped:
            del self._batchers[key]
        for key in set(self._failed) - keys:
            del self._failed[key]
        if dropped:
            tidy_heap()

    async def settle(self) -> None:
        """Return when no load is under way."""
        while self._loading:
            await asyncio.gather(*self._loading.values(), return_exceptions=True)

    async def close(self) -> None:
        """Answer what was taken and end the threads."""
        for task in self._loading.values():
            task.cancel()
        for batcher in self._batchers.values():
            await batcher.drain()
        self._loader.shutdown(wait=False, cancel_futures=True)
        self._runner.shutdown(wait=False, cancel_futures=True)

    async def _load(self, key: Key, folder: Path) -> None:
        model, version, _ = key
        try:
            loop = asyncio.get_running_loop()
            served, cost = await loop.run_in_executor(self._loader, _load_and_warm, folder)
        except Exception as error:
            _log.error("version %s/%s did not load (%s); what is served stays as it is", model, version, error)
            self._metrics.reloads.labels(model, "failed").inc()
            self._failed[key] = f"did not load: {error}", time.monotonic()
        else:
            self._metrics.reloads.labels(model, "loaded").inc()
            self._failed.pop(key, None)
            self._batchers[key] = Batcher(
                served,
                name=model,
                version=version,
                policy=self._policy,
                cost=cost,
                executor=self._runner,
                observer=self._metrics.for_model(model),
            )
            tidy_heap()
        finally:
            del self._loading[key]
        self._changed()


def tidy_heap() -> None:
    """Collect what a swap left behind, then take what stays out of the collector's sight: it is the p99."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _load_and_warm(folder: Path) -> tuple[ServedModel, CostModel]:
    model = load_model(folder / "fairmind")
    return model, measure(model, _any_row(model.signature))


def _any_row(signature: Signature) -> Columns:
    """Return one row that fits the signature, to warm a model up with."""
    columns: dict[str, NDArray[Any]] = {}
    for column in signature.columns:
        match column.type:
            case ColumnType.STRING | ColumnType.ANY:
                columns[column.name] = np.array([column.categories[0] if column.categories else ""], dtype=object)
            case ColumnType.DOUBLE:
                columns[column.name] = np.zeros(1)
            case ColumnType.LONG:
                columns[column.name] = np.zeros(1, dtype=np.int64)
            case ColumnType.BOOLEAN:
                columns[column.name] = np.zeros(1, dtype=np.bool_)
    return columns
