"""What drift costs: `python cost.py FOLDER ROUNDS` prints a JSON object of CPU seconds and of what was found.

Run in the project's own environment, as a process with one thread: load tests themselves know the service by its
network only. `report` is counts and comparison of a table that is in memory; `profile` is what a registration does
once.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

from monitoring.cells import column_profile
from monitoring.drift import drift_of
from monitoring.drift_policy import DriftVerdict
from monitoring.profile import ReferenceProfile


def main() -> None:
    """Measure, and print."""
    folder, rounds = Path(sys.argv[1]), int(sys.argv[2])
    reference = pq.read_table(folder / "reference.parquet", use_threads=False)
    current = pq.read_table(folder / "current.parquet", use_threads=False)
    started = time.process_time()
    profile = ReferenceProfile(
        source="registered",
        feature_rows=reference.num_rows,
        scored_rows=0,
        features={name: column_profile(reference.column(name)) for name in reference.column_names},
    )
    seconds: dict[str, list[float]] = {"profile": [time.process_time() - started], "report": []}
    for _ in range(rounds):
        started = time.process_time()
        report = drift_of(profile, current)
        seconds["report"].append(time.process_time() - started)
    drifted = [one.name for one in report.features if one.shape.verdict is DriftVerdict.DRIFT]
    sizes = {one.name: one.shape.psi for one in report.features}
    json.dump({"seconds": seconds, "drifted": drifted, "psi": sizes}, sys.stdout)


if __name__ == "__main__":
    main()
