"""Windows of live traffic: all a variant answered, each caller's row once, and a word where rows are cut."""

from __future__ import annotations

import gc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from monitoring.outcomes import Outcome, keep
from monitoring.predictions import BULK_ROWS, SegmentWriter
from monitoring.shipper import Shipper
from monitoring.windows import Window, window

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path, engine: Engine) -> Any:
    """Ships records that were served a second after each other."""

    def ship(*records: Any) -> None:
        segment = SegmentWriter(tmp_path / "spool", segment_bytes=1_000_000, spool_bytes=10_000_000)
        for second, record in enumerate(records):
            record.served_at = NOW.timestamp() + second
        segment.append(records)
        segment.close()
        Shipper(tmp_path / "spool", engine).ship()

    return ship


def read(engine: Engine, **chosen: Any) -> Window:
    return window(engine, "credit", since=NOW, until=NOW + timedelta(hours=1), **chosen)


def ids(found: Window) -> list[str]:
    return [row.prediction_id for row in found.rows]


def test_over_the_limit_the_newest_rows_are_returned_and_the_cut_is_told(
    engine: Engine, log: Any, new_record: Any
) -> None:
    # Ids that sort the other way round: time decides.
    log(*(new_record(name, caller_ids=[name], protected=[{"sex": name}]) for name in "dcba"))
    keep(engine, [Outcome(prediction_id="a-0", outcome=7), Outcome(model="credit", id="b", outcome=8)], NOW)
    assert (ids(read(engine)), read(engine).truncated) == (["d-0", "c-0", "b-0", "a-0"], False)
    assert (ids(read(engine, limit=4)), read(engine, limit=4).truncated) == (ids(read(engine)), False)
    cut = read(engine, limit=2)
    assert (ids(cut), cut.truncated) == (["b-0", "a-0"], True)
    assert [(row.outcome, row.protected) for row in cut.rows] == [(8, {"sex": "b"}), (7, {"sex": "a"})]


def test_an_empty_window_is_empty_and_not_cut(engine: Engine) -> None:
    assert read(engine) == Window((), truncated=False)


def test_of_rows_with_the_same_caller_id_the_first_counts(engine: Engine, log: Any, new_record: Any) -> None:
    log(
        new_record("c", caller_ids=["twice"]),
        new_record("b"),
        new_record("a", caller_ids=["twice"], variant="challenger"),
        new_record("d"),
        new_record("e", caller_ids=["twice"], model="other"),
    )
    assert ids(read(engine)) == ["c-0", "b-0", "d-0"]
    assert ids(read(engine, variant="challenger")) == [], "a repeat is one, whichever variant answered it"


def test_a_pinned_row_does_not_use_up_a_caller_id(engine: Engine, log: Any, new_record: Any) -> None:
    log(new_record("a", caller_ids=["mine"], variant=None), new_record("b", caller_ids=["mine"]))
    assert ids(read(engine)) == ["b-0"]


def test_rows_without_a_unit_are_there(engine: Engine, log: Any, new_record: Any) -> None:
    log(new_record("a"), new_record("b", unit_hashes=["u"], cohorts=["control"]))
    assert ids(read(engine)) == ["a-0", "b-0"]


def test_the_outcome_received_last_counts_whichever_name_it_came_under(
    engine: Engine, log: Any, new_record: Any
) -> None:
    log(new_record("a", caller_ids=["mine"]))
    by_id, by_caller = {"prediction_id": "a-0"}, {"model": "credit", "id": "mine"}
    for name, outcome in ((by_id, 1), (by_caller, 2), (by_id, 3), (by_caller, 4)):
        keep(engine, [Outcome.model_validate(name | {"outcome": outcome})], NOW)
        assert [row.outcome for row in read(engine).rows] == [outcome]


def test_a_regressors_prediction_and_a_text_label_come_back_as_they_were(
    engine: Engine, log: Any, new_record: Any
) -> None:
    values = [2.5, "good", True, 7, "7"]
    log(*(new_record(f"{i}", predictions=[value]) for i, value in enumerate(values)))
    found = [row.prediction for row in read(engine).rows]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


def test_the_garbage_collector_runs_again_afterwards(engine: Engine, log: Any, new_record: Any) -> None:
    log(new_record("a"))
    read(engine)
    assert gc.isenabled()


def bulk(new_record: Any, name: str, **changes: Any) -> Any:
    rows = BULK_ROWS + 1
    values = {
        "positions": range(0, 2 * rows, 2),
        "predictions": [i % 2 for i in range(rows)],
        "scores": [0.5] * rows,
        "features": [],
        "protected": [{"sex": "f" if i % 3 else "m"} for i in range(rows)],
    }
    return new_record(name, **values | changes)


def test_rows_of_bulk_requests_are_there_with_what_came_of_them(engine: Engine, log: Any, new_record: Any) -> None:
    log(
        new_record("a"),
        bulk(new_record, "b"),
        new_record("c"),
        bulk(new_record, "d", variant=None),
        bulk(new_record, "e", variant="challenger", protected=None),
        bulk(new_record, "f", model="other"),
    )
    outcomes = [
        Outcome(prediction_id="b-4", outcome=0, protected={"sex": "no", "age": "old"}),
        Outcome(prediction_id="b-4", outcome=1),
        Outcome(prediction_id="b-5", outcome=1),
    ]
    assert keep(engine, outcomes, NOW).unmatched == 1, "row 5 was not in this part of the request"
    found = read(engine)
    each = [f"{name}-{2 * i}" for name in "be" for i in range(BULK_ROWS + 1)]
    assert ids(found) == ["a-0", *sorted(each[: BULK_ROWS + 1]), "c-0", *sorted(each[BULK_ROWS + 1 :])]
    row = next(row for row in found.rows if row.prediction_id == "b-4")
    assert (row.prediction, row.score, row.outcome, row.variant) == (0, 0.5, 1, "champion")
    assert row.protected == {"sex": "f", "age": "old"}
    assert ids(read(engine, variant="challenger")) == sorted(each[BULK_ROWS + 1 :])
    assert ids(read(engine, model_version="9")) == []


@pytest.mark.parametrize("limit", [1, 2, 500, BULK_ROWS + 2, BULK_ROWS + 3])
def test_the_newest_rows_are_taken_from_bulk_requests_too(
    engine: Engine, log: Any, new_record: Any, limit: int
) -> None:
    log(new_record("a"), bulk(new_record, "b"), new_record("c"))
    whole, cut = read(engine), read(engine, limit=limit)
    assert ids(cut) == ids(whole)[-limit:]
    assert (whole.truncated, cut.truncated) == (False, limit < BULK_ROWS + 3)
