"""Requests that the signature refuses are in the database once: of all workers, after restarts, and per hour."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from monitoring.archive import Archive
from monitoring.drift_report import Refused
from monitoring.drift_traffic import traffic_drift
from monitoring.errors import LogUnavailableError, SpoolFullError
from monitoring.feature_store import FeatureStore
from monitoring.predictions import SegmentWriter
from monitoring.refusal_records import RefusalRecord, RefusedRequests, encode_refusals
from monitoring.refusals import refused_requests
from monitoring.rows import decode
from monitoring.shipper import Shipper
from tests.unit.monitoring.conftest import NewRecord
from tests.unit.monitoring.log_home import LogHome

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hours: float) -> float:
    """Return a time after noon, in seconds since 1970."""
    return (NOON + hours * HOUR).timestamp()


class Log:
    """Remembers records, once it has failed so many times."""

    def __init__(self, fails: int = 0) -> None:
        self.records: list[RefusalRecord] = []
        self._failures = iter([SpoolFullError(1, "the database"), LogUnavailableError("disk full")][:fails])

    def refuse(self, record: RefusalRecord) -> None:
        for failure in self._failures:
            raise failure
        self.records.append(record)


def worker(spool: Path) -> tuple[SegmentWriter, RefusedRequests]:
    log = SegmentWriter(spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    return log, RefusedRequests(log)


def told(engine: Engine, hours: float = 1, model: str = "credit") -> Refused:
    return refused_requests(engine, model, since=NOON, until=NOON + hours * HOUR)


def test_what_several_workers_refuse_adds_up_whoever_ships_it(engine: Engine, tmp_path: Path) -> None:
    for _ in range(2):
        for log, refused in (worker(tmp_path), worker(tmp_path)):
            refused.note("credit", "missing_column", at(0))
            refused.write(at(0))
            refused.note("credit", "missing_column", at(0.9))
            refused.note("credit", "wrong_type", at(0.9))
            refused.note("other", "shape", at(0.9))
            refused.write(at(0.9))
            Shipper(tmp_path, engine).ship()  # while its worker still writes
            log.close()
        Shipper(tmp_path, engine).ship()
        Shipper(tmp_path, engine).ship()
    assert told(engine) == Refused(requests=12, codes={"missing_column": 8, "wrong_type": 4})
    assert told(engine, model="other") == Refused(requests=4, codes={"shape": 4})
    assert told(engine, model="unknown") == Refused(requests=0, codes={})


def test_a_refusal_is_of_its_hour_however_late_it_is_written(engine: Engine, tmp_path: Path) -> None:
    log, refused = worker(tmp_path)
    refused.note("credit", "shape", at(-0.001))
    refused.note("credit", "shape", at(0))
    refused.note("credit", "shape", at(1))
    refused.write(at(5))
    log.close()
    Shipper(tmp_path, engine).ship()
    assert [told(engine, hours).requests for hours in (0, 1, 2, 6)] == [0, 1, 2, 2]


def test_what_the_log_does_not_take_is_written_once_it_does() -> None:
    log = Log(fails=2)
    refused = RefusedRequests(log)
    for _ in range(4):
        refused.note("credit", "shape", at(0))
        refused.write(at(0))
    assert [record.refused for record in log.records] == [[(int(at(0)), "credit", "shape", n)] for n in (3, 1)]


def test_nothing_is_written_where_nothing_was_refused() -> None:
    log = Log()
    RefusedRequests(log).write(at(0))
    assert not log.records


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_refusals_among_predictions_are_no_rows_and_have_no_features(
    engine: Engine, tmp_path: Path, new_record: NewRecord
) -> None:
    home = LogHome(tmp_path, engine)
    log, refused = worker(home.spool)
    refused.note("credit", "shape", at(0))
    refused.write(at(0))
    log.append([new_record("a")])
    shipper = Shipper(home.spool, engine, archives=True)
    assert shipper.oldest_waiting() == at(0)
    log.close()
    assert shipper.ship().rows == 1
    assert Archive(home.spool, engine, FeatureStore(home.features)).work() == 1
    assert (home.ids(), told(engine).requests) == (Counter(["a-0"]), 1)
    assert not list(home.spool.iterdir())


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
def test_a_window_in_which_everything_was_refused_says_so(engine: Engine, tmp_path: Path) -> None:
    log, refused = worker(tmp_path)
    refused.note("credit", "unknown_category", at(0.5))
    refused.write(at(0.5))
    log.close()
    Shipper(tmp_path, engine).ship()
    answer = traffic_drift(engine, "credit", "1", since=NOON, until=NOON + HOUR)
    assert (answer.rows, answer.refused) == (0, Refused(requests=1, codes={"unknown_category": 1}))


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.text(max_size=5), st.sampled_from(["shape", "wrong_type"])), min_size=1
    )
)
def test_a_record_is_read_back_as_it_was_counted(noted: list[tuple[int, str, str]]) -> None:
    log = Log()
    refused = RefusedRequests(log)
    for time, model, code in noted:
        refused.note(model, code, float(time))
    refused.write(0.0)
    (line,) = encode_refusals(log.records[0]).splitlines()
    rows = decode(line).rows
    assert rows is not None
    expected = Counter(
        (model, datetime.fromtimestamp(time // 3600 * 3600, UTC), code) for time, model, code in noted
    )
    assert {tuple(key): requests for *key, requests in rows.refused} == expected
    assert [rows.predictions, rows.protected, list(rows.exposures), rows.block] == [[], [], [], None]


@pytest.mark.parametrize(
    "refused", [None, [1], [["now", "m", "shape", 1]], [[0, "m", "shape", "many"]], [[0, "m"]]]
)
def test_a_damaged_record_is_put_aside(refused: Any) -> None:
    line = orjson.dumps({"request_id": "", "served_at": 0, "kind": "refused", "refused": refused})
    assert decode(line).rows is None
