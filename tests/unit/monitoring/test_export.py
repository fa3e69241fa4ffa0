"""The export has every prediction once, with what came of it and what it was made from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from sqlalchemy import Engine

from monitoring.export import Export
from monitoring.outcomes import Outcome, keep
from monitoring.predictions import BULK_ROWS
from tests.unit.monitoring.log_home import SINCE, UNTIL, LogHome

START = datetime(2026, 1, 1, tzinfo=UTC)
MANY = BULK_ROWS + 1


@pytest.fixture
def home(tmp_path: Path, engine: Engine, new_record: Any) -> LogHome:
    home = LogHome(tmp_path, engine)
    start = START.timestamp()
    home.write(
        [new_record("a", served_at=start, protected=[{"sex": "f"}], features=[{"age": 1}])],
        [new_record("b", served_at=start + 1, caller_ids=["mine"], features=[{"age": 2.5, "job": "nurse"}])],
        [new_record("other", served_at=start, model="other")],
    )
    home.settle()
    home.write(
        [new_record("c", served_at=start + 2, variant=None, features=[])],
        [
            new_record(
                "d",
                served_at=start + 3,
                positions=range(MANY),
                predictions=[i % 2 for i in range(MANY)],
                scores=[0.25] * MANY,
                features={"age": list(range(MANY))},
                protected=[{"sex": "m"}] * MANY,
            )
        ],
    )
    home.settle()
    outcomes = [
        Outcome(prediction_id="a-0", outcome="paid"),
        Outcome(model="credit", id="mine", outcome=True),
        Outcome(prediction_id="d-7", outcome=1),
    ]
    assert keep(engine, outcomes, START).unmatched == 0
    keep(engine, [Outcome(prediction_id="a-0", outcome="late")], START)
    return home


def exported(home: LogHome, **chosen: Any) -> pa.Table:
    values: dict[str, Any] = {"since": SINCE, "until": UNTIL, "protected": True} | chosen
    export = Export(home.engine, home.store, "credit", **values)
    schema = export.schema()
    tables = list(export.tables(schema))
    assert sum(table.num_rows for table in tables) == export.rows()
    return pa.concat_tables(tables) if tables else schema.empty_table()


@pytest.mark.parametrize("at_once", [1, 2, 50_000])
def test_every_prediction_has_its_outcome_its_features_and_its_groups(
    home: LogHome, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr("monitoring.export._ROWS_AT_ONCE", at_once)
    table = exported(home)
    rows = {row["fairmind.prediction_id"]: row for row in table.to_pylist()}
    assert list(rows) == ["a-0", "b-0", "c-0", *(f"d-{i}" for i in range(MANY))]
    shown = ("fairmind.variant", "fairmind.prediction", "fairmind.outcome", "fairmind.protected", "age", "job")

    def of(name: str) -> tuple[Any, ...]:
        return tuple(rows[name][column] for column in shown)

    assert of("a-0") == ("champion", "1", '"late"', '{"sex":"f"}', 1.0, None)
    assert of("b-0") == ("champion", "1", "true", None, 2.5, "nurse")
    assert of("c-0") == (None, "1", None, None, None, None)
    assert of("d-7") == ("champion", "1", "1", '{"sex":"m"}', 7.0, None)
    assert of("d-8") == ("champion", "0", None, '{"sex":"m"}', 8.0, None)
    assert rows["b-0"]["fairmind.caller_id"] == "mine"
    assert rows["a-0"]["fairmind.served_at"] == START
    assert orjson.loads(rows["d-1000"]["fairmind.prediction"]) == 0


def test_a_time_is_chosen_and_groups_are_left_out_unless_asked_for(home: LogHome) -> None:
    until = START + timedelta(seconds=2)
    table = exported(home, since=START + timedelta(seconds=1), until=until, protected=False)
    assert table.column("fairmind.prediction_id").to_pylist() == ["b-0"]
    assert "fairmind.protected" not in table.column_names
    assert exported(home, until=START).num_rows == 0
