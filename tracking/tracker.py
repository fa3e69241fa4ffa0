"""Test results on their way: kept at once, sent in the background, tried again until they are there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from tracking.delivery import Delivered, Delivery, DeliveryObserver
from tracking.errors import OutboxFullError
from tracking.outbox import Outbox, Receipt
from tracking.record import BiasTestRecord
from tracking.sender import Sender
from tracking.settings import Provider, TrackingSettings

_log = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.05


class Tracker:
    """Takes records and sees that the providers get them.

    `submit` writes a file and returns; nothing of a provider is ever waited for there. Delivering runs in threads,
    which wait on processes of their own, and only where no other process delivers for the same home.

    Args:
        settings: Which providers, and how patiently.
        outbox: The files of this home.
        senders: One for each provider that is enabled.
        observer: Counts what becomes of results; None counts nothing.
        on_delivered: Called from the delivering thread for each result that a provider has taken.
    """

    def __init__(
        self,
        settings: TrackingSettings,
        outbox: Outbox,
        senders: Mapping[Provider, Sender],
        *,
        observer: DeliveryObserver | None = None,
        on_delivered: Callable[[Delivered], None] | None = None,
    ) -> None:
        self.settings, self._outbox, self._senders = settings, outbox, dict(senders)
        self._observer = observer
        self._deliveries = [
            Delivery(provider, sender, outbox, settings, observer=observer, on_delivered=on_delivered)
            for provider, sender in senders.items()
        ]

    @property
    def providers(self) -> tuple[Provider, ...]:
        """The providers that are enabled."""
        return tuple(self._senders)

    def submit(self, record: BiasTestRecord) -> str | None:
        """Keep a record for the enabled providers and return its delivery id; it never waits for a provider.

        None where no provider is enabled, and where the record could not be kept, which is counted and logged:
        whoever tested has their result in any case.
        """
        if not self._senders:
            return None
        with contextlib.suppress(OutboxFullError, OSError, ValueError):
            return self.keep(record)
        return None

    def keep(self, record: BiasTestRecord) -> str:
        """Keep a record as `submit` does, for callers who want to know; what is not kept is counted and logged.

        Raises:
            OutboxFullError: As many wait as may.
            OSError: The disk refuses.
            ValueError: It cannot be written as JSON.
        """
        try:
            delivery_id = self._outbox.add(record, self._senders)
        except (OutboxFullError, OSError, ValueError) as error:
            # Values of the record are no part of what is logged.
            is_full = isinstance(error, OutboxFullError)
            reason = str(error) if is_full else f"it cannot be kept ({type(error).__name__})"
            _log.error("test %s is not logged to %s: %s", record.id, ", ".join(self._senders), reason)
            if self._observer is not None:
                self._observer.tracked("dropped")
            raise
        for delivery in self._deliveries:
            delivery.wake()
        return delivery_id

    def start(self) -> None:
        """Begin to deliver, unless another process does so for this home."""
        for delivery in self._deliveries:
            delivery.start()

    def stop(self) -> None:
        """End delivering; what was not delivered is kept, and what was half-way is found again."""
        for delivery in self._deliveries:
            delivery.stop()
        for delivery in self._deliveries:
            delivery.join()

    def status(self) -> dict[str, Any]:
        """Return how many results wait for each provider, for how long, and what stands in the way."""
        now = time.time()
        told: dict[str, Any] = {}
        for provider in Provider:
            waiting = self._outbox.waiting(provider)
            if provider not in self._senders and not waiting:
                continue
            problem = self._outbox.state(provider).problem
            if provider not in self._senders:
                problem = "MLOPS_PROVIDER does not name it any more: what waits for it stays"
            told[str(provider)] = {
                "waiting": len(waiting),
                "oldest_seconds": max(0.0, now - waiting[0].added_at) if waiting else 0.0,
                "problem": problem,
            }
        return told

    def problems(self) -> dict[str, str]:
        """Return what stands in the way of results that wait, by provider; empty when nothing does."""
        return {
            provider: f"{told['problem']}; results that wait: {told['waiting']}"
            for provider, told in self.status().items()
            if told["problem"] is not None and told["waiting"]
        }

    def waiting(self) -> int:
        """Return how many results wait for a provider."""
        return len(self._outbox.waiting())

    def run_url(self, provider: Provider, run_id: str, seconds: float) -> str:
        """Ask an enabled provider for the address of a run's page.

        Raises:
            RunNotFoundError: There is no such run, or no page.
            ProviderUnavailableError: The provider does not answer within `seconds`.
        """
        return self._senders[provider].url(run_id, seconds)

    def outcome(self, delivery_id: str, provider: Provider) -> Receipt | None:
        """Return what became of a record at a provider; None while it waits."""
        return self._outbox.receipt(delivery_id, provider)

    def problem(self, provider: Provider) -> str | None:
        """Return why the provider's last attempt failed; None when it did not."""
        return self._outbox.state(provider).problem

    async def settled(self, delivery_id: str, seconds: float) -> None:
        """Wait until every provider has the record, or has failed to take it, or `seconds` are over."""
        began, deadline = time.time(), time.monotonic() + seconds
        while time.monotonic() < deadline and not self._is_settled(delivery_id, began, seconds):
            await asyncio.sleep(_POLL_SECONDS)

    def _is_settled(self, delivery_id: str, since: float, seconds: float) -> bool:
        for provider in self._senders:
            state = self._outbox.state(provider)
            failed = state.problem is not None and (state.at >= since or state.next_try > since + seconds)
            if self._outbox.receipt(delivery_id, provider) is None and not failed:
                return False
        return True
