"""The Companion: one process per deployment that does what serving workers must not spend time on.

It follows the registry's aliases, fetches and prepares the versions that are to serve, writes the serving state for
the workers, ships the prediction log, and answers the control API and `/metrics`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO

# Before there are threads: MLflow brings it along, and statements made beside its import fail on half of it.
import sqlalchemy.orm  # noqa: F401
from sqlalchemy import Engine

from access.key_store import publish
from assessment.store import note
from bentos.configuration import Settings
from bentos.log_upkeep import LogUpkeep
from bentos.preparations import Preparations
from bentos.promotions import follow
from bentos.registered_profiles import RegisteredProfiles
from bentos.remote_checks import SECONDS as REMOTE_SECONDS
from bentos.remote_checks import RemoteChecks
from bentos.stores import open_control, open_home, open_log, open_preparer, open_registry, open_tracking
from bentos.version_folders import Key, VersionFolders
from database.home import Home
from monitoring.drift_counts import DriftCounts
from monitoring.exposition import StateMetrics
from monitoring.metrics import ServingMetrics
from monitoring.predictions import SEGMENT_SUFFIX
from monitoring.shipper import Shipper
from monitoring.sinks import Sink
from monitoring.window_sink import WindowSink
from monitoring.window_upkeep import merge_old, prepare
from registry.errors import RegistryError
from registry.incoming import sweep
from registry.model_cache import ModelCache
from registry.registry import Registry
from registry.wanted import WantedModels, parse_wanted
from rollout.controller import Controller
from rollout.evidence_sink import EvidenceSink
from rollout.gauges import set_rollout_gauges
from rollout.known_plans import KnownPlans
from rollout.lease import process_name
from rollout.serving_state import ServingFile, write_file
from rollout.serving_store import deployment_salt, serving_states
from runners.compiled import CompiledCache
from tracking.delivery import Delivered

_log = logging.getLogger(__name__)
_STATE_SECONDS = 0.25
_LOCK_SECONDS = 1.0
_REST_SECONDS = 10.0
_REST_STEP_SECONDS = 0.05
_WINDOW_SECONDS = 30.0
_CONTROLLER_SECONDS = 1.0


class Companion:
    """The state of the Companion and its background loops.

    `give_way` is called once: when workers were told what the registry says is to serve, or another sees to that.
    """

    def __init__(
        self, settings: Settings, metrics: ServingMetrics, give_way: Callable[[], None] = lambda: None
    ) -> None:
        self._give_way, self._has_given_way, self._has_followed = give_way, False, False
        self._stop = threading.Event()
        self._aliases_moved = threading.Event()
        self.settings = settings
        self.metrics = metrics
        metrics.logged("lost", 0)  # a counter that begins above 0 has risen by nothing, and nobody would be told
        self.home: Home = open_home(settings)
        self.control: Engine = open_control(settings, self.home)
        self.log: Engine = open_log(settings, self.home)
        self.registry: Registry = open_registry(settings, self.home)
        self.cache = ModelCache(self.home.models)
        self.wanted = WantedModels(parse_wanted(settings.serving.models))
        self._preparations = Preparations(
            open_preparer(settings, self.home),
            self.home.prepared,
            CompiledCache(self.home.compiled),
            self.aliases_moved,
        )
        self.folders = VersionFolders(
            self.cache, self.registry, self._preparations, trusts_remotes=settings.registry.is_trusted
        )
        self.remotes = RemoteChecks(self.control, self.log, self.folders)
        self.unit_salt = deployment_salt(self.control)
        self.problems: dict[str, str] = {}
        self.drift_counts = DriftCounts(RegisteredProfiles(self.cache))
        sinks: list[Sink] = [WindowSink(), EvidenceSink(self.log, KnownPlans(self.control).find)]
        self._shipper = Shipper(self.home.spool, self.log, sinks, archives=True, shipped=self.home.shipped)
        self._upkeep = LogUpkeep(settings, self.home, self.log, [self.drift_counts], control=self.control)
        self.loops: dict[str, tuple[Callable[[], None], float]] = {
            "serving-state": (self._write_state, _STATE_SECONDS),
            "registry": (self._follow_registry, settings.registry.poll_seconds),
            "preparations": (self._preparations.work, _STATE_SECONDS),
            "shipper": (self._ship, settings.monitoring.ship_seconds),
            "keys": (self._publish_keys, _STATE_SECONDS),
            "windows": (self._tend_windows, _WINDOW_SECONDS),
            "remotes": (self.remotes.look, REMOTE_SECONDS),
            **self._upkeep.loops,
        }
        """What is done over and over, each by a thread of its own, and the seconds between; `start` begins them."""
        self.controller = Controller(
            self.control, self.log, self.registry, holder=process_name(), is_ready=self._has_all_versions
        )
        if settings.serving.rollout_controller:
            self.loops["rollouts"] = (self._decide, _CONTROLLER_SECONDS)
            self.loops["rollout-outbox"] = (self._deliver, _CONTROLLER_SECONDS)
        self.gauges: list[Callable[[StateMetrics], None]] = [
            self._set_gauges,
            self._set_rollout_gauges,
            self.remotes.set_gauges,
        ]
        """What sets the gauges of a scrape, each those it knows of."""
        self.tracker = open_tracking(settings, self.home, metrics, self._note_run)
        self._threads: list[threading.Thread] = []
        self._lock: IO[str] | None = None
        self._written: ServingFile | None = None
        self._known_missing: set[Key] = set()
        self._windows_prepared = False

    def start(self) -> None:
        """Begin the loops; they wait until no other Companion works on the same home."""
        for name, (step, seconds) in self.loops.items():
            thread = threading.Thread(target=self._loop, args=(name, step, seconds), name=name, daemon=True)
            self._threads.append(thread)
        threading.Thread(target=self._take_lock, name="lock", daemon=True).start()

    def stop(self) -> None:
        """End the loops, and ship what workers log while they end, for as long as they may take."""
        self._stop.set()
        self._aliases_moved.set()
        for thread in self._threads:
            # These may take minutes, and are taken up again by the next Companion.
            if thread.is_alive() and thread.name not in {"preparations", "bias-tests", "replays"}:
                thread.join(timeout=10)
        self.tracker.stop()
        if self._lock is not None:
            self._ship_rest()
            self._let_others_decide()
            try:
                self._upkeep.archive()
            except Exception as error:  # a disk or a store that is away must not keep it from stopping
                self._report("archive", f"{type(error).__name__} at the end; the next Companion goes on")
            self._lock.close()
        self.metrics.save()

    def aliases_moved(self) -> None:
        """Look at the registry now instead of at the next poll."""
        self._aliases_moved.set()

    def log_lag_seconds(self) -> float:
        """Return how long the oldest prediction that is not in the database has been waiting; 0 when none is."""
        # Without the lock another Companion ships, and this one does not know how far it is.
        oldest = None if self._lock is None else self._shipper.oldest_waiting()
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    def _set_gauges(self, state: StateMetrics) -> None:
        for model, serving in serving_states(self.control).items():
            for variant, version, share in serving.shares():
                state.weight.labels(model, variant).set(share)
                state.info.labels(model, variant, version).set(1)
        for reference in self.folders.problems():
            model, _, version = reference.rpartition("/")
            state.missing.labels(model, version).set(1)
        state.lag.set(self.log_lag_seconds())
        state.spool_limit.set(self.settings.monitoring.spool_bytes)
        if self._lock is not None:
            state.spool.set(self._shipper.waiting().bytes)
            state.unshipped.set(self._shipper.waiting_rows)
        state.tracking.set(self.tracker.waiting())
        state.registry_up.set("registry" not in self.problems)
        state.problems.set(len(self.problems.keys() & self.loops.keys()))

    def _set_rollout_gauges(self, state: StateMetrics) -> None:
        set_rollout_gauges(self.control, state, datetime.now(UTC))

    def _take_lock(self) -> None:
        self.home.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (self.home.run / "companion.lock").open("w")
        while not self._stop.is_set():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._give_way_once()
                self._stop.wait(_LOCK_SECONDS)
                continue
            self._lock = lock
            for folder in (self.home.models, self.home.prepared, self.home.compiled):
                sweep(folder)
            self._upkeep.sweep()
            for thread in self._threads:
                thread.start()
            self.tracker.start()
            return
        lock.close()

    def _loop(self, name: str, step: Callable[[], None], seconds: float) -> None:
        while not self._stop.is_set():
            try:
                step()
                self.problems.pop(name, None)
            except RegistryError as error:
                self._report(name, str(error))
            except Exception as error:
                # A database's own message may quote a row: where it failed is logged, what it said is not.
                places = "".join(traceback.format_tb(error.__traceback__))
                self._report(name, f"{type(error).__name__}; the log says where", places)
            if name == "registry":
                self._has_followed = True
                self._aliases_moved.wait(seconds)
                self._aliases_moved.clear()
            else:
                self._stop.wait(seconds)

    def _report(self, name: str, problem: str, places: str = "") -> None:
        if self.problems.get(name) != problem:
            _log.warning("%s: %s; it is tried again%s", name, problem, f"\n{places}" if places else "")
        self.problems[name] = problem

    def _follow_registry(self) -> None:
        # What lies here already needs no registry, which may take its whole time-out to be away.
        self.folders.obtain(serving_states(self.control).values(), ask_registry=False)
        changed = follow(self.control, self.registry, datetime.now(UTC), self.wanted)
        if changed:
            _log.info("aliases moved: %s", ", ".join(changed))
        self.folders.obtain(serving_states(self.control).values(), ask_registry=True)
        for kind, problems in (("models", self.wanted.problems()), ("versions", self.folders.problems())):
            if problems:
                self._report(kind, "; ".join(f"{name}: {problem}" for name, problem in problems.items()))
            else:
                self.problems.pop(kind, None)

    def _write_state(self) -> None:
        has_followed = self._has_followed
        states = serving_states(self.control)
        missing = self.folders.missing(states.values())
        if missing - self._known_missing:
            self._aliases_moved.set()  # new ones are looked for at once, others at the next poll
        self._known_missing = missing
        models = {name: self.folders.located(state) for name, state in states.items()}
        content = ServingFile(unit_salt=self.unit_salt, models=models, problems=self.wanted.problems())
        if content != self._written or not self.home.serving_state.exists():
            write_file(self.home.serving_state, content)
            self._written = content
        else:
            os.utime(self.home.serving_state)  # the heartbeat: workers trust a split only while it is renewed
        if has_followed:
            self._give_way_once()

    def _give_way_once(self) -> None:
        if not self._has_given_way:
            self._has_given_way = True
            self._give_way()

    def _has_all_versions(self, model: str) -> bool:
        state = serving_states(self.control).get(model)
        return state is not None and not self.folders.missing([state])

    def _decide(self) -> None:
        self.controller.tick(datetime.now(UTC))

    def _deliver(self) -> None:
        self.controller.deliver(datetime.now(UTC))

    def _let_others_decide(self) -> None:
        try:
            self.controller.stop(datetime.now(UTC))
        except Exception as error:  # then they wait until the lease is over
            self._report("rollouts", f"{type(error).__name__} at the end; another replica goes on in seconds")

    def _note_run(self, delivered: Delivered) -> None:
        run = {"run_id": delivered.run_id, "run_url": delivered.url}
        known = {f"{delivered.provider}_{name}": value for name, value in run.items() if value}
        note(self.control, delivered.test_id, known)

    def _publish_keys(self) -> None:
        publish(self.control, self.home.api_keys)

    def _ship_rest(self) -> None:
        deadline = time.monotonic() + _REST_SECONDS
        try:
            self._ship()
            while any(self.home.spool.glob(f"*{SEGMENT_SUFFIX}")) and time.monotonic() < deadline:
                time.sleep(_REST_STEP_SECONDS)  # a worker that still answers holds its segment
                self._ship()
        except Exception as error:
            # Nothing is lost: it stays in the spool, for the Companion that comes next.
            places = "".join(traceback.format_tb(error.__traceback__))
            self._report("shipper", f"{type(error).__name__} at the end; the log says where", places)

    def _tend_windows(self) -> None:
        if not self._windows_prepared:
            monitoring = self.settings.monitoring
            prepare(self.log, seconds=monitoring.bucket_seconds, most_groups=monitoring.most_groups)
            self._windows_prepared = True
        merge_old(self.log, datetime.now(UTC))

    def _ship(self) -> None:
        shipment = self._shipper.ship()
        if shipment.rows:
            self.metrics.logged("written", shipment.rows)
        if shipment.quarantined:
            self.metrics.logged("lost", shipment.quarantined)
