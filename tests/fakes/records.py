"""Records of the prediction log as a worker writes them."""

from __future__ import annotations

from typing import Any

from monitoring.predictions import PredictionRecord


def prediction_record(request_id: str, rows: int = 1, **changes: Any) -> PredictionRecord:
    """Return a record of rows that version 1 of `credit` answered; what is said otherwise replaces its values."""
    values: dict[str, Any] = {
        "request_id": request_id,
        "served_at": 1_700_000_000.5,
        "model": "credit",
        "model_version": "1",
        "variant": "champion",
        "epoch": 1,
        "rollout_id": None,
        "protocol": "predict",
        "latency_us": 1,
        "positions": list(range(rows)),
        "predictions": [1] * rows,
        "scores": [0.5] * rows,
        "features": [{"job": "nurse"}] * rows,
    }
    return PredictionRecord(**values | changes)
