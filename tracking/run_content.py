"""What a provider gets of a record, in the words that MLflow and Weights & Biases share."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from tracking.measurements import Measurements, measurements, scalars, summary
from tracking.record import BiasTestRecord

PROJECT: Final = "fairmind"
JSON_FILE: Final = "bias_test.json"
HTML_FILE: Final = "bias_test.html"

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class RunContent:
    """One run: its name, what it is found by, its numbers and its files by their names."""

    test_id: str
    delivery_id: str
    name: str
    created_at: datetime
    params: dict[str, Scalar]
    tags: dict[str, str]
    summary: dict[str, Scalar]
    measurements: Measurements
    files: dict[str, str]

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the tags as words, for providers whose tags have no names."""
        return (self.tags["test_type"], self.tags["model_id"], self.tags["project"], "bias_detection")


def run_content(record: BiasTestRecord) -> RunContent:
    """Return the run of a record.

    Parameters are the test's id, model, type and data, and the scalars of its metadata, which are called
    `metadata_…` where they would have one of those names.
    """
    own: dict[str, Scalar] = {"test_id": record.id, "model_id": record.model_id, "test_type": str(record.test_type)}
    if record.dataset_id is not None:
        own["dataset_id"] = record.dataset_id
    told = {f"metadata_{key}" if key in own else key: value for key, value in scalars(record.metadata).items()}
    found = measurements(record.results)
    tags = {"test_type": str(record.test_type), "model_id": record.model_id, "project": PROJECT}
    outcome = summary(record.results)
    tags |= {key: _text(outcome[key]) for key in ("bias_detected", "risk_level", "verdict") if key in outcome}
    if found.not_finite:
        tags["metrics_not_finite"] = ", ".join(found.not_finite)[:4_000]
    if found.too_many:
        tags["metrics_left_out"] = str(found.too_many)
    files = {JSON_FILE: json.dumps(_strict(record.model_dump(exclude={"html"})), indent=2, default=str)}
    if record.html is not None:
        files[HTML_FILE] = record.html
    return RunContent(
        test_id=record.id,
        delivery_id=record.delivery_id,
        name=record.run_name,
        created_at=record.created_at,
        params=told | own,
        tags=tags,
        summary=outcome,
        measurements=found,
        files=files,
    )


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _strict(value: Any) -> Any:
    """Return values that every reader of JSON takes: what is not finite is null."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
