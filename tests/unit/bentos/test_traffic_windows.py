"""A bias test of live traffic is of whole buckets of time, and says of which."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from assessment.data_sets import DataSets
from bentos.bias_test_bodies import parse
from bentos.bias_tests import BiasTests
from bentos.companion import Companion
from monitoring.predictions import SegmentWriter
from monitoring.shipper import Shipper
from monitoring.window_sink import WindowSink
from rollout.serving_store import write_state
from tests.fakes.databases import migrated_engine
from tests.fakes.records import prediction_record

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until", "rows", "said"),
    [
        (NOW, NOW + timedelta(hours=1), 60, []),
        (
            NOW + timedelta(seconds=1),
            NOW + timedelta(seconds=2),
            60,
            ["2026-01-01T00:00:00+00:00 to 2026-01-01T00:05:00+00:00"],
        ),
    ],
)
def test_a_window_within_buckets_is_widened_and_has_a_note(
    credit: Any, tmp_path: Path, since: datetime, until: datetime, rows: int, said: list[str]
) -> None:
    control = migrated_engine(tmp_path / "control.db", "control")
    log = migrated_engine(tmp_path / "log.db", "log")
    with control.begin() as connection:
        write_state(connection, "credit", NOW, champion_version="1", champion_digest=None)
    segment = SegmentWriter(tmp_path / "spool", segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append(
        [
            prediction_record(
                "a",
                60,
                served_at=NOW.timestamp(),
                predictions=[i % 2 for i in range(60)],
                scores=None,
                protected=[{"sex": "f" if i % 3 else "m"} for i in range(60)],
            )
        ]
    )
    Shipper(tmp_path / "spool", log, [WindowSink()]).ship()
    folders = SimpleNamespace(find=lambda *_: credit.folder)
    tests = BiasTests(
        cast("Companion", SimpleNamespace(control=control, log=log, folders=folders)),
        DataSets(control, tmp_path, 10),
    )
    request, _ = parse({"window": {"since": since.isoformat(), "until": until.isoformat()}, "favourable": 1})
    result = tests.run(request)
    assert result.rows == rows
    notes = [note for note in result.notes if "buckets" in note]
    assert [edges in note for edges, note in zip(said, notes, strict=True)] == [True] * len(said)
