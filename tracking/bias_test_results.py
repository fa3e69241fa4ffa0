"""FairMind's way to keep the result of a test: one call stores it and logs it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from tracking.record import BiasTestRecord
from tracking.tracker import Tracker

_log = logging.getLogger(__name__)


class ResultStore(Protocol):
    """Where records are kept for good."""

    def save(self, record: BiasTestRecord) -> None:
        """Keep a record; one of the same id is not kept twice."""
        ...


class BiasTestResults:
    """Stores records, and logs those that are stored."""

    def __init__(self, store: ResultStore, tracker: Tracker) -> None:
        self._store, self._tracker = store, tracker

    async def save_test_result(  # noqa: PLR0917  (FairMind's own signature)
        self,
        test_id: str,
        user_id: str,
        model_id: str,
        dataset_id: str | None,
        test_type: str,
        results: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> bool:
        """Store a test's result, hand it over to be logged, and return whether it is stored.

        Logging goes on in the background: no provider can make this slow, or fail.

        Raises:
            ValueError: It is no record: its type is neither ml_bias nor llm_bias, a part is missing or too long.
        """
        record = BiasTestRecord.of(
            test_id, model_id, test_type, results, metadata, user_id=user_id, dataset_id=dataset_id
        )
        try:
            await asyncio.to_thread(self._store.save, record)
        except Exception as error:  # whatever the store is; its message may quote the record
            _log.error("the result of test %s could not be stored: %s", test_id, type(error).__name__)
            return False
        await asyncio.to_thread(self._tracker.submit, record)
        return True
