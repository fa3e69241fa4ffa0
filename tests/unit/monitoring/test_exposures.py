"""Rows in a cohort are in `exposure` once, whether they were answered, failed, or nobody knows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, select

from database.engine import reading
from monitoring.exposure_records import PROTECTED, SERVED_AT, compared_positions, encode_exposures
from monitoring.predictions import PredictionRecord, SegmentWriter, encode_record
from monitoring.rows import Rows, decode
from monitoring.shipper import Shipper
from monitoring.tables import EXPOSURE, PREDICTION, PROTECTED_ATTRIBUTE
from tests.fakes.exposures import Exposing
from tests.unit.monitoring.test_shipper import record

COHORTS = ["challenger", "control", "champion_only", None]


def begun(request_id: str, **changes: Any) -> Exposing:
    values: dict[str, Any] = {
        "request_id": request_id,
        "served_at": 1_700_000_000.0,
        "model": "credit",
        "model_version": "2",
        "variant": "champion",
        "epoch": 3,
        "rollout_id": "r-1",
        "positions": [0],
        "unit_hashes": ["u"],
        "cohorts": ["control"],
        "protected": [{"sex": "female"}],
    }
    return Exposing(**values | changes)


def answered(request_id: str, cohorts: Sequence[str | None] = ("control",)) -> PredictionRecord:
    values = vars(record(request_id, rows=len(cohorts)))
    return PredictionRecord(**values | {"cohorts": list(cohorts), "rollout_id": "r-1"})


def stored(engine: Engine) -> dict[str, tuple[str | None, int | None]]:
    with reading(engine) as connection:
        rows = connection.execute(select(EXPOSURE)).all()
    assert len({row.prediction_id for row in rows}) == len(rows)
    return {row.prediction_id: (row.status, row.latency_us) for row in rows}


def test_an_exposure_is_open_until_its_answer_comes_and_is_one_row_then(tmp_path: Path, engine: Engine) -> None:
    segment = SegmentWriter(tmp_path, segment_bytes=1_000_000, spool_bytes=10_000_000)
    shipper = Shipper(tmp_path, engine)
    segment.expose(begun("a").rows())
    assert shipper.ship().rows == 0
    assert stored(engine) == {"a-0": (None, None)}
    segment.append([answered("a")])
    assert shipper.ship().rows == 1
    assert stored(engine) == {"a-0": ("ok", 250)}
    with reading(engine) as connection:
        row = connection.execute(select(EXPOSURE)).one()
        assert (row.served_at.timestamp(), row.rollout_id, row.epoch) == (1_700_000_000.0, "r-1", 3)
        assert (row.cohort, row.variant, row.model, row.model_version) == ("control", "champion", "credit", "2")
        assert row.unit_hash == "u"
        assert connection.execute(select(PREDICTION.c.status)).scalars().all() == ["ok"]
        assert connection.execute(select(PROTECTED_ATTRIBUTE.c.value)).scalars().all() == ["female"]


def test_an_exposure_that_ended_without_an_answer_says_why_and_is_no_prediction(
    tmp_path: Path, engine: Engine
) -> None:
    segment = SegmentWriter(tmp_path, segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.expose(begun("a").rows())
    segment.expose(begun("a", status="timeout", latency_us=7, protected=None).rows())
    segment.expose(begun("b").rows())  # and its worker died
    assert Shipper(tmp_path, engine).ship().rows == 0
    assert stored(engine) == {"a-0": ("timeout", 7), "b-0": (None, None)}
    with reading(engine) as connection:
        assert connection.execute(select(PREDICTION)).all() == []


@pytest.mark.parametrize("name", ["dtype", "distinct", "range", "base64", "codes"])
def test_an_exposure_with_an_attribute_named_as_parts_of_the_bulk_form_is_stored(name: str) -> None:
    rows = decode(encode_exposures(begun("a", protected=[{name: "x"}]).rows())).rows
    assert rows is not None
    assert (len(rows.exposures), rows.protected) == (1, [("a-0", name, "x")])


def test_rows_that_are_compared_with_nothing_are_not_exposed(tmp_path: Path, engine: Engine) -> None:
    segment = SegmentWriter(tmp_path, segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append([answered("a", COHORTS), record("b")])
    assert Shipper(tmp_path, engine).ship().rows == 5
    assert set(stored(engine)) == {"a-0", "a-1"}


def test_sinks_see_an_exposure_begin_and_end(tmp_path: Path, engine: Engine) -> None:
    seen: list[tuple[int, list[Any]]] = []

    class Watching:
        def shipped(self, connection: Connection, records: Sequence[Rows]) -> None:
            status = EXPOSURE.c.keys().index("status")
            for one in records:
                seen.append((len(one.predictions), [row[status] for row in one.exposures]))
            assert connection.execute(select(EXPOSURE)).first() is not None  # they are there before any sink

    segment = SegmentWriter(tmp_path, segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.expose(begun("a").rows())
    segment.append([answered("a")])
    Shipper(tmp_path, engine, [Watching()]).ship()
    assert seen == [(0, [None]), (1, ["ok"])]


def test_of_a_bulk_request_each_unit_is_exposed_once() -> None:
    units = [f"u{number % 3}" for number in range(3_000)]
    cohorts = ["control" if unit != "u2" else "champion_only" for unit in units]
    assert compared_positions(range(3_000), cohorts, units) == [0, 1]
    assert len(compared_positions(range(900), cohorts, units)) == 600
    assert compared_positions([5, 1_500, 2_400], cohorts, units) == [1_500, 2_400]
    line = answered("a", cohorts)
    line.unit_hashes = units
    rows = decode(encode_record(line)).rows
    assert rows is not None
    assert [row[0] for row in rows.exposures] == ["a-0", "a-1"]


def test_of_a_bulk_request_without_units_the_first_rows_are_compared_whatever_their_cohort() -> None:
    """Else a small cohort would be counted in full, a large one in part: their shares would not be the plan's."""
    cohorts = ["challenger-2" if number % 20 == 0 else "control" for number in range(3_000)]
    rare = [number for number in range(3_000) if number % 20 == 0]
    assert compared_positions(rare, cohorts, None) == list(range(0, 1_000, 20))
    assert len(compared_positions(range(3_000), cohorts, None)) == 1_000
    line = answered("a", ["challenger-2"] * len(rare))
    line.positions, line.unit_hashes = rare, None
    rows = decode(encode_record(line)).rows
    assert rows is not None
    assert [row[0] for row in rows.exposures] == [f"a-{number}" for number in range(0, 1_000, 20)]


@settings(max_examples=25)
@given(cuts=st.sets(st.integers(1, 5)), order=st.permutations(range(6)))
def test_in_whatever_order_and_pieces_records_come_exposures_end_as_they_did(
    tmp_path_factory: Any, cuts: set[int], order: list[int]
) -> None:
    from tests.fakes.databases import migrated_engine

    folder = tmp_path_factory.mktemp("log")
    engine = migrated_engine(folder / "predictions.db", "log")
    lines = [
        begun("a"),
        begun("b"),
        begun("c"),
        answered("a"),
        begun("b", status="error", latency_us=9),
        answered("d"),
    ]
    shipper = Shipper(folder / "spool", engine)
    segment = SegmentWriter(folder / "spool", segment_bytes=1_000_000, spool_bytes=10_000_000)
    for place, number in enumerate(order):
        if place in cuts:
            shipper.ship()
        line = lines[number]
        if isinstance(line, Exposing):
            segment.expose(line.rows())
        else:
            segment.append([line])
    shipper.ship()
    segment.close()
    ended = {"a-0": ("ok", 250), "b-0": ("error", 9), "c-0": (None, None), "d-0": ("ok", 250)}
    assert stored(engine) == ended
    engine.dispose()


def test_a_line_without_what_an_exposure_needs_is_put_aside() -> None:
    good = orjson.loads(encode_exposures(begun("a").rows()))
    assert decode(orjson.dumps(good)).rows is not None
    for places in range(len(good["rows"][0])):
        assert decode(orjson.dumps(good | {"rows": [good["rows"][0][:places]]})).rows is None
    assert decode(orjson.dumps(good | {"rows": [*good["rows"], None]})).rows is None
    assert decode(orjson.dumps({name: value for name, value in good.items() if name != "rows"})).rows is None


def test_a_row_says_what_the_table_has_in_its_order_and_the_protected_attributes() -> None:
    columns = EXPOSURE.c.keys()
    assert (columns[SERVED_AT], len(columns)) == ("served_at", PROTECTED)
    (row,) = begun("a", status="error", latency_us=9).rows()
    named = dict(zip(columns, row, strict=False))
    told = {name: value for name, value in vars(begun("a")).items() if name in named and value is not None}
    assert told.items() <= named.items()
    assert (named["prediction_id"], named["cohort"], named["unit_hash"]) == ("a-0", "control", "u")
    assert (named["status"], named["latency_us"], row[PROTECTED]) == ("error", 9, {"sex": "female"})


def test_requests_of_one_line_are_stored_each_with_its_own_attributes(tmp_path: Path, engine: Engine) -> None:
    segment = SegmentWriter(tmp_path, segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.expose([*begun("a").rows(), *begun("b", protected=None).rows(), *begun("c").rows()])
    Shipper(tmp_path, engine).ship()
    assert set(stored(engine)) == {"a-0", "b-0", "c-0"}
    with reading(engine) as connection:
        told = connection.execute(select(PROTECTED_ATTRIBUTE.c.prediction_id)).scalars()
        assert sorted(told) == ["a-0", "c-0"]
