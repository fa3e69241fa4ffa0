"""`fairmind predictions export`: the log as Parquet, in one file or several."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from cli.context import Context
from cli.failures import UsageError
from tests.unit.monitoring.log_home import LogHome
from tests.unit.monitoring.test_shipper import record


@pytest.fixture
def logged(deployment: Context) -> Context:
    home = LogHome(deployment.home.root, deployment.log)
    home.write([record("a", rows=2)], [record("b")])
    home.settle()
    return deployment


def test_a_file_is_there_once_it_is_whole_and_a_folder_has_one_per_table(
    logged: Context, answer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitoring.export._ROWS_AT_ONCE", 2)
    told = answer(["predictions", "export", "--model", "credit", "--out", "log.parquet", "--protected"])
    assert (told["rows"], told["out"]) == (3, "log.parquet")
    rows = pq.read_table(tmp_path / "log.parquet").to_pylist()
    assert [(row["fairmind.prediction_id"], row["age"]) for row in rows] == [("a-0", 40), ("a-1", 41), ("b-0", 40)]
    assert rows[0]["fairmind.protected"] == '{"sex":"female"}'
    assert told["columns"] == list(rows[0])
    answer(["predictions", "export", "--model", "credit", "--out", "parts"])
    assert sorted(path.name for path in Path("parts").iterdir()) == ["part-000000.parquet", "part-000001.parquet"]
    assert pq.read_table("parts").num_rows == 3
    assert sorted(path.name for path in tmp_path.glob("*.tmp")) == []


def test_what_would_be_overwritten_or_is_not_there_is_told(logged: Context, fairmind: Any, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    into_a_full_folder = fairmind("predictions", "export", "--model", "credit", "--out", "full")
    assert isinstance(into_a_full_folder.exception, UsageError)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    nothing = fairmind("predictions", "export", "--model", "credit", "--out", "log.parquet", "--since", now)
    assert isinstance(nothing.exception, UsageError)
    assert "no predictions of 'credit'" in str(nothing.exception)
    assert not (tmp_path / "log.parquet").exists()


def test_the_result_is_told_in_words(logged: Context, fairmind: Any) -> None:
    until = fairmind("predictions", "export", "--model", "credit", "--out", "log.parquet", "--until", "2100-01-01")
    assert until.exit_code == 0
    assert "3 predictions of credit in log.parquet" in until.output
