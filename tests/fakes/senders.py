"""A sender in memory: a provider that takes what it is given, stays away, or hangs, as a test says."""

from __future__ import annotations

import threading
from pathlib import Path

from tracking.errors import ProviderUnavailableError, RecordRefusedError, RunNotFoundError
from tracking.outbox import Receipt
from tracking.record import BiasTestRecord
from tracking.settings import Provider


class FakeSender:
    """Keeps runs by the delivery ids of their records, as the real ones do, and what was sent by the tests' ids.

    `is_away` and `refuses` (ids of tests) say what it does; `hang` is waited for before every answer.
    """

    def __init__(self, provider: Provider = Provider.MLFLOW) -> None:
        self.provider = provider
        self.runs: dict[str, str] = {}
        self.records: dict[str, BiasTestRecord] = {}
        self.attempts: list[str] = []
        self.closed = 0
        self.is_away = False
        self.refuses: set[str] = set()
        self.fails: set[str] = set()
        self.hang = threading.Event()
        self.hang.set()

    def deliver(self, path: Path, seconds: float) -> tuple[str, Receipt]:
        record = BiasTestRecord.model_validate_json(path.read_bytes())
        self.attempts.append(record.id)
        if not self.hang.wait(seconds):
            raise ProviderUnavailableError(self.provider, f"no answer within {seconds:g} s")
        if self.is_away or record.id in self.fails:
            raise ProviderUnavailableError(self.provider, "it is away")
        if record.id in self.refuses:
            raise RecordRefusedError(self.provider, "too odd")
        self.runs[record.delivery_id], self.records[record.id] = record.id, record
        return record.id, Receipt(record.delivery_id, f"http://runs/{record.delivery_id}")

    def url(self, run_id: str, seconds: float) -> str:
        if self.is_away:
            raise ProviderUnavailableError(self.provider, "it is away")
        if run_id not in self.runs:
            raise RunNotFoundError(self.provider, "it has no such run")
        return f"http://runs/{run_id}"

    def close(self) -> None:
        self.closed += 1
