"""FairMind's MLOps integration: whether it is on, what it is set to, and logging a test by hand."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from registry.settings import plain_address
from tracking.errors import (
    OutboxFullError,
    ProviderUnavailableError,
    RunNotFoundError,
    TrackingDisabledError,
    UnknownProviderError,
)
from tracking.record import BiasTestRecord
from tracking.run_addresses import RUN_ID, wandb_run_url
from tracking.settings import Provider
from tracking.tracker import Tracker

_URL_SECONDS: Final = 30.0
_KNOWN_URLS: Final = 1_000
_MOST_ASKING: Final = 4
"""How many may wait for a provider that is asked for an address: where it hangs, their threads are others' too."""


class MlopsIntegration:
    """The integration of one deployment.

    Args:
        tracker: What keeps and sends results; started by whoever made it.
        tracking_uri: MLflow's address, as people are told it.
    """

    def __init__(self, tracker: Tracker, tracking_uri: str) -> None:
        self._tracker, self._tracking_uri = tracker, plain_address(tracking_uri)
        self._urls: dict[tuple[Provider, str], str] = {}
        self._asking = threading.BoundedSemaphore(_MOST_ASKING)

    def is_enabled(self) -> bool:
        """Return whether results are logged anywhere."""
        return bool(self._tracker.providers)

    def get_status(self) -> dict[str, Any]:
        """Return which providers are enabled and what they are set to; no secret is among it."""
        settings, enabled = self._tracker.settings, self._tracker.providers
        wandb, mlflow = Provider.WANDB in enabled, Provider.MLFLOW in enabled
        return {
            "provider": str(settings.provider),
            "wandb": {
                "enabled": wandb,
                "project": settings.wandb_project if wandb else None,
                "entity": settings.wandb_entity if wandb else None,
            },
            "mlflow": {
                "enabled": mlflow,
                "tracking_uri": self._tracking_uri if mlflow else None,
                "experiment_name": settings.experiment_name if mlflow else None,
            },
        }

    def log_bias_test(
        self,
        test_id: str,
        model_id: str,
        test_type: str,
        results: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Log a test and return what became of it at each provider, as `logging_status` does.

        A running event loop is held up by it: there, `log` is for programs that do other things at the same time.

        Raises:
            ValueError: It is no record: its type is neither ml_bias nor llm_bias, a part is missing or too long.
        """
        record = BiasTestRecord.of(test_id, model_id, test_type, results, metadata)
        with ThreadPoolExecutor(1) as thread:  # notebooks have an event loop that is running
            return thread.submit(lambda: asyncio.run(self.log(record))).result()

    async def log(self, record: BiasTestRecord) -> dict[str, Any]:
        """Keep a record, wait for its delivery as long as the settings say, and return what became of it.

        What has not arrived by then is kept and sent later; its `error` says what it waits for.
        """
        try:
            delivery_id = await asyncio.to_thread(self._tracker.keep, record) if self.is_enabled() else None
        except (OutboxFullError, OSError, ValueError) as error:
            reason = str(error) if isinstance(error, OutboxFullError) else "it cannot be kept on disk"
            return self._status(lambda _provider: {"success": False, "run_id": None, "error": reason})
        if delivery_id is None:
            return self._status(lambda _provider: {})
        await self._tracker.settled(delivery_id, self._tracker.settings.answer_seconds)
        return self._status(lambda provider: self._outcome(delivery_id, provider))

    def get_run_url(self, provider: str, run_id: str) -> str:
        """Return the address of a run's page.

        Raises:
            UnknownProviderError, TrackingDisabledError: Nobody to ask.
            RunNotFoundError: The provider knows no such run, or it has no page.
            ProviderUnavailableError: The provider does not answer.
        """
        try:
            known = Provider(provider)
        except ValueError:
            raise UnknownProviderError from None
        if known not in self._tracker.providers:
            raise TrackingDisabledError(provider)
        if not RUN_ID.fullmatch(run_id):
            raise RunNotFoundError(provider, "it has no such run")
        found = self._urls.get((known, run_id)) or self._find_url(known, run_id)
        if len(self._urls) >= _KNOWN_URLS:
            self._urls.clear()
        self._urls[known, run_id] = found
        return found

    def _find_url(self, provider: Provider, run_id: str) -> str:
        settings = self._tracker.settings
        if provider is Provider.WANDB and settings.wandb_entity is not None:
            return wandb_run_url(settings.wandb_base_url, settings.wandb_entity, settings.wandb_project, run_id)
        if not self._asking.acquire(blocking=False):
            raise ProviderUnavailableError(provider, f"{_MOST_ASKING} others wait for an address already")
        try:
            return self._tracker.run_url(provider, run_id, min(_URL_SECONDS, settings.timeout_seconds))
        finally:
            self._asking.release()

    def _status(self, outcome: Any) -> dict[str, Any]:
        enabled = self._tracker.providers
        return {
            str(provider): {"enabled": True, **outcome(provider)}
            if provider in enabled
            else {"enabled": False, "success": False}
            for provider in Provider
        }

    def _outcome(self, delivery_id: str, provider: Provider) -> dict[str, Any]:
        receipt = self._tracker.outcome(delivery_id, provider)
        if receipt is None:
            reason = self._tracker.problem(provider) or "it has not answered yet"
            return {"success": False, "run_id": None, "error": f"{reason}; the result is kept and sent later"}
        if receipt.refused is not None:
            return {"success": False, "run_id": None, "error": receipt.refused}
        return {"success": True, "run_id": receipt.run_id, "url": receipt.url}
