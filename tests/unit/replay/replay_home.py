"""A log whose rows are archived, and versions that decide by one number."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine

from inference.arrays import array_of
from inference.runtime import EncodedColumns
from inference.served_model import Predictions
from inference.signature import Column, ColumnType, Signature, Task
from monitoring.archive import Archive
from monitoring.feature_store import FeatureStore
from monitoring.outcomes import Outcome, keep
from monitoring.predictions import PredictionRecord, SegmentWriter
from monitoring.shipper import Shipper
from monitoring.window_sink import WindowSink
from registry.versions import DIGEST_TAG, ModelVersion
from replay.comparing import Contender
from replay.replaying import run
from replay.result import ReplayResult
from replay.window import Window
from rollout.plan import Plan
from tests.fakes.records import prediction_record

SERVED = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW = SERVED + timedelta(days=10)
SIGNATURE = Signature(
    columns=(
        Column(name="income", type=ColumnType.DOUBLE),
        Column(name="job", type=ColumnType.STRING, nullable=True),
    ),
    task=Task.BINARY,
    classes=(0, 1),
)


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Grants from `least` on; the score is the income. With `harmed`, of that job half of the score is taken."""

    least: float = 0.5
    harmed: str | None = None
    signature: Signature = SIGNATURE

    def predict(self, columns: EncodedColumns, rows: int) -> Predictions:
        scores = np.array(array_of(columns["income"]), dtype=np.float64)
        if self.harmed is not None:
            scores = np.where(array_of(columns["job"]) == self.harmed, scores / 2, scores)
        labels = np.array(self.signature.classes)
        return Predictions(labels[(scores >= self.least).astype(int)], np.column_stack([1 - scores, scores]))


def contender(version: str, scorer: Any = None, **tags: str) -> Contender:
    found = ModelVersion(
        "credit", version, None, "", frozenset(), {DIGEST_TAG: f"sha256:{version}", **tags}, SERVED
    )
    return Contender(found, scorer or Threshold())


class ReplayHome:
    """A log in a folder, with the store of its features."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.engine, self._spool = engine, folder / "spool"
        self.store = FeatureStore(folder / "features")

    def serve(self, *records: PredictionRecord) -> None:
        """Log what was answered, and archive it."""
        segment = SegmentWriter(self._spool, segment_bytes=10_000_000, spool_bytes=100_000_000)
        for record in records:
            segment.append([record])
        segment.close()
        Shipper(self._spool, self.engine, [WindowSink()], archives=True).ship()
        Archive(self._spool, self.engine, self.store).work()

    def tell(self, outcomes: dict[str, Any], received_at: datetime = SERVED) -> None:
        """Tell what came true, by prediction id."""
        told = [Outcome(prediction_id=id_, outcome=outcome) for id_, outcome in outcomes.items()]
        keep(self.engine, told, received_at)

    def window(self, since: datetime = SERVED - timedelta(days=1), until: datetime = NOW) -> Window:
        return Window(self.engine, self.store, "credit", since, until)

    def replay(
        self, challenger: Contender, against: Contender | None = None, plan: Plan | None = None, **changes: Any
    ) -> ReplayResult:
        values: dict[str, Any] = {"plan": plan, "now": NOW} | changes
        return run("rp-1", self.window(), challenger, against or contender("1"), **values)


def answered(request_id: str, incomes: Sequence[float], **changes: Any) -> PredictionRecord:
    """Return the record of rows that the threshold 0.5 answered, whose units are named after their places."""
    jobs = changes.pop("jobs", ["nurse"] * len(incomes))
    values: dict[str, Any] = {
        "served_at": SERVED.timestamp(),
        "predictions": [int(income >= 0.5) for income in incomes],
        "scores": [float(income) for income in incomes],
        "features": [{"income": income, "job": job} for income, job in zip(incomes, jobs, strict=True)],
        "unit_hashes": [f"{request_id}-{place}" for place in range(len(incomes))],
    }
    return prediction_record(request_id, len(incomes), **values | changes)
