"""What a model costs without any server: called directly, and through the batch queue, in one event loop.

`python -m loadtests.bench.in_process FOLDER ROWS` prints one JSON object: FOLDER is a stored version, ROWS a JSON
list of feature rows. A process of its own, with one thread for numeric libraries, as a serving worker has.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvloop

from inference.batching import Batcher, BatchingPolicy
from inference.columns import columns_from_rows
from inference.cost import measure
from inference.loading import load_model
from inference.observer import SilentObserver
from inference.runtime import Columns
from inference.served_model import ServedModel
from loadtests.bench.contenders import ONE_THREAD

ROUNDS, CALLS = 30, 200


def runtime_costs(folder: Path, features: Sequence[Mapping[str, Any]], scratch: Path) -> dict[str, Any]:
    """Return what a version's calls cost, measured in a process of its own.

    `seconds` is the median of one call with all rows, with 32 and with one, by number of rows; `direct` and
    `batched` are the medians of a one-row call in an event loop, directly and through the batch queue, in seconds.
    """
    rows = scratch / "rows.json"
    rows.write_text(json.dumps(list(features)), encoding="utf-8")
    command = [sys.executable, "-m", "loadtests.bench.in_process", str(folder), str(rows)]
    done = subprocess.run(  # noqa: S603 - our own command
        command, env={**os.environ, **ONE_THREAD}, capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def call_seconds(model: ServedModel, columns: Columns, rows: int, *, total: float = 1.0) -> float:
    """Return the median seconds of one call with the first `rows` rows, called for about `total` seconds."""
    first = {name: values[:rows] for name, values in columns.items()}
    model.predict(first, rows)
    taken: list[float] = []
    stop = time.perf_counter() + total
    while len(taken) < 3 or (time.perf_counter() < stop and len(taken) < 10_000):
        started = time.perf_counter()
        model.predict(first, rows)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


async def added_by_batching(model: ServedModel, columns: Columns) -> tuple[float, float]:
    """Return the median seconds of a one-row call, direct and through a batch queue, measured in turns."""
    one = {name: values[:1] for name, values in columns.items()}
    direct: list[float] = []
    batched: list[float] = []
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(
            model,
            name="bench",
            version="1",
            policy=BatchingPolicy(),
            cost=measure(model, one),
            executor=executor,
            observer=SilentObserver(),
        )
        for _ in range(ROUNDS):
            for _ in range(CALLS):
                started = time.perf_counter()
                model.predict(one, 1)
                direct.append(time.perf_counter() - started)
            for _ in range(CALLS):
                started = time.perf_counter()
                await batcher.predict(one, 1)
                batched.append(time.perf_counter() - started)
    return statistics.median(direct), statistics.median(batched)


def main() -> None:
    """Read the arguments, measure, and print the result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=Path)
    options = parser.parse_args()
    model = load_model(options.folder / "fairmind")
    features = json.loads(options.rows.read_text(encoding="utf-8"))
    columns = columns_from_rows(features, model.signature)
    sizes = sorted({1, min(32, len(features)), len(features)})
    seconds = {str(rows): call_seconds(model, columns, rows) for rows in sizes}
    direct, batched = uvloop.run(added_by_batching(model, columns))
    json.dump({"seconds": seconds, "direct": direct, "batched": batched}, sys.stdout)


if __name__ == "__main__":
    main()
