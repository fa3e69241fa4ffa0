"""The worker's side of the log: a disk that refuses tears nothing, and no shipper takes a segment away unseen."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Engine, select

from database.engine import reading
from monitoring.errors import LogUnavailableError, SpoolFullError
from monitoring.predictions import UNLOCKED_SUFFIX, SegmentWriter
from monitoring.settings import MonitoringSettings
from monitoring.shipper import Shipper
from monitoring.tables import PREDICTION

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullDisk:
    """`os` as a disk behaves that has room for some bytes, or that cannot even be cut."""

    def __init__(self, room: int, *, can_truncate: bool = True) -> None:
        self.room, self.can_truncate = room, can_truncate

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, file: int, data: bytes) -> int:
        if not self.room:
            raise FULL
        written = os.write(file, data[: self.room])
        self.room -= written
        return written

    def ftruncate(self, file: int, size: int) -> None:
        if not self.can_truncate:
            raise FULL
        os.ftruncate(file, size)


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def segment(spool: Path) -> SegmentWriter:
    return SegmentWriter(spool, segment_bytes=1_000_000, spool_bytes=10_000_000)


def shipped(spool: Path, engine: Engine) -> list[str]:
    assert Shipper(spool, engine).ship().quarantined == 0
    with reading(engine) as connection:
        return sorted(connection.execute(select(PREDICTION.c.request_id)).scalars())


@pytest.mark.parametrize("can_truncate", [True, False])
@pytest.mark.parametrize("room", [0, 1, 100])
def test_a_full_disk_leaves_no_torn_line_to_continue(
    spool: Path,
    engine: Engine,
    segment: SegmentWriter,
    new_record: Any,
    monkeypatch: pytest.MonkeyPatch,
    room: int,
    can_truncate: bool,
) -> None:
    segment.append([new_record("a")])
    with monkeypatch.context() as patch:
        patch.setattr("monitoring.predictions.os", FullDisk(room, can_truncate=can_truncate))
        with pytest.raises(LogUnavailableError, match="No space left on device"):
            segment.append([new_record("lost")])
    segment.append([new_record("b")])
    assert shipped(spool, engine) == ["a", "b"]


def test_of_several_records_whole_ones_stay_since_they_may_be_shipped_already(
    spool: Path, engine: Engine, segment: SegmentWriter, new_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment.append([new_record("a")])
    shipper = Shipper(spool, engine)
    size = segment.waiting_bytes()

    class Disk(FullDisk):
        def write(self, file: int, data: bytes) -> int:
            if not self.room:
                shipper.ship()  # it comes when the first record is there and the second one torn
            return super().write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr("monitoring.predictions.os", Disk(size + 20))
        with pytest.raises(LogUnavailableError):
            segment.append([new_record("b"), new_record("c")])
    segment.append([new_record("d")])
    assert shipper.ship().quarantined == 0
    assert shipped(spool, engine) == ["a", "b", "d"]


def test_a_spool_that_is_gone_is_told_and_not_mistaken_for_a_full_one(
    spool: Path, segment: SegmentWriter, new_record: Any
) -> None:
    spool.rmdir()
    with pytest.raises(LogUnavailableError, match="No such file"):
        segment.append([new_record("a")])
    spool.mkdir()
    segment.append([new_record("a")])


def test_a_shipper_that_looks_before_a_new_segment_is_locked_takes_nothing_away(
    spool: Path, engine: Engine, segment: SegmentWriter, new_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipper = Shipper(spool, engine)
    looks: list[list[str]] = []
    lock = fcntl.flock

    class Fcntl:
        LOCK_EX = fcntl.LOCK_EX

        @staticmethod
        def flock(file: int, operation: int) -> None:
            if len(looks) < 3:
                looks.append([path.suffix for path in spool.iterdir()])
                shipper.ship()
            lock(file, operation)

    monkeypatch.setattr("monitoring.predictions.fcntl", Fcntl)
    segment.append([new_record("a")])
    shipper.ship()
    segment.append([new_record("b")])
    assert looks == [[UNLOCKED_SUFFIX]] * 3
    assert shipped(spool, engine) == ["a", "b"]
    assert len(list(spool.iterdir())) == 1


def test_what_dead_workers_left_unlocked_is_removed_and_what_a_live_one_is_making_is_not(
    spool: Path, engine: Engine
) -> None:
    spool.mkdir()
    left, live = spool / f"1{UNLOCKED_SUFFIX}", spool / f"2{UNLOCKED_SUFFIX}"
    left.touch()
    with live.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        Shipper(spool, engine).ship()
        assert list(spool.iterdir()) == [live]


def test_a_spool_smaller_than_a_segment_recovers_once_it_is_shipped(
    spool: Path, engine: Engine, new_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.predictions._SIZE_CHECK_EVERY", 0)
    segment = SegmentWriter(spool, segment_bytes=1_000_000, spool_bytes=1_000)
    shipper = Shipper(spool, engine)
    sent = refused = 0
    for _ in range(20):
        try:
            segment.append([new_record(f"r{sent:02}")])
            sent += 1
        except SpoolFullError:
            refused += 1
            with pytest.raises(SpoolFullError):  # nothing changes by asking again
                segment.append([new_record("too much")])
            shipper.ship()
            assert segment.waiting_bytes() == 0
    assert refused > 2
    assert shipped(spool, engine) == [f"r{i:02}" for i in range(sent)]


def test_a_bound_below_two_segments_is_refused_and_names_both_settings() -> None:
    assert MonitoringSettings(spool_bytes=2_000_000, segment_bytes=1_000_000).segment_bytes == 1_000_000
    with pytest.raises(ValidationError, match=r"MONITORING_SPOOL_BYTES .* FAIRMIND_MONITORING_SEGMENT_BYTES"):
        MonitoringSettings(spool_bytes=1_999_999, segment_bytes=1_000_000)
