"""A replay compares what was answered with what would have been, on the rows that a rollout would analyse."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import numpy as np
import pytest

from inference.signature import Column, ColumnType, Signature, Task
from monitoring.predictions import BULK_ROWS
from replay.errors import ColumnsMissingError, NotComparableError, NothingLoggedError
from replay.report_html import html
from replay.result import ReplayResult
from rollout.guardrail import Verdict
from rollout.plan import Plan
from tests.unit.replay.replay_home import NOW, SERVED, SIGNATURE, ReplayHome, Threshold, answered, contender

STRICT = Threshold(0.7)


def traffic(home: ReplayHome, rows: int = 1_500) -> None:
    """Serve people of two sexes, alike in income, of whom nurses are women; and say who paid back."""
    rng = np.random.default_rng(1)
    incomes = rng.random(rows).round(3)
    women = rng.random(rows) < 0.5
    home.serve(
        *(
            answered(
                f"r{start}",
                incomes[start : start + 100].tolist(),
                jobs=["nurse" if one else "guard" for one in women[start : start + 100]],
                protected=[{"sex": "f" if one else "m"} for one in women[start : start + 100]],
            )
            for start in range(0, rows, 100)
        )
    )
    paid = rng.random(rows) < incomes
    home.tell({f"r{place // 100 * 100}-{place % 100}": int(one) for place, one in enumerate(paid)})


def verdicts(found: ReplayResult) -> dict[str, Verdict]:
    return {one.guardrail: one.verdict for one in found.judged()}


def test_a_version_that_decides_alike_harms_nothing(home: ReplayHome) -> None:
    traffic(home)
    found = home.replay(contender("2"))
    assert set(verdicts(found).values()) == {Verdict.PASSED}
    assert (found.verdict, found.changed_decisions, found.changes) == (Verdict.PASSED, (), ())
    assert (found.rows.logged, found.rows.compared, found.rows.checked, found.rows.differing) == (
        1500,
        1500,
        1000,
        0,
    )
    assert found.outcomes.known == found.outcomes.due == 1500
    theirs, ours = found.calibration or ()
    assert ours == theirs
    assert ours.error is not None
    assert ours.error < 0.06
    assert "0.9 to 1</td><td" in html(found)


def test_harm_to_a_group_is_found_with_the_decisions_that_flip(home: ReplayHome) -> None:
    traffic(home)
    found = home.replay(contender("2", Threshold(harmed="nurse")))
    assert found.verdict is Verdict.VIOLATED
    assert Verdict.VIOLATED in {verdict for name, verdict in verdicts(found).items() if "dp_diff:sex" in name}
    flips = {(one.group, one.before, one.after): one.rows for one in found.changed_decisions}
    (women,) = (one for one in found.rates if one.group == "f")
    (men,) = (one for one in found.rates if one.group == "m")
    assert flips == {("", 1, 0): flips["f", 1, 0], ("f", 1, 0): flips["f", 1, 0]}
    assert women.selection_rate[1] == 0.0
    assert men.selection_rate[0] == men.selection_rate[1]
    assert flips["f", 1, 0] == round((women.selection_rate[0] or 0) * women.rows)
    largest = found.changes[0]
    assert largest.score_before - largest.score_after >= 0.49
    assert (largest.before, largest.after) == (1, 0)


def test_the_first_row_of_each_unit_counts_and_rows_without_one_count_each(home: ReplayHome) -> None:
    later = SERVED.timestamp() + 60
    home.serve(
        answered("b", [0.9, 0.2], unit_hashes=["one", "two"], served_at=later),
        answered("a", [0.1, 0.6], unit_hashes=["one", None]),
        answered("c", [0.6, 0.6], unit_hashes=[None, "one"], served_at=later),
    )
    found = home.replay(contender("2", Threshold(0.15)), maturity=timedelta(0))
    assert (found.rows.archived, found.rows.later, found.rows.compared, found.rows.without_unit) == (6, 2, 4, 2)
    assert [(one.before, one.after, one.rows) for one in found.changed_decisions] == [
        (0, 1, 1)
    ]  # two, and not one's 0.1
    requests = Plan.parse(
        {
            "model": "credit",
            "unit": "request",
            "on_missing_key": "request",
            "steps": [{"weight": 0.1}],
            "guardrails": [{"metric": "error_rate", "margin": 0.1}],
        }
    )
    assert home.replay(contender("2"), plan=requests).rows.compared == 6


def test_what_no_rollout_analyses_is_left_out_and_counted(home: ReplayHome) -> None:
    home.serve(
        answered("a", [0.9]),
        answered("n", [0.9], variant=None),
        answered("o", [0.9], cohorts=["override"]),
        answered("k", [0.9], caller_ids=["mine"]),
        answered("l", [0.9], caller_ids=["mine"], served_at=SERVED.timestamp() + 1),
        answered("x", [0.9], model="other"),
    )
    rows = home.replay(contender("2")).rows
    assert (rows.logged, rows.archived, rows.compared) == (5, 5, 2)
    assert (rows.by_number, rows.overridden, rows.repeats) == (1, 1, 1)


def test_rows_of_a_third_version_are_scored_by_both(home: ReplayHome) -> None:
    home.serve(
        answered("a", [0.6]),
        answered("b", [0.6], model_version="2", predictions=[0]),
        answered("c", [0.6], model_version="3", predictions=[0]),
    )
    found = home.replay(contender("2", STRICT))
    assert (found.rows.rescored, found.rows.checked, found.rows.differing) == (2, 2, 0)
    assert [(one.before, one.after, one.rows) for one in found.changed_decisions] == [(1, 0, 3)]


def test_an_answer_that_does_not_come_out_again_is_told_and_many_are_refused(home: ReplayHome) -> None:
    home.serve(answered("a", [0.9] * 100, predictions=[0, *[1] * 99]))
    found = home.replay(contender("2"))
    assert found.rows.differing == 1
    assert any("scored anew are not what the log says" in note for note in found.notes)
    home.serve(answered("b", [0.9] * 100, predictions=[0] * 100))
    with pytest.raises(NotComparableError, match=r"101 of 200 logged answers .* are not those of the versions"):
        home.replay(contender("2"))


def test_rows_from_before_a_version_was_made_are_not_its_own(home: ReplayHome) -> None:
    before = SERVED.timestamp() - 3600
    home.serve(answered("a", [0.9] * 100, predictions=[0] * 100, served_at=before), answered("b", [0.9] * 50))
    rows = home.replay(contender("2")).rows
    assert (rows.compared, rows.rescored, rows.checked, rows.differing) == (150, 100, 50, 0)


def test_rows_that_a_signature_refuses_are_errors_of_the_challenger(home: ReplayHome) -> None:
    known = Column(name="job", type=ColumnType.STRING, categories=("nurse",))
    narrow = dataclasses.replace(
        Threshold(), signature=Signature(columns=(SIGNATURE.columns[0], known), task=Task.BINARY, classes=(0, 1))
    )
    home.serve(answered("a", [0.6, 0.7, 0.8], jobs=["nurse", "guard", None]))
    found = home.replay(contender("2", narrow))
    (errors,) = (one for one in found.judged() if one.guardrail == "error_rate")
    assert (found.rows.refused, errors.n, errors.estimate) == (2, 3, pytest.approx(2 / 3))
    assert found.changed_decisions == ()


def test_bulk_requests_are_replayed_with_their_units_and_groups(home: ReplayHome) -> None:
    rows = BULK_ROWS + 10
    record = answered(
        "bulk",
        [0.6] * rows,
        protected=[{"sex": "f"}] * rows,
        unit_hashes=[f"u{place // 2}" for place in range(rows)],
    )
    columns = {name: [row[name] for row in record.features] for name in ("income", "job")}  # type: ignore[index]
    home.serve(dataclasses.replace(record, features=columns))
    found = home.replay(contender("2", STRICT))
    assert found.rows.compared == rows / 2
    assert {(one.group, one.rows) for one in found.changed_decisions} == {("", rows / 2), ("f", rows / 2)}


def test_outcomes_count_that_were_received_in_time_and_are_due(home: ReplayHome) -> None:
    home.serve(
        answered("a", [0.9, 0.8]),
        answered("b", [0.9], served_at=NOW.timestamp() - 3600),
        answered("c", [0.9], caller_ids=["mine"]),
    )
    home.tell({"a-0": 1}, SERVED + timedelta(days=1))
    home.tell({"a-1": 1}, SERVED + timedelta(days=5))
    home.tell({"b-0": 1, "c-0": 0})
    outcomes = home.replay(contender("2"), maturity=timedelta(days=3)).outcomes
    assert (outcomes.due, outcomes.known) == (3, 2)


def test_outcomes_of_granted_credits_alone_decide_nothing(home: ReplayHome) -> None:
    rng = np.random.default_rng(2)
    incomes = rng.random(1_000).round(3)
    home.serve(*(answered(f"r{start}", incomes[start : start + 100].tolist()) for start in range(0, 1_000, 100)))
    home.tell({f"r{p // 100 * 100}-{p % 100}": 1 for p, income in enumerate(incomes) if income >= 0.5})
    found = home.replay(contender("2"))
    assert found.outcomes.selective
    assert verdicts(found)["accuracy"] is Verdict.INSUFFICIENT_DATA
    assert verdicts(found)["selection_rate"] is Verdict.PASSED
    assert any("nobody knows what came true" in note for note in found.notes)


def test_selective_outcomes_are_noticed_where_losses_alone_are_judged(home: ReplayHome) -> None:
    incomes = np.random.default_rng(2).random(400).round(3)
    home.serve(*(answered(f"r{start}", incomes[start : start + 100].tolist()) for start in range(0, 400, 100)))
    home.tell({f"r{p // 100 * 100}-{p % 100}": 1 for p, income in enumerate(incomes) if income >= 0.5})
    steps = [{"weight": 0.1}]
    plan = Plan.parse({"model": "credit", "steps": steps, "guardrails": [{"metric": "brier", "margin": 0.5}]})
    found = home.replay(contender("2"), plan=plan)
    assert found.outcomes.selective
    assert verdicts(found) == {"brier": Verdict.INSUFFICIENT_DATA}


def test_a_plan_judges_by_its_guardrails_and_says_what_a_replay_cannot(home: ReplayHome) -> None:
    traffic(home)
    plan = Plan.parse(
        {
            "model": "credit",
            "steps": [{"weight": 0.1}],
            "label_maturity": "1d",
            "guardrails": [
                {"metric": "latency_slo", "slo_ms": 100, "margin": 0.1},
                {"metric": "dp_ratio", "attribute": "sex", "margin": 0.2},
                {"metric": "dp_diff", "attribute": "sex", "compare": "absolute", "margin": 0.2},
                {"metric": "accuracy", "margin": 0.5},
            ],
        }
    )
    found = home.replay(contender("2", STRICT), plan=plan)
    assert set(found.left_out) == {"latency_slo", "dp_ratio:sex"}
    assert verdicts(found) == {"dp_diff:sex": Verdict.PASSED, "accuracy": Verdict.PASSED}
    assert found.verdict is Verdict.PASSED


def test_without_outcomes_labelled_verdicts_lack_data(home: ReplayHome) -> None:
    home.serve(answered("a", [0.9] * 50))
    found = home.replay(contender("2"))
    assert found.verdict is Verdict.INSUFFICIENT_DATA
    assert verdicts(found)["accuracy"] is Verdict.NO_DATA


def test_what_cannot_be_replayed_is_said_with_the_remedy(home: ReplayHome) -> None:
    with pytest.raises(NothingLoggedError, match="answered nothing in the window; take a longer one"):
        home.replay(contender("2"))
    home.serve(answered("a", [0.9], features=()))
    with pytest.raises(NothingLoggedError, match="none has features in the log"):
        home.replay(contender("2"))
    home.serve(answered("b", [0.9]))
    wider = Signature(
        columns=(*SIGNATURE.columns, Column(name="age", type=ColumnType.DOUBLE)), task=Task.BINARY, classes=(0, 1)
    )
    with pytest.raises(ColumnsMissingError, match="credit/2 needs 'age', which no logged row of the window has"):
        home.replay(contender("2", dataclasses.replace(Threshold(), signature=wider)))
    with pytest.raises(NotComparableError, match="compared with itself"):
        home.replay(contender("1"))
    number = Signature(columns=SIGNATURE.columns, task=Task.REGRESSION)
    with pytest.raises(NotComparableError, match="no classifier"):
        home.replay(contender("2", dataclasses.replace(Threshold(), signature=number)))
    other = Signature(columns=SIGNATURE.columns, task=Task.BINARY, classes=("no", "yes"))
    with pytest.raises(NotComparableError, match="other labels"):
        home.replay(contender("2", dataclasses.replace(Threshold(), signature=other)))


def test_whom_the_defaults_say_nothing_of_is_told_and_passes_nobody(home: ReplayHome) -> None:
    rng = np.random.default_rng(3)
    for start in range(0, 1_200, 100):
        incomes = rng.random(100).round(3).tolist()
        rows = [{"sex": "fm"[place % 2], "nationality": "ab"[place % 100 == 0]} for place in range(100)]
        rows[1]["sex"] = "x"
        home.serve(answered(f"r{start}", incomes, protected=rows))
        home.tell({f"r{start}-{place}": int(income > rng.random()) for place, income in enumerate(incomes)})
    found = home.replay(contender("2"))
    assert set(verdicts(found).values()) == {Verdict.PASSED}
    assert found.verdict is Verdict.INSUFFICIENT_DATA
    assert "harm to groups of 'sex' with too few rows is not judged: 'x'" in found.notes
    assert any(note.startswith("no gap of 'nationality' is judged") for note in found.notes)


def test_without_protected_attributes_nothing_is_said_of_fairness(home: ReplayHome) -> None:
    home.serve(answered("a", [0.9] * 50))
    assert "no protected attribute is in the log: fairness is not judged" in home.replay(contender("2")).notes
