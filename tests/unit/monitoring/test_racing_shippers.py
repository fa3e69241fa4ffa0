"""Shippers in several processes on one spool, and clocks that step back: every row is in the database once."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from database.engine import reading
from monitoring import predictions
from monitoring.predictions import SegmentWriter
from monitoring.shipper import Shipper
from monitoring.tables import PREDICTION
from tests.unit.monitoring.test_shipper import record
from tests.waiting import PATIENCE

SHIPPER = """
import pathlib, sys
from sqlalchemy.exc import SQLAlchemyError
from database.engine import server_engine, sqlite_engine
from monitoring.shipper import Shipper
spool, url = pathlib.Path(sys.argv[1]), sys.argv[2]
engine = server_engine(url, "log") if url.startswith("postgresql") else sqlite_engine(pathlib.Path(url))
shipper = Shipper(spool, engine)
print("ready", flush=True)
for line in sys.stdin:  # each line asks for a look
    try:
        shipper.ship()
    except (SQLAlchemyError, FileNotFoundError) as error:
        print(type(error).__name__, flush=True)
    else:
        print("ok", flush=True)
engine.dispose()
"""


@pytest.mark.long
def test_processes_that_ship_one_spool_while_it_is_written_insert_every_row_once(
    tmp_path: Path, engine: Engine
) -> None:
    spool = tmp_path / "spool"
    url = str(engine.url.database) if engine.dialect.name == "sqlite" else str(engine.url)
    command = [sys.executable, "-c", SHIPPER, str(spool), url.replace("***", "")]
    racing = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for process in racing:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        segment = SegmentWriter(spool, segment_bytes=5_000, spool_bytes=10_000_000)
        for number in range(400):
            segment.append([record(f"r{number}", rows=2)])
            if number % 20 == 0:
                for process in racing:
                    assert process.stdin is not None
                    process.stdin.write("look\n")
                    process.stdin.flush()
        segment.close()
        for process in racing:
            said = process.communicate("look\n", timeout=PATIENCE)[0].split()
            assert said[-1] == "ok", said
    finally:
        for process in racing:
            process.kill()
            process.wait()
    Shipper(spool, engine).ship()
    with reading(engine) as connection:
        found = Counter(connection.execute(select(PREDICTION.c.prediction_id)).scalars())
    assert found == Counter(f"r{number}-{row}" for number in range(400) for row in range(2))
    assert [path for path in spool.iterdir() if path.suffix == ".jsonl"] == []


def test_a_clock_that_steps_back_loses_and_repeats_nothing(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = iter(3_600_000_000_000 * hour for hour in (9, 10, 3, 3, 3, 11, 2))
    monkeypatch.setattr(predictions.time, "time_ns", lambda: next(hours))  # three times the very same
    shipper = Shipper(tmp_path, engine)
    shipped = 0
    for number in range(7):
        segment = SegmentWriter(tmp_path, segment_bytes=1_000_000, spool_bytes=10_000_000)
        later = record(f"r{number}")
        later.served_at = 1_700_000_000.0 - 3_600 * number
        segment.append([later])
        if number % 2:
            shipped += shipper.ship().rows
        segment.close()
    assert shipped + shipper.ship().rows == 7
    assert shipper.ship() == shipper.ship()
    with reading(engine) as connection:
        found = connection.execute(select(PREDICTION.c.request_id).order_by(PREDICTION.c.served_at)).scalars().all()
    assert found == [f"r{number}" for number in reversed(range(7))]
