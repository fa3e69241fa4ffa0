"""A unit enters labelled statistics once: when its outcome had its time, with what was received by then."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from monitoring.attributes import AttributeRecord, keep_attributes
from monitoring.outcomes import Outcome, keep
from monitoring.tables import PREDICTION
from rollout import maturity
from tests.fakes.databases import BOTH_ENGINES, engine_asked_for, migrated_engine
from tests.unit.monitoring.test_exactly_once import killed_at
from tests.unit.rollout.evidence_home import (
    FAST,
    MATURITY,
    ROLLOUT,
    SERVED,
    EvidenceHome,
    answered,
    begun,
    failed,
    pair,
    plan,
)

LATER = SERVED + MATURITY + timedelta(days=1)
MOMENT = timedelta(seconds=1)


@pytest.fixture(params=BOTH_ENGINES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EvidenceHome]:
    with engine_asked_for(request, tmp_path / "log.db", "log") as engine:
        yield EvidenceHome(tmp_path, engine)


def serve(
    home: EvidenceHome,
    name: str = "a",
    unit: str | None = None,
    prediction: int = 1,
    caller_id: str | None = None,
    **changes: object,
) -> None:
    begin = begun(name, unit or f"unit-{name}", **changes)
    home.ship(begin, answered(begin, prediction, caller_ids=caller_id and [caller_id]))


def test_an_outcome_counts_when_the_unit_is_mature_and_not_before(home: EvidenceHome) -> None:
    serve(home)
    home.tell("a-0", 1)
    assert home.mature(SERVED + MATURITY - MOMENT) == 0
    assert home.cells("accuracy") == {}
    assert home.mature(SERVED + MATURITY) == 1
    assert home.cells("accuracy") == {(0, "control", "", ""): (1, 1)}
    assert home.cells("eodds_diff:sex") == {(0, "control", "tpr", "f"): (1, 1)}
    assert home.units()[2:] == home.units(attribute="sex", group="f")[2:] == (1, 1)


def test_each_unit_counts_once_and_corrections_that_come_later_change_nothing(home: EvidenceHome) -> None:
    serve(home)
    home.tell("a-0", 1)
    assert home.mature() == 1
    home.tell("a-0", 0, LATER)
    assert home.mature(LATER) == 0
    assert home.cells("accuracy") == {(0, "control", "", ""): (1, 1)}


def test_of_several_outcomes_the_last_one_in_time_counts(home: EvidenceHome) -> None:
    serve(home)
    home.tell("a-0", 1)
    home.tell("a-0", 0, SERVED + MATURITY)
    home.tell("a-0", 1, SERVED + MATURITY + MOMENT)
    assert home.mature(LATER) == 1
    assert home.cells("accuracy") == {(0, "control", "", ""): (1, 0)}


def test_a_unit_without_an_outcome_in_time_is_due_and_not_labelled(home: EvidenceHome) -> None:
    serve(home)
    home.tell("a-0", 1, SERVED + MATURITY + MOMENT)
    assert home.mature(LATER) == 1
    assert home.cells("accuracy") == {}
    assert home.units()[2:] == (1, 0)


def test_an_outcome_may_come_before_its_row_and_by_the_callers_id(home: EvidenceHome) -> None:
    home.tell("a-0", 0)
    keep(home.engine, [Outcome(model="credit", id="x", outcome=1)], SERVED)
    serve(home)
    serve(home, "b", caller_id="x")
    assert home.mature() == 2
    assert home.cells("accuracy") == {(0, "control", "", ""): (2, 1)}


def test_labels_are_equal_as_the_log_has_them(home: EvidenceHome) -> None:
    for name, outcome in (("a", 1.0), ("b", True), ("c", "1"), ("d", 1)):
        serve(home, name)
        home.tell(f"{name}-0", outcome)
    assert home.mature() == 4
    assert home.cells("accuracy") == {(0, "control", "", ""): (4, 2)}


def test_a_unit_whose_row_failed_is_due_and_says_nothing_of_outcomes(home: EvidenceHome) -> None:
    begin = begun("a")
    home.ship(begin, failed(begin))
    assert home.mature() == 1
    assert (home.cells("accuracy"), home.units()[2:]) == ({}, (1, 0))


def test_an_answer_that_is_still_in_the_spool_is_waited_for(home: EvidenceHome) -> None:
    begin, lost = begun("a"), begun("b", "v")
    home.ship(begin, lost)
    home.tell("a-0", 1)
    assert home.mature() == 0
    home.ship(answered(begin, 1))
    assert home.mature() == 1
    assert home.mature(SERVED + MATURITY + maturity.LATE_ANSWERS) == 1
    assert home.cells("accuracy") == {(0, "control", "", ""): (1, 1)}
    assert home.units()[2:] == (2, 1)


def test_attributes_that_come_late_count_in_labelled_statistics(home: EvidenceHome) -> None:
    home.plan = plan({"metric": "dp_diff", "margin": 0.05, "attribute": "sex", "stage": "labelled"})
    serve(home, protected=[None])
    serve(home, "b", unit="u", protected=[None])
    told = [
        AttributeRecord(prediction_id="a-0", protected={"sex": "m"}),
        AttributeRecord(unit="u", protected={"sex": "f"}),
    ]
    keep_attributes(home.engine, told, str)
    assert home.cells("dp_diff:sex") == {}
    assert home.units(attribute="sex", group="unknown")[:2] == (2, 2)
    assert home.mature() == 2
    assert home.cells("dp_diff:sex") == {(0, "control", "", "m"): (1, 1), (0, "control", "", "f"): (1, 1)}
    assert home.units(attribute="sex", group="m")[2:] == (1, 0)


def test_bulk_rows_mature_like_any_other(home: EvidenceHome) -> None:
    rows = 1_200
    begin = begun(
        "a",
        positions=list(range(rows)),
        unit_hashes=[f"u{i % 30}" for i in range(rows)],
        cohorts=["control"] * rows,
        protected=[{"sex": "fm"[i % 2]} for i in range(rows)],
    )
    home.ship(answered(begin, 1))
    outcomes = [Outcome(prediction_id=f"a-{place}", outcome=place % 3 % 2) for place in range(30)]
    keep(home.engine, outcomes, SERVED)
    assert home.mature() == 30
    assert home.cells("accuracy") == {(0, "control", "", ""): (30, 10)}
    assert home.cells("eodds_diff:sex")[0, "control", "tpr", "f"] == (5, 5)


def test_a_plan_without_labelled_guardrails_has_nothing_to_wait_for(home: EvidenceHome) -> None:
    home.plan = plan(*FAST)
    serve(home)
    assert home.mature(LATER) == 0
    assert home.units() == (1, 1, 0, 0)


def test_of_a_prediction_that_is_kept_no_longer_the_outcome_is_not_known(home: EvidenceHome) -> None:
    serve(home)
    home.tell("a-0", 1)
    with home.engine.begin() as connection:
        connection.execute(delete(PREDICTION))
    assert home.mature() == 1
    assert home.units()[2:] == (1, 0)


def test_pairs_are_counted_as_differences_on_the_same_row(home: EvidenceHome) -> None:
    home.plan = plan(
        *FAST,
        {"metric": "latency_slo", "margin": 0.01, "slo_ms": 0.28},
        {"metric": "accuracy", "margin": 0.02},
        {"metric": "brier", "margin": 0.02},
    )
    for name in "abcd":
        serve(home, name, arm="champion_only")
    statuses = {"a": "ok", "b": "ok", "c": "error", "d": "dropped"}
    home.show(*(pair(f"{name}-0", f"u{name}", status=status) for name, status in statuses.items()))
    home.show(pair("a-1", "ua", challenger_prediction=1))  # a later row of a unit that was counted
    assert home.units("paired") == (4, 3, 0, 0)
    assert home.cells("error_rate") == {(0, "paired", "", ""): (3, 1)}
    assert home.cells("latency_slo") == {(0, "paired", "", ""): (3, 3)}
    assert home.cells("dp_diff:sex") == {(0, "paired", "", "f"): (2, -2)}
    home.tell("a-0", 1)
    home.tell("b-0", 0)
    assert home.mature() == 3
    assert home.mature(LATER) == 0
    assert home.units("paired") == (4, 3, 3, 2)
    assert home.cells("accuracy") == {(0, "paired", "", ""): (2, 0)}
    assert home.evidence().cells["accuracy"][0, "paired", "", ""].squares == 2
    assert home.cells("brier") == {(0, "paired", "", ""): (2, 0)}


def test_pairs_of_rows_without_a_unit_are_evidence_only_where_requests_are_analysed(home: EvidenceHome) -> None:
    home.show(pair("a-0", None))
    assert home.units("paired") == (0, 0, 0, 0)
    home.plan = plan(*FAST, unit="request")
    home.show(pair("a-0", None), pair("a-1", None), pair("b-0"))
    home.show(pair("a-1", None))
    assert home.units("paired")[:2] == (2, 2)


def test_pairs_of_bulk_rows_are_in_the_groups_of_their_block(home: EvidenceHome) -> None:
    rows = 1_200
    units = [f"u{i}" for i in range(rows)]
    groups = [{"sex": "fm"[i % 2]} for i in range(rows)]
    begin = begun("a", positions=list(range(rows)), unit_hashes=units, cohorts=[None] * rows, protected=groups)
    home.ship(answered(begin, 1))
    home.show(*(pair(f"a-{place}", f"u{place}") for place in range(10)))
    assert home.cells("dp_diff:sex") == {(0, "paired", "", "f"): (5, -5), (0, "paired", "", "m"): (5, -5)}


@settings(max_examples=6)
@given(
    told=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1), st.integers(-2, 2)), max_size=12),
    deaths=st.lists(st.integers(0, 60), max_size=3),
)
def test_whoever_dies_and_whenever_it_is_asked_each_unit_counts_with_its_last_outcome_in_time(
    told: list[tuple[int, int, int]], deaths: list[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(maturity, "_UNITS_AT_ONCE", 2)
        home = EvidenceHome(Path(folder), migrated_engine(Path(folder) / "log.db", "log"))
        begins = [begun(f"a{i}", f"u{i}", served_at=SERVED.timestamp() + i) for i in range(5)]
        home.ship(*(line for begin in begins for line in (begin, answered(begin, 1))))
        latest: dict[int, int] = {}
        for number, outcome, late in sorted(told, key=lambda each: each[2]):
            home.tell(f"a{number}-0", outcome, SERVED + MATURITY + number * MOMENT + late * MOMENT)
            if late <= 0:
                latest[number] = outcome
        for death in deaths:
            killed_at(death, lambda: home.mature(SERVED + MATURITY + 2 * MOMENT), ("rollout/maturity.py",))
        home.mature(LATER)
        right = Counter(latest.values())
        counted = home.cells("accuracy").get((0, "control", "", ""), (0, 0))
        assert counted == (len(latest), right[1])
        assert home.units()[2:] == (5, len(latest))
        home.engine.dispose()


def test_after_its_time_no_further_units_are_begun_with(
    home: EvidenceHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maturity, "_UNITS_AT_ONCE", 1)
    for name in ("a", "b"):
        serve(home, name)
    for left in (1, 1, 0):
        assert maturity.mature(home.engine, ROLLOUT, home.plan, LATER, timedelta(0)) == left
