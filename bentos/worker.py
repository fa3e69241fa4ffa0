"""One serving process: follows the serving state, loads versions before they take traffic, keeps the log."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bentos.served import CHALLENGER, CHAMPION, Served, Variant
from bentos.settings import BatchingSettings, ServingSettings
from inference.batching import Batcher
from inference.cost import CostModel, measure
from inference.loading import load_model
from inference.runtime import Columns
from inference.served_model import ServedModel
from inference.signature import ColumnType, Signature
from monitoring.metrics import ServingMetrics
from monitoring.predictions import SegmentWriter
from monitoring.settings import MonitoringSettings
from rollout.serving_state import ServedVersion, ServingFile, ServingState, read_file

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.2
HEARTBEAT_SECONDS = 5.0
"""A serving state not renewed for this long leaves every unit with the champion."""


class Worker:
    """What a worker serves and where it keeps its log.

    Args:
        state_file: The serving state that the Companion writes.
        spool: Where the prediction log's segments go.
        serving: Limits.
        batching: How batches form.
        monitoring: Bounds of the log.
        metrics: What is counted.
    """

    def __init__(
        self,
        *,
        state_file: Path,
        spool: Path,
        serving: ServingSettings,
        batching: BatchingSettings,
        monitoring: MonitoringSettings,
        metrics: ServingMetrics,
    ) -> None:
        self.serving, self.monitoring = serving, monitoring
        self.models: Mapping[str, Served] = {}
        self.problems: dict[str, str] = {}
        self.unit_key = b""
        self.metrics = metrics
        self.log = SegmentWriter(spool, segment_bytes=monitoring.segment_bytes, spool_bytes=monitoring.spool_bytes)
        self._batching = batching
        self._state_file = state_file
        self._seen: tuple[int, int] | None = None
        self._state: ServingFile | None = None
        self._failed: dict[tuple[str, str], str] = {}
        self._executor = ThreadPoolExecutor(2, thread_name_prefix="model")
        self._following: asyncio.Task[None] | None = None
        self._is_stale = False
        self._full: Mapping[str, Served] = {}

    async def start(self) -> None:
        """Load what is to be served and begin to follow changes."""
        await self._follow_once()
        self._following = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Answer what was taken, then close the log."""
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        for served in self._full.values():
            for variant in (served.champion, served.challenger):
                if variant is not None:
                    await variant.batcher.drain()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self.log.close()

    @property
    def is_stale(self) -> bool:
        """Whether the Companion has not renewed the serving state for so long that splits are suspended."""
        return self._is_stale

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                await self._follow_once()
            except Exception:
                _log.exception("the serving state could not be followed; what is served stays as it is")

    async def _follow_once(self) -> None:
        try:
            status = self._state_file.stat()
        except FileNotFoundError:
            self.problems = {"serving_state": "the Companion has not written the serving state yet"}
            return
        seen = (status.st_ino, status.st_size)
        if seen != self._seen:
            state = read_file(self._state_file)
            await self._bring_to(state)
            self._seen = seen
        is_stale = time.time() - status.st_mtime > HEARTBEAT_SECONDS
        if is_stale != self._is_stale:
            self._is_stale = is_stale
            self._publish()

    async def _bring_to(self, state: ServingFile) -> None:
        self.unit_key = state.unit_salt.encode()
        problems: dict[str, str] = {}
        full: dict[str, Served] = {}
        loaded_any = False
        for name, wanted in state.models.items():
            before = self._full.get(name)
            served, loaded = await self._serve(wanted, before, problems)
            loaded_any |= loaded
            if served is not None:
                full[name] = served
        self._full, self.problems, self._state = full, problems, state
        self._publish()
        if loaded_any:
            _tidy_heap()

    def _publish(self) -> None:
        """Make what is loaded visible to requests, in one step."""
        if self._is_stale:
            self.models = {name: served.only_champion() for name, served in self._full.items()}
        else:
            self.models = self._full

    async def _serve(
        self, wanted: ServingState, before: Served | None, problems: dict[str, str]
    ) -> tuple[Served | None, bool]:
        """Return the model as wanted, as far as its versions load; what fails leaves the old in place."""
        known = (before.champion, before.challenger) if before else ()
        batchers = {variant.version: variant.batcher for variant in known if variant is not None}
        loaded = False
        variants: dict[str, Variant] = {}
        for role, version in ((CHAMPION, wanted.champion), (CHALLENGER, wanted.challenger)):
            if version is None:
                continue
            batcher = batchers.get(version.version)
            if batcher is None:
                batcher = await self._load(wanted.model, version, problems)
                loaded |= batcher is not None
            if batcher is not None:
                variants[role] = Variant(role, version.version, batcher)
        if CHAMPION not in variants:
            return before, loaded
        served = Served(
            model=wanted.model,
            epoch=wanted.epoch,
            champion=variants[CHAMPION],
            challenger=variants.get(CHALLENGER),
            weight_bp=wanted.weight_bp,
            salt=wanted.salt,
            rollout_id=wanted.rollout_id,
        )
        return served, loaded

    async def _load(self, model: str, version: ServedVersion, problems: dict[str, str]) -> Batcher | None:
        name = f"{model}/{version.version}"
        if version.folder is None:
            problems[name] = "its files are not here yet"
            return None
        if (known := self._failed.get((name, version.folder))) is not None:
            problems[name] = known
            return None
        loop = asyncio.get_running_loop()
        try:
            served, cost = await loop.run_in_executor(self._executor, _load_and_warm, Path(version.folder))
        except Exception as error:
            _log.exception("version %s did not load; what is served stays as it is", name)
            self.metrics.reloads.labels(model, "failed").inc()
            problems[name] = self._failed[name, version.folder] = f"did not load: {error}"
            return None
        self.metrics.reloads.labels(model, "loaded").inc()
        return Batcher(
            served,
            name=model,
            version=version.version,
            policy=self._batching,
            cost=cost,
            executor=self._executor,
            observer=self.metrics.for_model(model),
        )


def _load_and_warm(folder: Path) -> tuple[ServedModel, CostModel]:
    model = load_model(folder / "fairmind")
    return model, measure(model, _any_row(model.signature))


def _any_row(signature: Signature) -> Columns:
    """Return one row that fits the signature, to warm a model up with."""
    columns: dict[str, NDArray[Any]] = {}
    for column in signature.columns:
        match column.type:
            case ColumnType.STRING:
                columns[column.name] = np.array([column.categories[0] if column.categories else ""], dtype=object)
            case ColumnType.DOUBLE:
                columns[column.name] = np.zeros(1)
            case ColumnType.LONG:
                columns[column.name] = np.zeros(1, dtype=np.int64)
            case ColumnType.BOOLEAN:
                columns[column.name] = np.zeros(1, dtype=np.bool_)
    return columns


def _tidy_heap() -> None:
    """Collect what a swap left behind, then take what stays out of the collector's sight: it is the p99."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
