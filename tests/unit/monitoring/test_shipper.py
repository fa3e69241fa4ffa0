"""The prediction log: every answered prediction is in the database once, whatever dies in between."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from database.engine import reading, sqlite_engine
from monitoring.errors import SpoolFullError
from monitoring.predictions import PredictionRecord, SegmentWriter
from monitoring.shipper import Shipper
from monitoring.tables import PREDICTION, PROTECTED_ATTRIBUTE, SEGMENT


def record(request_id: str, rows: int = 1) -> PredictionRecord:
    return PredictionRecord(
        request_id=request_id,
        served_at=1_700_000_000.5,
        model="credit",
        model_version="2",
        variant="champion",
        epoch=3,
        rollout_id=None,
        protocol="predict",
        latency_us=250,
        positions=list(range(rows)),
        predictions=[1] * rows,
        scores=[0.75] * rows,
        features=[{"age": 40 + i} for i in range(rows)],
        unit_hashes=["u"] * rows,
        protected=[{"sex": "female"}] * rows,
    )


def writer(spool: Path, segment_bytes: int = 1_000_000, spool_bytes: int = 10_000_000) -> SegmentWriter:
    return SegmentWriter(spool, segment_bytes=segment_bytes, spool_bytes=spool_bytes)


def count(engine: Engine) -> int:
    with reading(engine) as connection:
        return connection.execute(select(func.count()).select_from(PREDICTION)).scalar_one()


def test_a_record_arrives_whole(tmp_path: Path, engine: Engine) -> None:
    segment = writer(tmp_path / "spool")
    segment.append([record("a", rows=2)])
    assert Shipper(tmp_path / "spool", engine).ship().rows == 2
    with reading(engine) as connection:
        rows = connection.execute(select(PREDICTION).order_by(PREDICTION.c.prediction_id)).all()
        assert [row.prediction_id for row in rows] == ["a-0", "a-1"]
        assert (rows[0].variant, rows[0].score, rows[0].prediction, rows[0].epoch) == ("champion", 0.75, 1, 3)
        assert rows[0].served_at.timestamp() == 1_700_000_000.5
        assert connection.execute(select(func.count()).select_from(PROTECTED_ATTRIBUTE)).scalar_one() == 2


def test_what_was_shipped_is_not_shipped_again_by_a_new_shipper(tmp_path: Path, engine: Engine) -> None:
    segment = writer(tmp_path / "spool")
    segment.append([record("a")])
    assert Shipper(tmp_path / "spool", engine).ship().rows == 1
    segment.append([record("b")])
    assert Shipper(tmp_path / "spool", engine).ship().rows == 1
    assert count(engine) == 2


def test_segments_rotate_and_closed_ones_are_removed_once_shipped(tmp_path: Path, engine: Engine) -> None:
    segment = writer(tmp_path / "spool", segment_bytes=1_000)
    for i in range(10):
        segment.append([record(f"r{i}")])
    assert len(list((tmp_path / "spool").iterdir())) > 2
    shipper = Shipper(tmp_path / "spool", engine)
    shipper.ship()
    assert count(engine) == 10
    assert len(list((tmp_path / "spool").iterdir())) == 1  # the open one
    segment.close()
    assert shipper.ship().waiting_bytes == 0
    assert list((tmp_path / "spool").iterdir()) == []
    with reading(engine) as connection:
        assert connection.execute(select(SEGMENT)).all() == []


def test_a_full_spool_refuses_and_writes_nothing(tmp_path: Path, engine: Engine) -> None:
    segment = writer(tmp_path / "spool", spool_bytes=2_000)
    written = 0
    while segment.waiting_bytes() < 1_500:
        segment.append([record(f"r{written}")])
        written += 1
    with pytest.raises(SpoolFullError):
        segment.append([record("too much", rows=20)])
    Shipper(tmp_path / "spool", engine).ship()
    assert 0 < written == count(engine)


def test_a_database_that_is_away_loses_nothing(tmp_path: Path, engine: Engine) -> None:
    segment = writer(tmp_path / "spool")
    segment.append([record("a")])
    unmigrated = sqlite_engine(tmp_path / "other.db")
    with pytest.raises(SQLAlchemyError):
        Shipper(tmp_path / "spool", unmigrated).ship()
    assert Shipper(tmp_path / "spool", engine).ship().rows == 1


def test_a_writer_killed_in_the_act_loses_no_answered_record_and_its_torn_line_is_dropped(
    tmp_path: Path, engine: Engine
) -> None:
    spool = tmp_path / "spool"
    code = f"""
import pathlib, sys
from monitoring.predictions import PredictionRecord, SegmentWriter
segment = SegmentWriter(pathlib.Path({str(spool)!r}), segment_bytes=10_000_000, spool_bytes=100_000_000)
i = 0
while True:
    segment.append([PredictionRecord(request_id=f"r{{i}}", served_at=1.0, model="m", model_version="1",
        variant="champion", epoch=1, rollout_id=None, protocol="predict", latency_us=1,
        positions=[0], predictions=[1], scores=[0.5],
        features=[{{"x": 1}}])])
    print(i, flush=True)  # the answer
    i += 1
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    answered = -1
    shipper = Shipper(spool, engine)
    for line in process.stdout:
        answered = int(line)
        if answered == 300:
            shipper.ship()  # while it is being written
        if answered >= 600:
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    process.wait()
    (path,) = spool.iterdir()
    with path.open("ab") as file:
        file.write(b'{"request_id": "torn')
    shipper.ship()
    with reading(engine) as connection:
        found = {row.request_id for row in connection.execute(select(PREDICTION.c.request_id))}
    assert found >= {f"r{i}" for i in range(answered + 1)}
    assert not any("torn" in name for name in found)
    assert list(spool.iterdir()) == []


def test_two_shippers_racing_insert_every_row_once(tmp_path: Path, engine: Engine) -> None:
    segment = writer(tmp_path / "spool", segment_bytes=3_000)
    for i in range(200):
        segment.append([record(f"r{i}")])
    segment.close()
    errors: list[BaseException] = []

    def race() -> None:
        try:
            Shipper(tmp_path / "spool", engine).ship()
        except FileNotFoundError:  # the other one was done with it
            pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Shipper(tmp_path / "spool", engine).ship()
    assert errors == []
    assert count(engine) == 200
    assert list((tmp_path / "spool").iterdir()) == []
