"""`fairmind outcomes import`, `attributes import` and `windows rebuild`: tables into the log, once."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select

from cli.context import Context
from database.engine import reading
from monitoring.predictions import SegmentWriter
from monitoring.shipper import Shipper
from monitoring.tables import OUTCOME
from monitoring.units import unit_hash
from monitoring.window_sink import WindowSink
from monitoring.windows import WindowCounts, window_counts
from rollout.serving_store import deployment_salt
from tests.fakes.records import prediction_record

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def served(deployment: Context) -> Context:
    key = deployment_salt(deployment.control).encode()
    segment = SegmentWriter(deployment.home.spool, segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append(
        [
            prediction_record(
                "r",
                3,
                served_at=NOW.timestamp(),
                predictions=[1, 0, 1],
                unit_hashes=[unit_hash(key, "007"), None, None],
                caller_ids=["01", "02", "3"],
            )
        ]
    )
    segment.close()
    Shipper(deployment.home.spool, deployment.log, [WindowSink()]).ship()
    return deployment


def counts(context: Context) -> WindowCounts:
    return window_counts(context.log, "credit", NOW, NOW + timedelta(hours=1))


def test_outcomes_of_a_file_are_kept_once_and_rows_without_one_are_skipped(
    served: Context, answer: Any, fairmind: Any, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("who,label,at\n01,1,2026-01-02T03:04:05\n02,,\n3,0,\n9,1,\n")
    command = ["outcomes", "import", "labels.csv", "--model", "credit", "--id", "who", "--outcome", "label"]
    command += ["--observed-at", "at"]
    assert answer(command) == {"accepted": 3, "repeated": 0, "unmatched": 1, "skipped": 1}
    assert answer(command) == {"accepted": 0, "repeated": 3, "unmatched": 1, "skipped": 1}
    assert sorted((alike.prediction, alike.outcome) for alike in counts(served).counts) == [
        ("0", ""),
        ("1", "0"),
        ("1", "1"),
    ]
    with reading(served.log) as connection:
        observed = connection.execute(select(OUTCOME.c.observed_at).where(OUTCOME.c.caller_id == "01")).scalar_one()
    assert observed == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    shown = fairmind(*command)
    assert "0 outcomes kept, 3 known already, 1 rows skipped" in shown.output
    assert "wait for predictions" in shown.output


def test_outcomes_of_a_query_and_of_parquet_are_kept(served: Context, answer: Any, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "their.db")
    database.execute("CREATE TABLE label (id TEXT, outcome INTEGER)")
    database.execute("INSERT INTO label VALUES ('r-0', 1)")
    database.commit()
    database.close()
    query = ["--sql", f"sqlite:///{tmp_path}/their.db", "SELECT id, outcome FROM label"]
    named = ["--prediction-id", "id", "--outcome", "outcome"]
    assert answer(["outcomes", "import", *query, *named])["accepted"] == 1
    pd.DataFrame({"id": ["r-0", "r-1"], "outcome": [1, 0]}).to_parquet(tmp_path / "more.parquet")
    again = answer(["outcomes", "import", "more.parquet", *named])
    assert (again["accepted"], again["repeated"]) == (1, 1)
    as_text = answer(["outcomes", "import", "more.parquet", *named, "--as-text"])
    assert as_text["accepted"] == 2  # "1" is another label than 1


def test_attributes_are_read_as_they_are_written_and_missing_ones_say_nothing(
    served: Context, answer: Any, tmp_path: Path
) -> None:
    (tmp_path / "people.csv").write_text("person,race,sex\n007,01,\n008,02,2\n009,,\n")
    command = ["attributes", "import", "people.csv", "--unit", "person", "--protected", "race, sex"]
    assert answer(command) == {"accepted": 2, "repeated": 0, "unmatched": 1, "skipped": 1}
    assert sorted(alike.groups for alike in counts(served).counts) == ['{"race":"01"}', "{}", "{}"]
    by_id = ["--prediction-id", "id", "--protected", "race"]
    (tmp_path / "ids.csv").write_text("id,race\nr-1,5\n")
    assert answer(["attributes", "import", "ids.csv", *by_id])["accepted"] == 1
    assert '{"race":"5"}' in {alike.groups for alike in counts(served).counts}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["outcomes", "import", "a.csv", "--outcome", "o"], "say what names a row"),
        (["outcomes", "import", "a.csv", "--outcome", "o", "--id", "i"], "say what names a row"),
        (["outcomes", "import", "--outcome", "o", "--prediction-id", "i"], "give either FILE or --sql"),
        (
            ["outcomes", "import", "a.csv", "--outcome", "x", "--prediction-id", "i"],
            "no column 'x'; it has i, o, t",
        ),
        (
            ["outcomes", "import", "a.csv", "--outcome", "o", "--prediction-id", "t"],
            "row 2 of the table: prediction_id",
        ),
        (
            ["outcomes", "import", "a.csv", "--outcome", "o", "--prediction-id", "i", "--observed-at", "t"],
            "column 't' has a value that is no time",
        ),
        (
            ["attributes", "import", "a.csv", "--protected", "o", "--unit", "i", "--prediction-id", "i"],
            "say what names a row",
        ),
    ],
)
def test_what_cannot_be_imported_is_refused_in_one_line_that_says_why(
    deployment: Context, fairmind: Any, tmp_path: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "a.csv").write_text(f"i,o,t\n1,1,x\n2,0,{'long' * 30}\n")
    result = fairmind(*arguments)
    assert said in str(result.exception)
    assert "longlong" not in str(result.exception)


def test_a_log_is_counted_anew(served: Context, answer: Any) -> None:
    before = counts(served).counts
    assert answer(["windows", "rebuild"]) == {"counted": 3}
    assert counts(served).counts == before
