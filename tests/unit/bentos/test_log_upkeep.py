"""The Companion keeps the log: features are archived once workers close their segments, what is too old goes."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from bentos.companion import Companion
from bentos.readiness import readiness
from bentos.worker import Worker
from database.engine import reading
from monitoring.exposition import StateMetrics
from monitoring.feature_store import feature_tables
from monitoring.shipped_state import ShippedState, read_shipped_state, write_shipped_state
from monitoring.tables import PREDICTION, SEGMENT
from tests.unit.bentos.test_companion import spool
from tests.unit.monitoring.test_shipper import record
from tests.waiting import until

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def archived(companion: Companion) -> list[str]:
    tables = feature_tables(
        companion.log, companion.home.features, "credit", since=LONG_AGO, until=datetime.now(UTC)
    )
    return [name for table in tables for name in table.column("fairmind.prediction_id").to_pylist()]


def with_features(companion: Companion, name: str) -> None:
    from monitoring.predictions import SegmentWriter

    segment = SegmentWriter(companion.home.spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append([record(name)])
    segment.close()


def test_a_closed_segment_becomes_a_file_of_features(companion: Companion) -> None:
    companion.start()
    with_features(companion, "a")
    until(lambda: archived(companion) == ["a-0"])
    until(lambda: list(companion.home.spool.iterdir()) == [])
    with reading(companion.log) as connection:
        assert connection.execute(select(SEGMENT)).all() == []
    assert read_shipped_state(companion.home.shipped).at > 0
    assert companion.problems == {}


def test_the_last_features_are_archived_before_the_companion_stops(companion: Companion) -> None:
    companion.settings.monitoring.ship_seconds = 300
    companion.start()
    until(lambda: companion._lock is not None and companion._threads[0].is_alive())
    time.sleep(0.05)
    with_features(companion, "last")
    companion.stop()
    assert archived(companion) == ["last-0"]


def test_what_is_too_old_is_deleted_by_a_loop(new_companion: Any) -> None:
    companion = new_companion()
    companion.settings.monitoring.retention_days = 1.0
    from bentos.log_upkeep import LogUpkeep
    from monitoring.identifiers import uuid7

    upkeep = LogUpkeep(companion.settings, companion.home, companion.log)
    spool(companion, uuid7(1_000, "0" * 19))
    companion._ship()
    upkeep.loops["retention"][0]()
    upkeep.loops["retention"][0]()
    upkeep.loops["features"][0]()
    with reading(companion.log) as connection:
        assert connection.execute(select(PREDICTION)).all() == []


def test_the_gauges_say_what_waits(companion: Companion, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateMetrics()
    companion.start()
    until(lambda: companion._lock is not None)
    with monkeypatch.context() as patched:
        patched.setattr(companion._shipper, "_ship_segments", lambda: None)
        with_features(companion, "waits")
        size = sum(path.stat().st_size for path in companion.home.spool.iterdir())
        until(lambda: companion._shipper.waiting_rows == 1)
        companion._set_gauges(state)
    value = state.registry.get_sample_value
    assert value("fairmind_prediction_log_spool_bytes") == size
    assert value("fairmind_prediction_log_unshipped_rows") == 1
    assert value("fairmind_prediction_log_spool_limit_bytes") == companion.settings.monitoring.spool_bytes


def test_readiness_says_what_waits_and_warns_before_the_spool_is_full(
    service: Any, credit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.serve(credit)
    monkeypatch.setattr("monitoring.predictions._SIZE_CHECK_EVERY", -1)

    async def scenario(client: httpx.AsyncClient, worker: Worker) -> None:
        worker.log._shipped = tmp_path / "shipped.json"
        write_shipped_state(tmp_path / "shipped.json", ShippedState({}, 7, 60.0))
        limit = worker.monitoring.spool_bytes = 10_000
        (service.home / "spool" / "1.jsonl").write_bytes(b"x" * 7_999)
        ready, said = readiness(worker)
        assert said["prediction_log"] == {
            "waiting_bytes": 7_999,
            "waiting_rows": 7,
            "counted_at": "1970-01-01T00:01:00+00:00",
            "limit_bytes": limit,
        }
        assert said["problems"] == {}
        (service.home / "spool" / "1.jsonl").write_bytes(b"x" * 8_000)
        ready, said = readiness(worker)
        assert ready
        assert "80% full" in said["problems"]["prediction_log"]

    service.run(scenario)
