"""What waits is known without the database: bytes and rows, and the bound is on that alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from database.engine import sqlite_engine
from monitoring.backlog import Backlog
from monitoring.errors import SpoolFullError
from monitoring.predictions import BULK_ROWS, SHIPPED_SUFFIX, SegmentWriter, encode_record
from monitoring.shipped_state import ShippedState, read_shipped_state, write_shipped_state
from monitoring.shipper import Shipper
from tests.unit.monitoring.test_shipper import record


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8), looks=st.lists(st.integers(0, 8), max_size=5))
def test_rows_that_wait_are_counted_as_segments_grow_and_are_shipped(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], looks: list[int]
) -> None:
    spool = tmp_path_factory.mktemp("spool")
    path = spool / "1.jsonl"
    lines = [encode_record(record(f"r{i}", rows=rows)) for i, rows in enumerate(sizes)]
    ends = [0, *np.cumsum([len(line) for line in lines]).tolist()]
    backlog = Backlog(spool)
    written = 0
    for shipped in sorted(looks):
        written = min(len(lines), max(written, shipped) + 1)
        path.write_bytes(b"".join(lines[:written]) + b'{"torn')
        done = min(shipped, written)
        assert backlog.rows({path.name: ends[done]}) == sum(sizes[done:written])


def test_rows_of_every_form_of_positions_are_counted(tmp_path: Path, new_record: Any) -> None:
    many = BULK_ROWS + 7
    values = {"predictions": [1] * many, "scores": None, "features": []}
    lines = [
        encode_record(new_record("a", positions=range(many), **values)),
        encode_record(new_record("b", positions=list(range(0, 2 * many, 2)), **values)),
        encode_record(new_record("c", positions=(0,))),
    ]
    (tmp_path / "1.jsonl").write_bytes(b"".join(lines))
    assert Backlog(tmp_path).rows({}) == 2 * many + 1


def test_the_bound_counts_what_is_not_shipped_of_an_open_segment(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.predictions._SIZE_CHECK_EVERY", -1)
    spool, told = tmp_path / "spool", tmp_path / "run" / "shipped.json"
    writer = SegmentWriter(spool, segment_bytes=1_000_000, spool_bytes=3_000, shipped=told)
    shipper = Shipper(spool, engine, archives=True, shipped=told)
    for i in range(30):
        writer.append([record(f"r{i}")])
        shipper.ship()
        assert writer.waiting_bytes() == 0
    assert writer.shipped_state().rows == 0
    assert len(list(spool.iterdir())) == 1


def test_while_the_database_is_away_workers_know_how_many_rows_wait(tmp_path: Path) -> None:
    spool, told = tmp_path / "spool", tmp_path / "shipped.json"
    writer = SegmentWriter(spool, segment_bytes=1_000_000, spool_bytes=1_000_000, shipped=told)
    writer.append([record("a", rows=3)])
    shipper = Shipper(spool, sqlite_engine(tmp_path / "not-migrated.db"), shipped=told)
    with pytest.raises(SQLAlchemyError):
        shipper.ship()
    assert (writer.shipped_state().rows, shipper.waiting_rows) == (3, 3)
    assert shipper.waiting().bytes == writer.waiting_bytes() > 0


def test_features_that_cannot_be_archived_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitoring.predictions._SIZE_CHECK_EVERY", -1)
    writer = SegmentWriter(tmp_path, segment_bytes=1_000_000, spool_bytes=1_000)
    (tmp_path / f"1{SHIPPED_SUFFIX}").write_bytes(b"x" * 1_001)
    with pytest.raises(SpoolFullError, match="files of features"):
        writer.append([record("a")])


def test_a_segment_is_closed_at_its_age_also_when_nothing_comes(
    tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("monitoring.predictions.time.monotonic", lambda: now[0])
    spool = tmp_path / "spool"
    writer = SegmentWriter(spool, segment_bytes=1_000_000, spool_bytes=10_000_000, segment_seconds=60)
    writer.close_if_old()
    writer.append([record("a")])
    now[0] += 59
    writer.close_if_old()
    Shipper(spool, engine, archives=True).ship()
    assert [path.suffix for path in spool.iterdir()] == [".jsonl"]
    now[0] += 1
    writer.close_if_old()
    Shipper(spool, engine, archives=True).ship()
    assert [path.suffix for path in spool.iterdir()] == [".shipped"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"colour": 1}'])
def test_a_state_that_cannot_be_read_says_that_nothing_is_shipped(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "shipped.json"
    if content is not None:
        path.write_bytes(content)
    assert read_shipped_state(path) == read_shipped_state(None) == ShippedState()
    write_shipped_state(path, ShippedState({"a": 1}, 2, 3.0))
    assert read_shipped_state(path) == ShippedState({"a": 1}, 2, 3.0)
