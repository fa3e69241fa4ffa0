"""A log with its shipper and the sink of evidence, lines to write into it, and what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from database.engine import reading
from monitoring.exposure_records import COMPARED
from monitoring.outcomes import Outcome, keep
from monitoring.predictions import PredictionRecord, SegmentWriter
from monitoring.rows import Rows
from monitoring.shadow_records import SHADOW_COLUMNS
from monitoring.shipper import Shipper
from monitoring.window_sink import WindowSink
from rollout.evidence import CellKey, Evidence, UnitCount, UnitKey
from rollout.evidence_sink import EvidenceSink
from rollout.evidence_store import read_evidence
from rollout.maturity import mature
from rollout.plan import Plan
from tests.fakes.exposures import Exposing

ROLLOUT = "r-1"
SERVED = datetime(2026, 11, 1, tzinfo=UTC)
MATURITY = timedelta(days=1)
STEPS = {1: 0, 2: 1, 3: 1}
LABELLED = (
    {"metric": "accuracy", "margin": 0.02},
    {"metric": "eodds_diff", "margin": 0.05, "attribute": "sex"},
)
FAST = (
    {"metric": "error_rate", "margin": 0.01},
    {"metric": "dp_diff", "margin": 0.05, "attribute": "sex"},
)


def plan(*guardrails: dict[str, Any], **changes: Any) -> Plan:
    content = {
        "model": "credit",
        "steps": [{"weight": 0.1}, {"weight": 0.5}],
        "guardrails": list(guardrails or (*FAST, *LABELLED)),
        "label_maturity": MATURITY.total_seconds(),
    }
    return Plan.parse(content | changes)


def begun(request_id: str, unit: str | None = "u", arm: str = "control", **changes: Any) -> Exposing:
    values: dict[str, Any] = {
        "request_id": request_id,
        "served_at": SERVED.timestamp(),
        "model": "credit",
        "model_version": "2" if arm == "challenger" else "1",
        "variant": "challenger" if arm == "challenger" else "champion",
        "epoch": 1,
        "rollout_id": ROLLOUT,
        "positions": [0],
        "unit_hashes": [unit],
        "cohorts": [arm],
        "protected": [{"sex": "f"}],
    }
    return Exposing(**values | changes)


def answered(begin: Exposing, prediction: Any = 1, score: float = 0.75, **changes: Any) -> PredictionRecord:
    same = ("request_id", "served_at", "model", "model_version", "variant", "epoch", "rollout_id")
    rows = len(begin.positions)
    values = {name: getattr(begin, name) for name in (*same, "positions", "unit_hashes", "cohorts")}
    values |= {"protocol": "predict", "predictions": [prediction] * rows, "scores": [score] * rows}
    values |= {"latency_us": 250, "features": [{}] * rows}
    return PredictionRecord(**values | {"protected": begin.protected} | changes)


def failed(begin: Exposing, status: str = "error") -> Exposing:
    return Exposing(**vars(begin) | {"status": status, "latency_us": 9, "protected": None})


def pair(prediction_id: str, unit: str | None = "u", **changes: Any) -> Rows:
    values: dict[str, Any] = dict.fromkeys(SHADOW_COLUMNS)
    values |= {"prediction_id": prediction_id, "rollout_id": ROLLOUT, "epoch": 1, "model": "credit"}
    values |= {"challenger_version": "2", "unit_hash": unit, "served_at": SERVED, "status": "ok"}
    values |= {"champion_prediction": 1, "challenger_prediction": 0}
    values |= {"champion_score": 0.75, "challenger_score": 0.25}
    values |= {"champion_latency_us": 250, "challenger_latency_us": 300}
    return Rows([], [], shadows=[tuple((values | changes).values())])


class EvidenceHome:
    """Everything of one log in a folder, and one rollout with a plan."""

    def __init__(self, folder: Path, engine: Engine, followed: Plan | None = None) -> None:
        self.engine, self.spool = engine, folder / "spool"
        self.plan = plan() if followed is None else followed
        self.sink = EvidenceSink(engine, self.plan_of)

    def plan_of(self, rollout_id: str) -> Plan | None:
        return self.plan if rollout_id == ROLLOUT else None

    def write(self, *lines: Exposing | PredictionRecord) -> None:
        segment = SegmentWriter(self.spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
        for line in lines:
            if isinstance(line, Exposing):
                if compared := [row for row, of in zip(line.rows(), line.cohorts, strict=True) if of in COMPARED]:
                    segment.expose(compared)
            else:
                segment.append([line])
        segment.close()

    def ship(self, *lines: Exposing | PredictionRecord) -> None:
        self.write(*lines)
        Shipper(self.spool, self.engine, [WindowSink(), self.sink]).ship()

    def show(self, *records: Rows) -> None:
        with self.engine.begin() as connection:
            self.sink.shipped(connection, records)

    def tell(self, prediction_id: str, outcome: Any, received_at: datetime = SERVED) -> None:
        keep(self.engine, [Outcome(prediction_id=prediction_id, outcome=outcome)], received_at)

    def mature(self, at: datetime = SERVED + MATURITY) -> int:
        return mature(self.engine, ROLLOUT, self.plan, at)

    def evidence(self) -> Evidence:
        with reading(self.engine) as connection:
            return read_evidence(connection, self.plan, ROLLOUT, STEPS)

    def cells(self, guardrail: str) -> dict[tuple[int, str, str, str], tuple[int, float]]:
        return {tuple(key): cell[:2] for key, cell in self.evidence().cells[guardrail].items()}

    def units(self, arm: str = "control", attribute: str = "", group: str = "", step: int = 0) -> UnitCount:
        return self.evidence().units.get(UnitKey(step, arm, attribute, group), UnitCount())


def key(step: int, arm: str, part: str = "", group: str = "") -> CellKey:
    return CellKey(step, arm, part, group)


def lines_of(begin: Exposing, end: str, prediction: Any) -> Sequence[Exposing | PredictionRecord]:
    """Return the lines of a request that ended that way; '' is one whose worker died."""
    if not end:
        return [begin]
    return [begin, answered(begin, prediction) if end == "ok" else failed(begin, end)]
