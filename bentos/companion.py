"""The Companion: one process per deployment that does what serving workers must not spend time on.

It follows the registry's aliases, fetches the versions that are to serve, writes the serving state for the
workers, ships the prediction log, and answers the control API and `/metrics`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO

from sqlalchemy import Engine

from bentos.configuration import Settings
from bentos.stores import open_control, open_home, open_log, open_registry
from database.home import Home
from monitoring.metrics import ServingMetrics
from monitoring.shipper import Shipper
from registry.errors import RegistryError
from registry.model_cache import ModelCache
from registry.reference import Reference
from registry.registry import Registry
from rollout.serving_state import ServedVersion, ServingFile, ServingState, write_file
from rollout.serving_store import deployment_salt, follow_aliases, serving_states

_log = logging.getLogger(__name__)
_STATE_SECONDS = 0.25
_LOCK_SECONDS = 1.0


class Companion:
    """The state of the Companion and its background loops."""

    def __init__(self, settings: Settings, metrics: ServingMetrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.home: Home = open_home(settings)
        self.control: Engine = open_control(settings, self.home)
        self.log: Engine = open_log(settings, self.home)
        self.registry: Registry = open_registry(settings, self.home)
        self.cache = ModelCache(self.home.models)
        self._unit_salt = deployment_salt(self.control)
        self.problems: dict[str, str] = {}
        self.spool_empty_at = time.time()
        self._shipper = Shipper(self.home.spool, self.log)
        self._stop = threading.Event()
        self._aliases_moved = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock: IO[str] | None = None
        self._written: ServingFile | None = None

    def start(self) -> None:
        """Begin the loops; they wait until no other Companion works on the same home."""
        loops: dict[str, tuple[Callable[[], None], float]] = {
            "serving-state": (self._write_state, _STATE_SECONDS),
            "registry": (self._follow_registry, self.settings.registry.poll_seconds),
            "shipper": (self._ship, self.settings.monitoring.ship_seconds),
        }
        for name, (step, seconds) in loops.items():
            thread = threading.Thread(target=self._loop, args=(name, step, seconds), name=name, daemon=True)
            self._threads.append(thread)
        threading.Thread(target=self._take_lock, name="lock", daemon=True).start()

    def stop(self) -> None:
        """End the loops, after one last look at the spool."""
        self._stop.set()
        self._aliases_moved.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=10)
        if self._lock is not None:
            self._ship()
            self._lock.close()

    def aliases_moved(self) -> None:
        """Look at the registry now instead of at the next poll."""
        self._aliases_moved.set()

    def log_lag_seconds(self) -> float:
        """Return the seconds since the spool was last found empty: how far the database is behind."""
        return max(0.0, time.time() - self.spool_empty_at - self.settings.monitoring.ship_seconds)

    def _take_lock(self) -> None:
        self.home.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self.home.run / "companion.lock").open("w")
        while not self._stop.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._stop.wait(_LOCK_SECONDS)
                continue
            self._lock = lock
            for thread in self._threads:
                thread.start()
            return

    def _loop(self, name: str, step: Callable[[], None], seconds: float) -> None:
        while not self._stop.is_set():
            try:
                step()
                self.problems.pop(name, None)
            except RegistryError as error:
                self._report(name, str(error))
            except Exception as error:
                self._report(name, f"{type(error).__name__}; the log has the details")
                _log.exception("%s failed; it is tried again", name)
            if name == "registry":
                self._aliases_moved.wait(seconds)
                self._aliases_moved.clear()
            else:
                self._stop.wait(seconds)

    def _report(self, name: str, problem: str) -> None:
        if self.problems.get(name) != problem:
            _log.warning("%s: %s", name, problem)
        self.problems[name] = problem

    def _follow_registry(self) -> None:
        try:
            changed = follow_aliases(self.control, self.registry.aliased(), datetime.now(UTC))
            if changed:
                _log.info("aliases moved: %s", ", ".join(changed))
        finally:
            self._fetch_missing()

    def _fetch_missing(self) -> None:
        """Fetch the versions that are to serve; those here already need no registry."""
        for state in serving_states(self.control).values():
            for version in (state.champion, state.challenger):
                if version is None or self.cache.find(state.model, version.version, version.digest) is not None:
                    continue
                found = self.registry.find(Reference(state.model, version=version.version))
                self.cache.fetch(self.registry, found)

    def _write_state(self) -> None:
        models = {name: self._with_folders(state) for name, state in serving_states(self.control).items()}
        if any(_is_missing(state) for state in models.values()):
            self._aliases_moved.set()
        content = ServingFile(unit_salt=self._unit_salt, models=models)
        if content != self._written:
            write_file(self.home.serving_state, content)
            self._written = content
        else:
            os.utime(self.home.serving_state)  # the heartbeat: workers trust a split only while it is renewed

    def _with_folders(self, state: ServingState) -> ServingState:
        def located(version: ServedVersion) -> ServedVersion:
            folder = self.cache.find(state.model, version.version, version.digest)
            return version if folder is None else version.model_copy(update={"folder": str(folder)})

        challenger = None if state.challenger is None else located(state.challenger)
        return state.model_copy(update={"champion": located(state.champion), "challenger": challenger})

    def _ship(self) -> None:
        shipment = self._shipper.ship()
        if shipment.rows:
            self.metrics.log_rows.labels("written").inc(shipment.rows)
        if not shipment.waiting_bytes:
            self.spool_empty_at = time.time()


def _is_missing(state: ServingState) -> bool:
    versions = [version for version in (state.champion, state.challenger) if version is not None]
    return any(version.folder is None for version in versions)
