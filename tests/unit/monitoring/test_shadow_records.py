"""Shadow records: pairs of answers, one line a request, beside the rows of the log and never among them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, Engine, func, select

from database.engine import reading
from monitoring.backlog import Backlog
from monitoring.feature_table import feature_tables_of
from monitoring.predictions import SegmentWriter
from monitoring.rows import Rows, decode
from monitoring.shadow_records import SHADOW_COLUMNS, ShadowRecord, encode_shadow
from monitoring.shipper import Shipper
from monitoring.tables import EXPOSURE, PREDICTION
from tests.unit.monitoring.test_shipper import record


def pair(**changes: Any) -> ShadowRecord:
    values: dict[str, Any] = {
        "request_id": "r",
        "served_at": 1_700_000_000.0,
        "model": "credit",
        "challenger_version": "2",
        "epoch": 3,
        "rollout_id": "r-1",
        "status": "ok",
        "positions": [0, 4],
        "unit_hashes": ["u", None],
        "champion_predictions": [1, 0],
        "champion_scores": [0.75, 0.25],
        "champion_latency_us": 900,
        "challenger_predictions": [1, 1],
        "challenger_scores": [0.5, 0.625],
        "challenger_latency_us": 300,
    }
    return ShadowRecord(**values | changes)


def rows(line: ShadowRecord) -> list[dict[str, Any]]:
    found = decode(encode_shadow(line)).rows
    assert found is not None
    assert (found.predictions, found.protected, found.block, found.exposures) == ([], [], None, ())
    return [dict(zip(SHADOW_COLUMNS, row, strict=True)) for row in found.shadows]


def test_each_row_is_a_pair_with_both_answers() -> None:
    first, second = rows(pair())
    assert first == {
        "prediction_id": "r-0",
        "rollout_id": "r-1",
        "epoch": 3,
        "model": "credit",
        "challenger_version": "2",
        "unit_hash": "u",
        "served_at": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        "status": "ok",
        "champion_prediction": 1,
        "champion_score": 0.75,
        "challenger_prediction": 1,
        "challenger_score": 0.5,
        "champion_latency_us": 900,
        "challenger_latency_us": 300,
    }
    assert (second["prediction_id"], second["unit_hash"], second["challenger_prediction"]) == ("r-4", None, 1)


def test_a_pair_without_the_challengers_answer_says_why() -> None:
    nothing = {"challenger_predictions": None, "challenger_scores": None, "challenger_latency_us": None}
    for row in rows(pair(status="refused", unit_hashes=None, champion_scores=None, **nothing)):
        assert (row["status"], row["unit_hash"], row["champion_score"]) == ("refused", None, None)
        assert (row["challenger_prediction"], row["challenger_score"], row["challenger_latency_us"]) == (None,) * 3


@pytest.mark.parametrize(
    "wrong", [{"champion_predictions": [1]}, {"unit_hashes": 5}, {"positions": None}, {"served_at": "now"}]
)
def test_a_damaged_line_is_no_record(wrong: dict[str, Any]) -> None:
    line = decode(orjson.dumps(vars(pair()) | wrong))
    assert line.rows is None
    assert line.problem


def test_pairs_reach_sinks_and_are_no_predictions_exposures_features_or_waiting_rows(
    tmp_path: Path, engine: Engine
) -> None:
    seen: list[list[tuple[Any, ...]]] = []

    class Watching:
        def shipped(self, connection: Connection, records: Sequence[Rows]) -> None:
            seen.extend(one.shadows for one in records)

    segment = SegmentWriter(tmp_path, segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append([record("r")])
    segment.shadow([pair(), pair(status="dropped")])
    (path,) = Backlog(tmp_path).segments()
    assert Backlog(tmp_path).rows({}) == 1
    tables, refused = feature_tables_of(path.read_bytes().splitlines())
    assert (sum(len(table) for table in tables.values()), refused) == (1, 0)
    assert Shipper(tmp_path, engine, [Watching()]).ship().rows == 1
    assert [[row[SHADOW_COLUMNS.index("status")] for row in one] for one in seen] == [
        [],
        ["ok"] * 2,
        ["dropped"] * 2,
    ]
    with reading(engine) as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar() for table in (PREDICTION, EXPOSURE)
        ]
    assert counts == [1, 0]
