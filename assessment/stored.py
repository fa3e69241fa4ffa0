"""A bias test as it is kept: asked for, running, done or failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from tracking.record import BiasTestType


class BiasTestState(StrEnum):
    """How far a test is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_settled(self) -> bool:
        """Whether nothing about it will change any more."""
        return self in {BiasTestState.DONE, BiasTestState.FAILED}


@dataclass(frozen=True, slots=True)
class Findings:
    """What a test found, in FairMind's words: how many metrics passed and failed, and what that amounts to.

    `overall_risk` is low, medium, high or critical; unknown where nothing failed and evidence was lacking.
    """

    overall_risk: str
    metrics_passed: int
    metrics_failed: int
    summary: str


@dataclass(frozen=True, slots=True)
class StoredTest:
    """One test; `result`, `record` and `findings` are None until it is done, `reason` says why it failed.

    `result` is what our engine answered, `record` the response in FairMind's shape; a test that was measured
    elsewhere has only the second. `progress` goes from 0 to 1.
    """

    id: str
    test_type: BiasTestType
    state: BiasTestState
    progress: float
    reason: str | None
    user_id: str
    model: str | None
    model_version: str | None
    dataset_id: str | None
    verdict: str | None
    rows: int | None
    created_at: datetime
    finished_at: datetime | None
    findings: Findings | None = None
    result: dict[str, Any] | None = None
    record: dict[str, Any] | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """Return it as a list of tests shows it."""
        return {
            "id": self.id,
            "test_type": str(self.test_type),
            "state": str(self.state),
            "progress": self.progress,
            "reason": self.reason,
            "user_id": self.user_id,
            "model": self.model,
            "model_version": self.model_version,
            "dataset": self.dataset_id,
            "verdict": self.verdict,
            "rows": self.rows,
            "created_at": self.created_at.isoformat(),
            "finished_at": self.finished_at and self.finished_at.isoformat(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Return all of it: `result` is our engine's answer, `record` what was measured elsewhere."""
        return {
            **self.summary(),
            "result": self.result,
            "record": None if self.result is not None else self.record,
            "metadata": self.details,
        }
