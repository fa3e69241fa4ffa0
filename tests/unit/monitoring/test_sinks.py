"""A sink is told of each record once, in the transaction that stores it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, func, select

from database.engine import reading
from monitoring.predictions import SegmentWriter
from monitoring.rows import Rows
from monitoring.shipper import Shipper
from monitoring.tables import PREDICTION
from tests.unit.monitoring.test_shipper import record


class Told:
    """Remembers the ids it was told of, and refuses when it is asked to."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.refuses = False

    def shipped(self, connection: Connection, records: Sequence[Rows]) -> None:
        if self.refuses:
            raise ConnectionError("not now")
        self.ids += [row[0] for record in records for row in record.predictions]


def test_a_record_that_a_sink_could_not_take_is_not_in_the_log_and_comes_again(
    tmp_path: Path, engine: Engine
) -> None:
    segment = SegmentWriter(tmp_path, segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append([record("a", rows=2)])
    segment.append([record("b")])
    sink = Told()
    shipper = Shipper(tmp_path, engine, [sink])
    sink.refuses = True
    with pytest.raises(ConnectionError):
        shipper.ship()
    with reading(engine) as connection:
        assert connection.execute(select(func.count()).select_from(PREDICTION)).scalar_one() == 0
    sink.refuses = False
    assert shipper.ship().rows == 3
    assert shipper.ship().rows == 0
    assert sink.ids == ["a-0", "a-1", "b-0"]
