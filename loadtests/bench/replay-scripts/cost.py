"""What a replay costs: `python cost.py NAME FOLDER` replays what `logged.py` left there and prints JSON.

Run in the project's own environment, as a process of its own, so that its memory is the replay's: load tests
themselves know the service by its network only.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from database.engine import sqlite_engine
from inference.loading import load_model
from monitoring.feature_store import FeatureStore
from registry.versions import ModelVersion
from replay.comparing import Contender
from replay.replaying import run
from replay.window import Window

UNTIL = datetime(2026, 2, 1, tzinfo=UTC)


def main() -> None:
    """Replay, and print what it took."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    against, challenger = (
        Contender(
            ModelVersion(name, number, None, "", frozenset(), {}, UNTIL), load_model(folder / number / "fairmind")
        )
        for number in ("1", "2")
    )
    engine = sqlite_engine(folder / "predictions.db")
    window = Window(engine, FeatureStore(folder / "features"), name, UNTIL - timedelta(days=30), UNTIL)
    started, cpu = time.perf_counter(), time.process_time()
    found = run("rp-1", window, challenger, against, now=UNTIL, maturity=timedelta(days=1))
    json.dump(
        {
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "rows": found.rows.compared,
            "known": found.outcomes.known,
            "differing": found.rows.differing,
            "changed_decisions": sum(one.rows for one in found.changed_decisions if not one.attribute),
            "verdict": str(found.verdict),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
