"""The model versions a worker holds: loaded and warmed beside the traffic, kept for a while when unwanted."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import finalize

from inference.batching import Batcher, BatchingPolicy
from inference.cost import CostModel, measure
from inference.loading import load_model
from inference.made_rows import any_row
from inference.row_queue import RowQueue
from inference.runtime import RemoteRuntime, Runtime
from inference.served_model import ServedModel
from monitoring.metrics import ServingMetrics
from monitoring.remote_metrics import RemoteMetrics
from remotes.clients import open_client
from remotes.definition import is_remote, read_remote
from remotes.queue import RemoteQueue
from rollout.serving_state import ServedVersion
from runners.loading import is_runner, load_runner
from runners.policy import RunnerPolicy

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 30.0
_GRACE_SECONDS = 60.0
_YOUNG_OBJECTS: Final = 20_000
"""Objects made before the collector looks at the young ones; those of a request die by themselves."""

# glibc's; other allocators have none and return by themselves what they freed.
_trim: Final = getattr(ctypes.CDLL(None), "malloc_trim", None)

Key = tuple[str, str, str | None]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The way to a version, and the thread of its own where its model has one."""

    batcher: RowQueue
    own_thread: Executor | None = None

    @property
    def has_to_end(self) -> bool:
        """Whether there is more to let go of than memory."""
        return self.own_thread is not None or isinstance(self.batcher, RemoteQueue)


class LoadedVersions:
    """Batch queues by model, version and digest. Belongs to one event loop.

    Versions that nobody wants any more stay for as long as there is room, so that going back to one needs no
    loading; the one that has been idle longest goes first.

    Args:
        policy: How batches form.
        metrics: What is counted.
        changed: Called when a load has ended, well or not.
        idle: How many versions stay that nobody wants.
        runners: Bounds of models that run in processes of their own.
        before_call: Called on the event loop before any model is given a batch.
    """

    def __init__(
        self,
        policy: BatchingPolicy,
        metrics: ServingMetrics,
        changed: Callable[[], None],
        *,
        idle: int = 0,
        runners: RunnerPolicy | None = None,
        before_call: Callable[[], None] | None = None,
    ) -> None:
        self._before_call = before_call
        self._policy, self._metrics, self._changed = policy, metrics, changed
        self._idle_room, self._runners = idle, runners
        self._loaded: dict[Key, _Loaded] = {}
        self._idle: dict[Key, None] = {}  # in the order in which they became idle
        self._loading: dict[Key, asyncio.Task[None]] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._failed: dict[Key, tuple[str, float]] = {}
        # Loading has a thread of its own: it must not stand in a slow model's way, nor that one in its.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._shared = ThreadPoolExecutor(2, thread_name_prefix="model")

    def get(self, model: str, version: ServedVersion) -> RowQueue | None:
        """Return the way to the version; when there is none, begin to load it and return None."""
        key = (model, version.version, version.digest)
        loaded = self._loaded.get(key)
        if loaded is not None:
            return loaded.batcher
        if version.folder is not None and key not in self._loading:
            failed = self._failed.get(key)
            if failed is None or time.monotonic() - failed[1] > _RETRY_SECONDS:
                self._loading[key] = asyncio.create_task(self._load(key, Path(version.folder)))
        return None

    def problem(self, model: str, version: ServedVersion) -> str | None:
        """Return why the version is not loaded, None when it is."""
        key = (model, version.version, version.digest)
        loaded = self._loaded.get(key)
        if loaded is not None:
            # A remote one counts as loaded whatever its server does: nothing else would answer in its place.
            return loaded.batcher.problem if isinstance(loaded.batcher, RemoteQueue) else None
        if key in self._loading:
            return "is being loaded"
        if key in self._failed:
            return self._failed[key][0]
        return f"its files are not here yet{': ' + version.problem if version.problem else ''}"

    def keep_only(self, wanted: Iterable[tuple[str, ServedVersion]], serving: Iterable[RowQueue]) -> None:
        """Let go of what is neither wanted nor serving, beyond the room for idle ones."""
        keys = {(model, version.version, version.digest) for model, version in wanted}
        held = set(map(id, serving))
        for key, loaded in self._loaded.items():
            if key in keys or id(loaded.batcher) in held:
                self._idle.pop(key, None)
            else:
                self._idle.setdefault(key)
        dropped = list(self._idle)[: max(0, len(self._idle) - self._idle_room)]
        for key in dropped:
            del self._idle[key]
            loaded = self._loaded.pop(key)
            if isinstance(loaded.batcher, Batcher):
                self._give_back_once_gone(loaded.batcher.model.runtime)
            if loaded.has_to_end:
                retiring = asyncio.create_task(_retire(loaded, after=_GRACE_SECONDS))
                self._retiring.add(retiring)
                retiring.add_done_callback(self._retiring.discard)
        for key in set(self._failed) - keys:
            del self._failed[key]
        if dropped:
            tidy_heap()

    async def settle(self) -> None:
        """Return when no load is under way."""
        while self._loading:
            await asyncio.gather(*self._loading.values(), return_exceptions=True)

    async def close(self) -> None:
        """Answer what was taken and end the threads and processes."""
        for task in (*self._loading.values(), *self._retiring):
            task.cancel()
        await asyncio.gather(*self._retiring, *map(_retire, self._loaded.values()), return_exceptions=True)
        self._loader.shutdown(wait=False, cancel_futures=True)
        self._shared.shutdown(wait=False, cancel_futures=True)

    async def _load(self, key: Key, folder: Path) -> None:
        model, version, _ = key
        # A model in a process of its own takes its time to start, and one that hangs blocks the thread that waits:
        # it gets one to itself.
        own = ThreadPoolExecutor(1, thread_name_prefix="runner") if is_runner(folder) else None
        try:
            loaded = self._reach(key, folder) if is_remote(folder) else await self._prepare(key, folder, own)
        except Exception as error:
            if own is not None:
                own.shutdown(wait=False)
            _log.error("version %s/%s did not load (%s); what is served stays as it is", model, version, error)
            self._metrics.reloaded(model, "failed")
            self._failed[key] = f"did not load: {error}", time.monotonic()
        else:
            self._metrics.reloaded(model, "loaded")
            self._failed.pop(key, None)
            self._loaded[key] = loaded
            tidy_heap()
            self._give_back()
        finally:
            del self._loading[key]
        self._changed()

    async def _prepare(self, key: Key, folder: Path, own: Executor | None) -> _Loaded:
        """Return a version whose model is on this machine, loaded and warmed beside the traffic."""
        model, version, _ = key
        loop = asyncio.get_running_loop()
        served, cost = await loop.run_in_executor(own or self._loader, _load_and_warm, folder, self._runners)
        batcher = Batcher(
            served,
            name=model,
            version=version,
            policy=self._policy,
            cost=cost,
            executor=own or self._shared,
            observer=self._metrics.for_model(model),
            before_call=self._before_call,
        )
        return _Loaded(batcher, own)

    def _reach(self, key: Key, folder: Path) -> _Loaded:
        """Return a version that another server answers for; whether it does shows when it is called."""
        model, version, _ = key
        remote = read_remote(folder)
        queue = RemoteQueue(
            remote,
            open_client(remote),
            name=model,
            version=version,
            max_queue_rows=self._policy.max_queue_rows,
            batches=self._metrics.for_model(model),
            calls=RemoteMetrics(self._metrics, model, version),
            changed=self._changed,
            before_call=self._before_call,
        )
        queue.watch()
        return _Loaded(queue)

    def _give_back_once_gone(self, runtime: Runtime) -> None:
        """Return a version's memory when nobody holds it any more: a request under way may, for a while."""
        loop = asyncio.get_running_loop()

        def gone() -> None:  # in whichever thread held it last
            with contextlib.suppress(RuntimeError):  # closed by now
                loop.call_soon_threadsafe(self._give_back)

        finalize(runtime, gone).atexit = False

    def _give_back(self) -> None:
        with contextlib.suppress(RuntimeError):  # closed by now
            self._loader.submit(give_back_memory)  # beside the loop: it takes milliseconds


def give_back_memory() -> None:
    """Return to the system what was freed: loading takes several times what stays, and the allocator keeps it."""
    if _trim is not None:
        _trim(0)


def tidy_heap() -> None:
    """Collect what a swap left behind, then take what stays out of the collector's sight: it is the p99."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


async def _retire(loaded: _Loaded, after: float = 0.0) -> None:
    """Answer what was taken and end the model's own process and thread; `after` so many seconds, or when cancelled.

    A request that is being read may have chosen this version and still come.
    """
    queue = loaded.batcher
    try:
        await asyncio.sleep(after)
        await queue.drain()
    finally:
        if isinstance(queue, RemoteQueue):
            await queue.close()
        elif isinstance(queue, Batcher) and isinstance(queue.model.runtime, RemoteRuntime):
            queue.model.runtime.close()
        if loaded.own_thread is not None:
            loaded.own_thread.shutdown(wait=False, cancel_futures=True)


def _load_and_warm(folder: Path, runners: RunnerPolicy | None) -> tuple[ServedModel, CostModel]:
    if is_runner(folder):
        # Its process was started and its model loaded; what a call takes is learned from the first requests: a
        # stranger's model may refuse a made-up row.
        return load_runner(folder, runners), CostModel()
    model = load_model(folder / "fairmind")
    return model, measure(model, any_row(model.signature))
