"""Delivering to one provider: oldest first, again and again with growing pauses, by one process at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from tracking.errors import ProviderUnavailableError, RecordRefusedError
from tracking.outbox import Entry, Outbox, ProviderState, Receipt
from tracking.sender import Sender
from tracking.settings import Provider, TrackingSettings

_log = logging.getLogger(__name__)
_LOOK_SECONDS: Final = 1.0
"""How often the folder is looked at for what other processes have added."""
_IDLE_SECONDS: Final = 60.0
"""How long a process that sends is kept for the next result: its libraries take seconds to import."""


class DeliveryObserver(Protocol):
    """Counts what became of results; `monitoring.metrics.ServingMetrics` is one."""

    def tracked(self, outcome: str) -> None:
        """Count a result: delivered, refused, dropped; or an attempt that failed."""
        ...


@dataclass(frozen=True, slots=True)
class Delivered:
    """A test that a provider has: its run and where it is shown."""

    test_id: str
    provider: Provider
    run_id: str
    url: str | None


class Delivery:
    """A thread that sends what waits for one provider; arguments as those of `tracking.tracker.Tracker`."""

    def __init__(
        self,
        provider: Provider,
        sender: Sender,
        outbox: Outbox,
        settings: TrackingSettings,
        *,
        observer: DeliveryObserver | None,
        on_delivered: Callable[[Delivered], None] | None,
    ) -> None:
        self._provider, self._sender, self._outbox, self._settings = provider, sender, outbox, settings
        self._observer, self._on_delivered = observer, on_delivered
        self._ends, self._has_more = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"tracking-{provider}", daemon=True)

    def start(self) -> None:
        """Begin, unless another process delivers for this home: then this waits for it to end."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new."""
        self._has_more.set()

    def stop(self) -> None:
        """End it, and the call it is in; returns before the thread has ended."""
        self._ends.set()
        self._has_more.set()
        self._sender.close()

    def join(self) -> None:
        """Wait for the end that `stop` began."""
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._sender.close()  # it may have begun anew in the meantime

    def _work(self) -> None:
        said = ""
        while not self._ends.is_set():
            try:
                with self._outbox.delivering(self._provider) as may:
                    if may:
                        self._outbox.sweep()
                        self._deliver()
            except Exception as error:  # a full disk, or a bug: the others are delivered, and this is tried again
                reason = getattr(error, "strerror", None) or type(error).__name__
                if reason != said:
                    _log.error("results for %s are not sent: %s; it is tried again", self._provider, reason)
                said = reason
            self._ends.wait(_LOOK_SECONDS)

    def _deliver(self) -> None:
        attempts: defaultdict[str, int] = defaultdict(int)
        failures, idle_since = 0, time.monotonic()
        while not self._ends.is_set():
            self._has_more.clear()
            waiting = self._outbox.waiting(self._provider)
            if not waiting:
                if time.monotonic() - idle_since > _IDLE_SECONDS:
                    self._sender.close()
                self._has_more.wait(_LOOK_SECONDS)
                continue
            # One that fails again and again lets the others go before it.
            entry = min(waiting, key=lambda entry: (attempts[entry.delivery_id], entry.path.name))
            problem = self._attempt(entry)
            idle_since = time.monotonic()
            if problem is None:
                if self._outbox.state(self._provider).problem is not None:
                    _log.info("%s takes results again", self._provider)
                    self._outbox.set_state(self._provider, ProviderState())
                failures = 0
                attempts.pop(entry.delivery_id, None)
                continue
            if self._ends.is_set():
                return
            failures, attempts[entry.delivery_id] = failures + 1, attempts[entry.delivery_id] + 1
            self._failed(problem, failures)

    def _attempt(self, entry: Entry) -> str | None:
        """Try to deliver one record; return why the provider did not take it, None when it is settled."""
        try:
            test_id, receipt = self._sender.deliver(entry.path, self._settings.timeout_seconds)
        except ProviderUnavailableError as error:
            return error.reason
        except RecordRefusedError as error:
            name = entry.path.name
            _log.error("%s will not take result %s: %s; it is in refused/", self._provider, name, error.reason)
            self._outbox.settle(entry, self._provider, Receipt(refused=error.reason))
            self._count("refused")
            return None
        self._tell(Delivered(test_id, self._provider, receipt.run_id or "", receipt.url))
        self._outbox.settle(entry, self._provider, receipt)
        self._count("delivered")
        return None

    def _failed(self, problem: str, failures: int) -> None:
        first, longest = self._settings.retry_seconds, self._settings.longest_retry_seconds
        pause = min(longest, first * 2 ** min(failures - 1, 30))
        if self._outbox.state(self._provider).problem != problem:
            _log.warning("%s: %s; results are kept and sent later", self._provider, problem)
        now = time.time()
        self._outbox.set_state(self._provider, ProviderState(problem, now, now + pause))
        self._count("failed")
        self._ends.wait(pause)

    def _tell(self, delivered: Delivered) -> None:
        if self._on_delivered is None:
            return
        try:
            self._on_delivered(delivered)
        except Exception as error:  # the run is there; that nobody noted it down must not make a second one
            _log.error("the run of test %s was not noted down: %s", delivered.test_id, type(error).__name__)

    def _count(self, outcome: str) -> None:
        if self._observer is not None:
            self._observer.tracked(outcome)
