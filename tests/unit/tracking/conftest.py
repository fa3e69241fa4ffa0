"""Records, an outbox in a temporary folder, and trackers over senders in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.senders import FakeSender
from tracking.outbox import Outbox
from tracking.record import BiasTestRecord, BiasTestType
from tracking.settings import Choice, Provider, TrackingSettings
from tracking.tracker import Tracker

RESULTS: dict[str, Any] = {
    "accuracy": 0.85,
    "passed": True,
    "groups": {"female": {"selection_rate": 0.25, "ratio": float("nan")}, "male": {"selection_rate": 0.5}},
    "summary": {"rows": 12},
    "verdict": "fail",
    "overall_risk": "high",
}


def make_record(test_id: str = "t-1", **changes: Any) -> BiasTestRecord:
    """Return a record; the same arguments give the same one."""
    values: dict[str, Any] = {
        "id": test_id,
        "user_id": "ada",
        "model_id": "credit",
        "dataset_id": "people",
        "test_type": BiasTestType.ML_BIAS,
        "results": RESULTS,
        "metadata": {"model_version": "3", "rows": 12, "protected": ["SEX"], "test_id": "another"},
        "created_at": datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
        "html": "<p>Größe</p>",
    }
    return BiasTestRecord(**values | changes)


class Counts(Counter[str]):
    """Counts what becomes of results."""

    def tracked(self, outcome: str) -> None:
        self[outcome] += 1


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "tracking")


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


NewTracker = Callable[..., Tracker]


@pytest.fixture
def new_tracker(outbox: Outbox, counts: Counts) -> Iterator[NewTracker]:
    """Makes trackers over the outbox; they are stopped afterwards."""
    made: list[Tracker] = []
    known: list[FakeSender] = []

    def make(*senders: FakeSender, outbox: Outbox = outbox, **more: Any) -> Tracker:
        patience: dict[str, Any] = {"retry_seconds": 0.01, "longest_retry_seconds": 0.05, "timeout_seconds": 5.0}
        kept = {key: more.pop(key) for key in list(more) if key in TrackingSettings.model_fields}
        settings = TrackingSettings(provider=Choice.BOTH, **patience | {"answer_seconds": 5.0} | kept)
        chosen: dict[Provider, Any] = {sender.provider: sender for sender in senders}
        made.append(Tracker(settings, outbox, chosen, observer=counts, **more))
        known.extend(senders)
        return made[-1]

    yield make
    for sender in known:
        sender.hang.set()
    for tracker in made:
        tracker.stop()
