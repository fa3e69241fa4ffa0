"""What a rollout's evidence costs: `python evidence.py FOLDER EXPOSURES ROUNDS` prints JSON.

Counts are written as that many exposures of a ramp in four steps leave them: two arms, a protected attribute of
nine groups and six guardrails; then they are read as each evaluation reads them, and judged. The units themselves
are not made: no evaluation looks at them. Beside that, batches of the log are shown to the sink that counts: rows
of a model that is not split, of units that are new, and of units that were seen before. Run in the project's own
environment, as a process with one thread: load tests themselves know the service by its network only.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from sqlalchemy import Engine, insert

from database.engine import reading, sqlite_engine
from database.migrate import upgrade
from monitoring.exposure_records import ExposedRow, encode_exposures
from monitoring.predictions import PredictionRecord, encode_record
from monitoring.rows import Rows, decode
from rollout.evaluating import evaluate
from rollout.evidence import Evidence
from rollout.evidence_sink import EvidenceSink
from rollout.evidence_store import read_evidence
from rollout.evidence_tables import ROLLOUT_CELL, ROLLOUT_COUNT, ROLLOUT_WATERMARK
from rollout.guardrail import Guardrail
from rollout.plan import Plan

ROLLOUT = "r-1"
NOW = datetime(2026, 1, 31, 12, 3, tzinfo=UTC)
EPOCHS = range(10, 14)
ARMS = ("challenger", "control")
GROUPS = [str(race) for race in range(1, 10)]
BATCH = 2_000
PLAN = Plan.parse(
    {
        "model": "employment",
        "steps": [{"weight": weight} for weight in (0.01, 0.05, 0.25, 0.5)],
        "guardrails": [
            {"metric": "error_rate", "margin": 0.002},
            {"metric": "latency_slo", "margin": 0.01, "slo_ms": 20},
            {"metric": "selection_rate", "margin": 0.02},
            {"metric": "dp_diff", "margin": 0.05, "attribute": "RAC1P"},
            {"metric": "accuracy", "margin": 0.01},
            {"metric": "eodds_diff", "margin": 0.05, "attribute": "RAC1P"},
        ],
    }
)


def main() -> None:
    """Fill the tables, read them, show the sink its rows, and print what it took."""
    folder, exposures, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    engine = sqlite_engine(folder / "predictions.db")
    upgrade(engine, "log", folder / "migrate.lock")
    cells = fill(engine, exposures)
    found = read(engine)
    judged = evaluate(PLAN, len(EPOCHS) - 1, found, NOW).judgements
    read_seconds, look_seconds = [], []
    for _ in range(rounds):
        read_seconds.append(timed(partial(read, engine)))
        look_seconds.append(timed(partial(look, engine)))
    sink = EvidenceSink(engine, lambda rollout_id: PLAN if rollout_id == "sink" else None)
    cost: dict[str, list[float]] = {"unsplit": [], "new": [], "known": []}
    for number in range(rounds):
        for kind, each in cost.items():
            rows = batch(kind, number)
            with engine.begin() as connection:
                each.append(timed(partial(sink.shipped, connection, rows)) / BATCH)
    told = {
        "counted": sum(count.assigned for key, count in found.units.items() if not key.attribute),
        "cells": cells,
        "verdicts": {one.guardrail: one.verdict for one in judged},
        "read_seconds": read_seconds,
        "look_seconds": look_seconds,
        "row_seconds": cost,
    }
    json.dump(told, sys.stdout)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def read(engine: Engine) -> Evidence:
    """Read a rollout's evidence as an evaluation does."""
    with reading(engine) as connection:
        return read_evidence(connection, PLAN, ROLLOUT, {epoch: step for step, epoch in enumerate(EPOCHS)})


def look(engine: Engine) -> None:
    """Read a rollout's evidence and judge all guardrails by it, as the controller does each time it looks."""
    evaluate(PLAN, len(EPOCHS) - 1, read(engine), NOW)


def fill(engine: Engine, exposures: int) -> int:
    """Write the counts of drawn exposures; return the rows of the table of cells."""
    generator = np.random.default_rng(0)
    shares = np.full(len(EPOCHS) * len(ARMS) * len(GROUPS), 1 / (len(EPOCHS) * len(ARMS) * len(GROUPS)))
    drawn = iter(generator.multinomial(exposures, shares).tolist())
    cells: dict[tuple[str, int, str, str, str], list[float]] = {}
    counts: dict[tuple[int, str, str, str], int] = {}
    for epoch in EPOCHS:
        for arm in ARMS:
            for group in GROUPS:
                n = next(drawn)
                for attribute, of in (("", ""), ("RAC1P", group)):
                    counts[epoch, arm, attribute, of] = counts.get((epoch, arm, attribute, of), 0) + n
                for guardrail in PLAN.guardrails:
                    for part in parts(guardrail):
                        yes = int(generator.binomial(n, 0.3))
                        where = guardrail.name, epoch, arm, part, group if guardrail.attribute else ""
                        sums = cells.setdefault(where, [0, 0.0])
                        sums[0] += n
                        sums[1] += yes
    cell_rows = [
        dict(zip(("guardrail", "epoch", "arm", "part", "group"), where, strict=True))
        | {"rollout_id": ROLLOUT, "n": n, "total": total, "squares": total}
        for where, (n, total) in cells.items()
    ]
    count_rows = [
        dict(zip(("epoch", "arm", "attribute", "group"), where, strict=True))
        | {"rollout_id": ROLLOUT, "assigned": n, "completed": n, "due": n, "labelled": n, "crossed": 0}
        for where, n in counts.items()
    ]
    with engine.begin() as connection:
        connection.execute(insert(ROLLOUT_CELL), cell_rows)
        connection.execute(insert(ROLLOUT_COUNT), count_rows)
        connection.execute(insert(ROLLOUT_WATERMARK), {"rollout_id": ROLLOUT, "served_at": NOW})
    return len(cell_rows)


def parts(guardrail: Guardrail) -> tuple[str, ...]:
    """Return the parts that a guardrail's observations have here."""
    return ("tpr", "fpr") if guardrail.metric == "eodds_diff" else ("",)


def batch(kind: str, number: int) -> list[Rows]:
    """Return the rows of requests with one row each: exposed, then answered."""
    lines = []
    for row in range(BATCH):
        unit = f"{row:032x}" if kind == "known" else f"{kind}-{number}-{row:024x}"
        record = PredictionRecord(
            request_id=f"{kind}-{number}-{row}",
            served_at=NOW.timestamp(),
            model=PLAN.model,
            model_version="2",
            variant="champion",
            epoch=10,
            rollout_id=None if kind == "unsplit" else "sink",
            protocol="predict",
            latency_us=900,
            positions=[0],
            predictions=[row % 2],
            scores=[0.5],
            features=[],
            unit_hashes=[unit],
            cohorts=None if kind == "unsplit" else [ARMS[row % 2]],
            protected=[{"RAC1P": GROUPS[row % len(GROUPS)]}],
        )
        if record.cohorts is not None:
            lines.append(encode_exposures([exposed(record, unit, row)]))
        lines.append(encode_record(record))
    return [rows for line in lines if (rows := decode(line).rows) is not None]


def exposed(of: PredictionRecord, unit: str, row: int) -> ExposedRow:
    """Return what was logged of a request before its answer."""
    begun = of.rollout_id, of.epoch, ARMS[row % 2], of.variant, of.model, of.model_version, unit, of.served_at
    return f"{of.request_id}-0", *begun, None, None, {"RAC1P": GROUPS[row % len(GROUPS)]}


if __name__ == "__main__":
    main()
