"""Outcomes: idempotent, correctable, welcome before their prediction; windows join the latest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine

from monitoring.outcomes import Outcome, Receipt, keep
from monitoring.predictions import PredictionRecord, SegmentWriter
from monitoring.shipper import Shipper
from monitoring.windows import LoggedPrediction, window

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def served(tmp_path: Path, engine: Engine) -> Engine:
    segment = SegmentWriter(tmp_path / "spool", segment_bytes=1_000_000, spool_bytes=10_000_000)
    common: dict[str, Any] = {
        "served_at": NOW.timestamp(),
        "model": "credit",
        "epoch": 1,
        "rollout_id": None,
        "protocol": "predict",
        "latency_us": 1,
        "scores": [0.9, 0.1],
        "features": [{}, {}],
        "positions": [0, 1],
        "predictions": [1, 0],
    }
    segment.append(
        [
            PredictionRecord(
                request_id="a",
                model_version="1",
                variant="champion",
                protected=[{"sex": "f"}, {"sex": None}],
                caller_ids=["mine", None],
                **common,
            ),
            PredictionRecord(request_id="b", model_version="2", variant="challenger", **common),
            PredictionRecord(request_id="c", model_version="2", variant=None, **common),
        ]
    )
    Shipper(tmp_path / "spool", engine).ship()
    return engine


def rows(engine: Engine, **chosen: Any) -> dict[str, LoggedPrediction]:
    found = window(engine, "credit", since=NOW, until=NOW + timedelta(seconds=1), **chosen)
    return {row.prediction_id: row for row in found}


def test_a_repeat_changes_nothing_and_a_correction_counts(served: Engine) -> None:
    first = Outcome(prediction_id="a-0", outcome=1)
    assert keep(served, [first], NOW) == Receipt(accepted=1, repeated=0, unmatched=0)
    assert keep(served, [first, first], NOW) == Receipt(accepted=0, repeated=2, unmatched=0)
    assert rows(served)["a-0"].outcome == 1
    keep(served, [Outcome(prediction_id="a-0", outcome=0, observed_at=NOW)], NOW)
    assert rows(served)["a-0"].outcome == 0


def test_the_callers_own_id_names_a_prediction(served: Engine) -> None:
    assert keep(served, [Outcome(model="credit", id="mine", outcome="good")], NOW).unmatched == 0
    assert rows(served)["a-0"].outcome == "good"


def test_an_outcome_may_come_before_its_prediction_is_in_the_database(tmp_path: Path, engine: Engine) -> None:
    assert keep(engine, [Outcome(prediction_id="late-0", outcome=True)], NOW).unmatched == 1
    segment = SegmentWriter(tmp_path / "spool", segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append(
        [
            PredictionRecord(
                request_id="late",
                served_at=NOW.timestamp(),
                model="credit",
                model_version="1",
                variant="champion",
                epoch=1,
                rollout_id=None,
                protocol="predict",
                latency_us=1,
                positions=[0],
                predictions=[1],
                scores=None,
                features=[{}],
            )
        ]
    )
    Shipper(tmp_path / "spool", engine).ship()
    assert rows(engine)["late-0"].outcome is True


def test_a_window_leaves_out_pinned_rows_and_can_be_narrowed(served: Engine) -> None:
    assert set(rows(served)) == {"a-0", "a-1", "b-0", "b-1"}
    assert set(rows(served, variant="challenger")) == {"b-0", "b-1"}
    assert set(rows(served, model_version="1")) == {"a-0", "a-1"}
    assert rows(served)["a-0"].protected == {"sex": "f"}
    assert rows(served)["a-1"].protected == {"sex": None}
    assert rows(served)["b-0"].protected == {}


def test_protected_attributes_may_come_with_the_outcome(served: Engine) -> None:
    keep(served, [Outcome(prediction_id="b-0", outcome=1, protected={"sex": "m"})], NOW)
    assert rows(served)["b-0"].protected == {"sex": "m"}


@pytest.mark.parametrize(
    "body",
    [
        {"outcome": 1},
        {"prediction_id": "a-0"},
        {"prediction_id": "a-0", "model": "m", "id": "x", "outcome": 1},
        {"model": "m", "outcome": 1},
        {"prediction_id": "a-0", "outcome": [1]},
        {"prediction_id": "a-0", "outcome": 1, "observed_at": "2026-01-01T00:00:00"},
        {"prediction_id": "a-0", "outcome": 1, "colour": "red"},
    ],
)
def test_an_outcome_that_names_no_prediction_or_says_nothing_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Outcome.model_validate(body)
