"""Outcomes: idempotent, correctable, welcome before their prediction; windows join the latest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sqlalchemy import Engine, event

from monitoring.outcomes import Outcome, Receipt, keep
from monitoring.predictions import SegmentWriter
from monitoring.shipper import Shipper
from monitoring.window_sink import WindowSink
from tests.fakes.records import prediction_record
from tests.fakes.window_rows import LoggedPrediction, window_rows

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def served(tmp_path: Path, engine: Engine) -> Engine:
    segment = SegmentWriter(tmp_path / "spool", segment_bytes=1_000_000, spool_bytes=10_000_000)
    common: dict[str, Any] = {
        "rows": 2,
        "served_at": NOW.timestamp(),
        "scores": [0.9, 0.1],
        "predictions": [1, 0],
    }
    segment.append(
        [
            prediction_record(
                "a",
                protected=[{"sex": "f"}, {"sex": None}],
                caller_ids=["mine", None],
                **common,
            ),
            prediction_record("b", model_version="2", variant="challenger", **common),
            prediction_record("c", model_version="2", variant=None, **common),
        ]
    )
    Shipper(tmp_path / "spool", engine, [WindowSink()]).ship()
    return engine


def rows(engine: Engine, **chosen: Any) -> dict[str, LoggedPrediction]:
    found = window_rows(engine, "credit", since=NOW, until=NOW + timedelta(seconds=1), **chosen)
    return {row.prediction_id: row for row in found}


def test_a_repeat_changes_nothing_and_a_correction_counts(served: Engine) -> None:
    first = Outcome(prediction_id="a-0", outcome=1)
    assert keep(served, [first], NOW) == Receipt(accepted=1, repeated=0, unmatched=0)
    assert keep(served, [first, first], NOW) == Receipt(accepted=0, repeated=2, unmatched=0)
    assert rows(served)["a-0"].outcome == 1
    keep(served, [Outcome(prediction_id="a-0", outcome=0, observed_at=NOW)], NOW)
    assert rows(served)["a-0"].outcome == 0


def test_a_correction_taken_back_counts(served: Engine) -> None:
    for outcome in (1, 0, 1):
        receipt = keep(served, [Outcome(prediction_id="a-0", outcome=outcome)], NOW)
        assert (receipt.accepted, rows(served)["a-0"].outcome) == (1, outcome)


def test_the_last_one_of_a_list_counts_and_the_list_sent_again_changes_nothing(served: Engine) -> None:
    both = [Outcome(prediction_id="a-0", outcome=1), Outcome(prediction_id="a-0", outcome=0)]
    assert keep(served, both, NOW) == Receipt(accepted=1, repeated=1, unmatched=0)
    assert rows(served)["a-0"].outcome == 0
    assert keep(served, both, NOW) == Receipt(accepted=0, repeated=2, unmatched=0)
    assert rows(served)["a-0"].outcome == 0


def test_true_is_another_label_than_1_and_1_point_0_is_not(served: Engine) -> None:
    accepted = [keep(served, [Outcome(prediction_id="a-0", outcome=o)], NOW).accepted for o in (1, 1.0, True, 1.5)]
    assert accepted == [1, 0, 1, 1]
    assert keep(served, [Outcome(prediction_id="a-0", outcome=1.5, observed_at=NOW)], NOW).accepted == 1


def test_both_names_of_a_prediction_mean_the_same(served: Engine) -> None:
    def told(outcome: Outcome) -> tuple[int, Any]:
        return keep(served, [outcome], NOW).accepted, rows(served)["a-0"].outcome

    assert told(Outcome(prediction_id="a-0", outcome=1)) == (1, 1)
    assert told(Outcome(model="credit", id="mine", outcome=1)) == (0, 1)
    assert told(Outcome(model="credit", id="mine", outcome=0)) == (1, 0)
    assert told(Outcome(prediction_id="a-0", outcome=0)) == (0, 0)
    assert told(Outcome(prediction_id="a-0", outcome=1)) == (1, 1)
    assert told(Outcome(model="credit", id="mine", outcome=0)) == (1, 0)
    mixed = [Outcome(prediction_id="a-0", outcome=1), Outcome(model="credit", id="mine", outcome=0)]
    assert keep(served, mixed, NOW) == Receipt(accepted=0, repeated=2, unmatched=0)


@given(lists=st.lists(st.lists(st.tuples(st.sampled_from(["a-0", "mine", "x"]), st.booleans()), max_size=6)))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_last_outcome_sent_is_the_one_that_counts(served: Engine, lists: list[list[tuple[str, bool]]]) -> None:
    sent = [("a-0", False), *(one for some in lists for one in some)]
    for some in [sent[:1], *lists]:
        named = [
            Outcome(model="credit", id=name, outcome=value)
            if name == "mine"
            else Outcome(prediction_id=name, outcome=value)
            for name, value in some
        ]
        keep(served, named, NOW)
        assert keep(served, named, NOW).accepted == 0
    last = [value for name, value in sent if name != "x"][-1]
    assert rows(served)["a-0"].outcome is last


def test_a_caller_id_given_twice_names_both_rows(served: Engine, tmp_path: Path, new_record: Any) -> None:
    segment = SegmentWriter(tmp_path / "spool", segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append([new_record(id_, served_at=NOW.timestamp(), caller_ids=["twice"]) for id_ in ("d", "e")])
    Shipper(tmp_path / "spool", served, [WindowSink()]).ship()
    twice = Outcome(model="credit", id="twice", outcome=1)
    assert [keep(served, [twice], NOW).accepted for _ in range(2)] == [1, 0]
    assert keep(served, [Outcome(prediction_id="e-0", outcome=0)], NOW).accepted == 1
    assert keep(served, [twice], NOW).accepted == 1  # since it was something else for one of the two
    assert rows(served)["d-0"].outcome == 1
    assert keep(served, [Outcome(prediction_id="e-0", outcome=0), twice], NOW).accepted == 2


def test_a_list_is_kept_with_a_few_statements_however_long_it_is(served: Engine) -> None:
    statements: list[str] = []
    event.listen(served, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    outcomes = [Outcome(prediction_id=f"p-{i}", outcome=1) for i in range(1000)]
    assert keep(served, outcomes, NOW).accepted == 1000
    assert len(statements) < 20


def test_the_callers_own_id_names_a_prediction(served: Engine) -> None:
    assert keep(served, [Outcome(model="credit", id="mine", outcome="good")], NOW).unmatched == 0
    assert rows(served)["a-0"].outcome == "good"


def test_an_outcome_may_come_before_its_prediction_is_in_the_database(tmp_path: Path, engine: Engine) -> None:
    assert keep(engine, [Outcome(prediction_id="late-0", outcome=True)], NOW).unmatched == 1
    segment = SegmentWriter(tmp_path / "spool", segment_bytes=1_000_000, spool_bytes=10_000_000)
    segment.append([prediction_record("late", served_at=NOW.timestamp(), scores=None)])
    Shipper(tmp_path / "spool", engine, [WindowSink()]).ship()
    assert rows(engine)["late-0"].outcome is True


def test_a_window_leaves_out_pinned_rows_and_can_be_narrowed(served: Engine) -> None:
    assert set(rows(served)) == {"a-0", "a-1", "b-0", "b-1"}
    assert set(rows(served, variant="challenger")) == {"b-0", "b-1"}
    assert set(rows(served, model_version="1")) == {"a-0", "a-1"}
    assert rows(served)["a-0"].protected == {"sex": "f"}
    assert rows(served)["a-1"].protected == {"sex": None}
    assert rows(served)["b-0"].protected == {}


def test_protected_attributes_may_come_with_the_outcome(served: Engine) -> None:
    keep(served, [Outcome(prediction_id="b-0", outcome=1, protected={"sex": "m"})], NOW)
    assert rows(served)["b-0"].protected == {"sex": "m"}


def test_a_model_beside_a_prediction_id_says_nothing_more(served: Engine) -> None:
    keep(served, [Outcome(prediction_id="b-0", model="m", outcome=1, protected={"sex": "m"})], NOW)
    assert rows(served)["b-0"].protected == {"sex": "m"}


@pytest.mark.parametrize(
    "body",
    [
        {"outcome": 1},
        {"prediction_id": "a-0", "outcome": 1, "protected": {f"a{number}": "x" for number in range(51)}},
        {"prediction_id": "a-0"},
        {"prediction_id": "a-0", "model": "m", "id": "x", "outcome": 1},
        {"model": "m", "outcome": 1},
        {"prediction_id": "a-0", "outcome": [1]},
        {"prediction_id": "a-0", "outcome": 1, "observed_at": "2026-01-01T00:00:00"},
        {"prediction_id": "a-0", "outcome": 1, "observed_at": 1_700_000_000},
        {"prediction_id": "a-0", "outcome": 1, "colour": "red"},
        {"prediction_id": "a-0", "outcome": "\ud800"},
        {"prediction_id": "a-\ud800", "outcome": 1},
        {"prediction_id": "a-\0", "outcome": 1},
        {"model": "m", "id": "\udc00", "outcome": 1},
        {"model": "\udc00", "id": "x", "outcome": 1},
        {"prediction_id": "a-0", "outcome": 1, "protected": {"\ud800": "f"}},
        {"prediction_id": "a-0", "outcome": 1, "protected": {"sex": "\ud800"}},
        {"prediction_id": "a-0", "outcome": 1, "protected": {"sex": "f" * 201}},
        {"prediction_id": "a-0", "outcome": float("nan")},
    ],
)
def test_an_outcome_that_names_no_prediction_or_says_nothing_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Outcome.model_validate(body)
