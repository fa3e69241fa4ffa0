"""What cannot be stored is put aside and told, without its values, and everything else arrives."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.exc import OperationalError

from database.engine import reading
from monitoring.archive import Archive
from monitoring.feature_store import FeatureStore, feature_tables
from monitoring.predictions import SegmentWriter
from monitoring.shipper import Shipper
from monitoring.tables import PREDICTION

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
SECRET = "Zaphod-Beeblebrox"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def segment(spool: Path) -> SegmentWriter:
    return SegmentWriter(spool, segment_bytes=1_000_000, spool_bytes=10_000_000)


def stored(engine: Engine) -> list[str]:
    with reading(engine) as connection:
        return sorted(connection.execute(select(PREDICTION.c.request_id)).scalars())


def quarantined(spool: Path) -> list[bytes]:
    return [line for path in sorted((spool / "quarantine").glob("*")) for line in path.read_bytes().splitlines()]


BAD_LINES = {
    "torn": b'{"request_id": "Zaphod-Beeblebrox"{"request_id"',
    "no record": b'{"colour": "Zaphod-Beeblebrox"}',
    "no object": b'["Zaphod-Beeblebrox"]',
    "not UTF-8": b'"Zaphod-Beeblebrox\xff"',
    "empty": b"",
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_a_line_that_is_no_record_is_put_aside_and_what_follows_is_shipped(
    spool: Path,
    engine: Engine,
    segment: SegmentWriter,
    new_record: Any,
    case: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    segment.append([new_record("a")])
    (path,) = spool.iterdir()
    with path.open("ab") as file:
        file.write(BAD_LINES[case] + b"\n")
    segment.append([new_record("b")])
    segment.close()
    shipment = Shipper(spool, engine).ship()
    assert (shipment.rows, shipment.quarantined, shipment.waiting_bytes) == (2, 1, 0)
    assert stored(engine) == ["a", "b"]
    assert quarantined(spool) == [BAD_LINES[case]]
    assert [file.name for file in (spool / "quarantine").iterdir()] == [path.name]
    assert path.name in caplog.text
    assert SECRET not in caplog.text


REFUSED: dict[str, dict[str, Any]] = {
    "no model": {"model": None},
    "a number beyond 64 bits": {"latency_us": 2**63},
    "no predictions at those places": {"predictions": []},
    "no predictions at all": {"predictions": None},
    "more predictions than places": {"predictions": [1, 0]},
    "a group beyond 64 bits": {"protected": [{"sex": 2**63}]},
    "a time that is none": {"served_at": 1e300},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_record_the_database_never_takes_is_put_aside_and_blocks_nothing(
    spool: Path,
    engine: Engine,
    segment: SegmentWriter,
    new_record: Any,
    case: str,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    takes_it = case == "a group beyond 64 bits" and engine.dialect.name == "postgresql"  # as text
    refused = [] if takes_it else ["r00", "r07", "r20"]
    names = [f"r{i:02}" for i in range(21)]
    features = [{"job": SECRET}]
    for name in names:
        changes = REFUSED[case] if name in {"r00", "r07", "r20"} else {}
        segment.append([new_record(name, features=features, **changes)])
    segment.close()
    later = SegmentWriter(spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    later.append([new_record("later")])
    shipment = Shipper(spool, engine, archives=True).ship()
    assert (shipment.rows, shipment.quarantined) == (22 - len(refused), len(refused))
    kept = [name for name in names if name not in refused]
    assert stored(engine) == ["later", *kept]
    assert sorted(orjson.loads(line)["request_id"] for line in quarantined(spool)) == refused
    assert Shipper(spool, engine, archives=True).ship().quarantined == 0
    later.close()
    Shipper(spool, engine, archives=True).ship()
    Archive(spool, engine, FeatureStore(tmp_path / "features")).work()
    archived = feature_tables(engine, tmp_path / "features", "credit", since=LONG_AGO, until=datetime.now(UTC))
    ids = [name for table in archived for name in table.column("fairmind.prediction_id").to_pylist()]
    assert sorted(ids) == [f"{name}-0" for name in ["later", *kept]], "a refused record leaves nothing behind"
    assert SECRET not in caplog.text


class OverALimit(Exception):
    """What psycopg raises for a value too large for an index."""

    sqlstate = "54000"


def test_postgresqls_limits_put_a_record_aside_though_it_calls_them_operational(
    spool: Path, engine: Engine, segment: SegmentWriter, new_record: Any
) -> None:
    def refuse(*arguments: Any) -> None:
        if "too large" in str(arguments[3]):
            raise OperationalError(None, None, OverALimit())

    event.listen(engine, "before_cursor_execute", refuse)
    segment.append([new_record("a")])
    segment.append([new_record("too large")])
    assert Shipper(spool, engine).ship().quarantined == 1
    assert stored(engine) == ["a"]


def test_a_segment_that_cannot_be_read_is_told_and_does_not_block_later_ones(
    spool: Path, engine: Engine, segment: SegmentWriter, new_record: Any
) -> None:
    (spool / "0.jsonl").mkdir()
    segment.append([new_record("a")])
    shipper = Shipper(spool, engine)
    for _ in range(2):
        with pytest.raises(IsADirectoryError):
            shipper.ship()
        assert stored(engine) == ["a"]
    (spool / "0.jsonl").rmdir()
    assert shipper.ship().rows == 1, "what was shipped meanwhile is told once"
    assert shipper.ship().rows == 0


def test_a_database_that_is_away_puts_nothing_aside(
    spool: Path, engine: Engine, segment: SegmentWriter, new_record: Any
) -> None:
    segment.append([new_record("a")])
    shipper = Shipper(spool, engine)

    def refuse(*_arguments: Any) -> None:
        raise OperationalError(None, None, Exception("the server closed the connection"))

    event.listen(engine, "before_cursor_execute", refuse)
    with pytest.raises(OperationalError):
        shipper.ship()
    event.remove(engine, "before_cursor_execute", refuse)
    assert not (spool / "quarantine").exists()
    assert shipper.ship().rows == 1


def test_how_long_the_oldest_record_waits_is_told_also_while_the_database_is_away(
    spool: Path, engine: Engine, segment: SegmentWriter, new_record: Any
) -> None:
    shipper = Shipper(spool, engine)
    assert shipper.oldest_waiting() is None
    segment.append([new_record("a", served_at=1_700_000_000.5)])
    assert shipper.oldest_waiting() == 1_700_000_000.5
    assert shipper.ship().oldest_waiting is None
    other = SegmentWriter(spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    other.append([new_record("b", served_at=1_700_000_030.0)])
    segment.append([new_record("c", served_at=1_700_000_020.0)])

    def refuse(*_arguments: Any) -> None:
        raise OperationalError(None, None, Exception("the server closed the connection"))

    event.listen(engine, "before_cursor_execute", refuse)
    for _ in range(2):
        with pytest.raises(OperationalError):
            shipper.ship()
    assert shipper.oldest_waiting() == 1_700_000_020.0
    event.remove(engine, "before_cursor_execute", refuse)
    assert shipper.ship().oldest_waiting is None
