"""Whoever dies, and however many work at once: each record is inserted, archived and shown to sinks once."""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from database.engine import reading
from monitoring.predictions import SegmentWriter
from monitoring.rows import Line, decode
from monitoring.shipper import Shipper
from monitoring.tables import SEGMENT
from tests.fakes.databases import migrated_engine
from tests.unit.monitoring.log_home import LogHome, seen

WATCHED = (
    "monitoring/shipper.py",
    "monitoring/archive.py",
    "monitoring/feature_store.py",
    "monitoring/log_insert.py",
)


class Killed(BaseException):
    """What nobody catches."""


def killed_at(line: int, work: Callable[[], object], watched: tuple[str, ...] = WATCHED) -> bool:
    """Do work that ends at the n-th line that it runs in the modules watched; return whether it was ended."""
    lines = itertools.count()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith(watched):
            return None
        if event == "line" and next(lines) == line:
            raise Killed
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except Killed:
        return True
    finally:
        sys.settrace(before)
    return False


def assert_once(home: LogHome, names: list[str]) -> None:
    expected = dict.fromkeys(names, 1)
    assert home.ids() == home.archived_ids() == expected
    assert seen(home.engine, "shipped") == seen(home.engine, "archived") == expected
    assert [path for path in home.spool.iterdir() if path.suffix != ".tmp"] == []
    with reading(home.engine) as connection:
        assert connection.execute(select(SEGMENT)).all() == []


@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")  # open files
@pytest.mark.parametrize("work", ["ship", "archive"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(deaths=st.lists(st.integers(0, 160), min_size=1, max_size=4))
def test_killed_at_any_line_nothing_is_lost_and_nothing_comes_twice(
    new_record: Any, work: str, deaths: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = LogHome(Path(folder), migrated_engine(Path(folder) / "log.db", "log"))
        home.write(*([new_record(f"r{i}", model_version=str(i % 2))] for i in range(6)), segment_bytes=700)
        if work == "archive":
            home.ship()
        for line in deaths:
            killed_at(line, home.ship if work == "ship" else home.archive)
        home.settle()
        assert_once(home, [f"r{i}-0" for i in range(6)])
        home.engine.dispose()


def test_shippers_and_archives_that_race_show_each_record_once(
    tmp_path: Path, engine: Engine, new_record: Any
) -> None:
    home = LogHome(tmp_path, engine)
    names = [f"r{i}" for i in range(60)]
    home.write(*([new_record(name)] for name in names), segment_bytes=1_500)
    errors: list[BaseException] = []

    def race() -> None:
        try:
            for _ in range(3):
                home.settle()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=race) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    home.settle()
    assert_once(home, [f"{name}-0" for name in names])


def test_a_shipper_that_slept_while_others_were_done_with_its_segment_ships_nothing_again(
    tmp_path: Path, engine: Engine, new_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = LogHome(tmp_path, engine)
    writer = SegmentWriter(home.spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    writer.append([new_record("a")])
    slow = Shipper(home.spool, engine, [home.sink], archives=True)

    def decode_late(line: bytes) -> Line:
        monkeypatch.undo()
        writer.close()
        home.settle()
        assert home.archived_ids() == {"a-0": 1}
        return decode(line)

    monkeypatch.setattr("monitoring.shipper.decode", decode_late)
    assert slow.ship().rows == 0
    assert_once(home, ["a-0"])


def test_a_database_that_was_set_back_gets_again_what_it_lacks(
    tmp_path: Path, engine: Engine, new_record: Any
) -> None:
    home = LogHome(tmp_path, engine)
    writer = SegmentWriter(home.spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    writer.append([new_record("a")])
    shipper = Shipper(home.spool, engine, [home.sink], archives=True)
    shipper.ship()
    with engine.begin() as connection:
        for table in ("prediction", "segment", "seen"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    writer.close()
    shipper.ship()
    shipper.ship()
    home.settle()
    assert_once(home, ["a-0"])
