"""One look at the evidence: every guardrail on the right arm, what is missing named, and the split checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rollout.coverage import coverages, expected_shares
from rollout.evaluating import Evaluation, deciding_arms, evaluate
from rollout.evaluations import evidence_of, inputs_of
from rollout.evidence import Cell, CellKey, Evidence, UnitCount, UnitKey
from rollout.guardrail import Verdict
from rollout.holds import kind_of
from rollout.judging import Judgement
from rollout.plan import Plan
from tests.unit.rollout.evaluations import NOW, guarded

ARMS = ("challenger", "control")
SHADOW, CANARY = 0, 1


def units(step: int = CANARY, *, arms: tuple[str, ...] = ARMS, **counts: int) -> dict[UnitKey, UnitCount]:
    """Units of each arm, half of either sex; all answered and labelled unless said otherwise."""
    full = {"assigned": 4_000, "completed": 4_000, "due": 4_000, "labelled": 4_000} | counts
    half = {name: count // 2 for name, count in full.items()}
    found = {}
    for arm in arms:
        found[UnitKey(step, arm, "", "")] = UnitCount(**full)
        for sex in "12":
            found[UnitKey(step, arm, "SEX", sex)] = UnitCount(**half)
    return found


def cells(step: int = CANARY, arms: tuple[str, ...] = ARMS) -> dict[str, dict[CellKey, Cell]]:
    """What an equal challenger shows: 1 % errors, half selected, 80 % right; of pairs, few differ."""
    of_arm = {"error_rate": 40, "accuracy": 3_200}
    paired = arms == ("paired",)
    found: dict[str, dict[CellKey, Cell]] = {
        name: {CellKey(step, arm, "", ""): Cell(4_000, 0.0 if paired else float(yes), float(yes)) for arm in arms}
        for name, yes in of_arm.items()
    }
    found["dp_diff:SEX"] = {
        CellKey(step, arm, "", sex): Cell(2_000, 0.0 if paired else 1_000.0, 40.0 if paired else 1_000.0)
        for arm in arms
        for sex in "12"
    }
    return found


def look(
    plan: Plan, step: int = CANARY, *, counts: Mapping[UnitKey, UnitCount] | None = None, **more: Any
) -> Evaluation:
    evidence = Evidence(cells=cells(), units=units() if counts is None else counts, watermark=NOW)
    return evaluate(plan, step, replace(evidence, **more), NOW)


def verdicts(found: Evaluation) -> dict[tuple[str, str], Verdict]:
    return {(one.guardrail, one.arm): one.verdict for one in found.judgements}


def judgement(found: Evaluation, guardrail: str, arm: str = "challenger") -> Judgement:
    (one,) = [one for one in found.judgements if (one.guardrail, one.arm) == (guardrail, arm)]
    return one


def test_in_shadow_the_pairs_are_judged_and_later_the_served_arms_too() -> None:
    plan = guarded(goals=[])
    shadow = look(plan, SHADOW, cells=cells(SHADOW, ("paired",)), counts=units(SHADOW, arms=("paired",)))
    assert {arm for _, arm in verdicts(shadow)} == {"paired"}
    assert {arm for _, arm in verdicts(look(plan))} == {"challenger", "paired"}
    without = guarded(steps=[{"weight": 0.1}])
    assert {arm for _, arm in verdicts(look(without, 0))} == {"challenger"}


def test_each_challenger_and_each_goal_is_judged() -> None:
    goal = {"metric": "selection_rate", "margin": 0.0, "required": False}
    plan = guarded(challengers=["2", "3"], steps=[{"weights": [0.1, 0.1]}], goals=[goal])
    assert {arm for name, arm in verdicts(look(plan, 0)) if name == "selection_rate"} == {
        "challenger",
        "challenger-2",
    }


def test_limits_and_ratios_say_nothing_of_pairs() -> None:
    limit = {"metric": "dp_diff", "attribute": "SEX", "compare": "absolute", "margin": 0.2, "id": "limit"}
    ratio = {"metric": "dp_ratio", "attribute": "SEX", "margin": 0.2}
    plan = guarded(guardrails=[limit, ratio])
    for guardrail in plan.guardrails:
        assert deciding_arms(plan, SHADOW, guardrail) == ()
        assert deciding_arms(plan, CANARY, guardrail) == ("challenger",)
    assert look(plan, SHADOW).judgements == ()


def test_outcomes_that_are_not_known_decide_nothing_and_hold() -> None:
    plan = guarded()
    assert judgement(look(plan), "accuracy").verdict in {Verdict.INCONCLUSIVE, Verdict.PASSED}
    few = units() | {UnitKey(CANARY, "control", "", ""): UnitCount(4_000, 4_000, 4_000, 3_199)}
    found = look(plan, counts=few)
    assert judgement(found, "accuracy").verdict is Verdict.INSUFFICIENT_DATA
    assert "outcomes of only 3,199 of 4,000 units" in str(judgement(found, "accuracy").reason)
    assert "label_coverage" in set(map(kind_of, found.holds))
    assert found.coverage["labels:control"] == pytest.approx(0.79975)
    assert found.coverage["labels:challenger"] == 1.0
    assert judgement(found, "dp_diff:SEX").verdict is not Verdict.INSUFFICIENT_DATA


def test_of_the_first_few_units_no_coverage_holds() -> None:
    found = look(guarded(), counts=units(assigned=99, completed=99, due=99, labelled=50))
    assert "label_coverage" not in set(map(kind_of, found.holds))


def test_groups_that_are_not_known_decide_nothing_and_hold() -> None:
    counts = {key: count for key, count in units().items() if key.group != "2" or key.arm == "control"}
    counts[UnitKey(CANARY, "challenger", "SEX", "unknown")] = UnitCount(2_000, 2_000, 2_000, 2_000)
    found = look(guarded(), counts=counts)
    assert judgement(found, "dp_diff:SEX").verdict is Verdict.INSUFFICIENT_DATA
    assert "'SEX' of only 2,000 of 4,000 units" in str(judgement(found, "dp_diff:SEX").reason)
    assert "attribute_coverage" in set(map(kind_of, found.holds))
    assert (found.coverage["attribute:SEX:challenger"], found.coverage["attribute:SEX:control"]) == (0.5, 1.0)
    assert judgement(found, "error_rate").verdict is not Verdict.INSUFFICIENT_DATA


def test_harm_to_those_whose_group_is_known_is_harm() -> None:
    counts = {key: count for key, count in units().items() if key.group != "2" or key.arm == "control"}
    counts[UnitKey(CANARY, "challenger", "SEX", "unknown")] = UnitCount(2_000, 2_000, 2_000, 2_000)
    harmed = cells()
    harmed["dp_diff:SEX"][CellKey(CANARY, "challenger", "", "2")] = Cell(2_000, 200.0, 200.0)
    found = look(guarded(), cells=harmed, counts=counts)
    assert judgement(found, "dp_diff:SEX").verdict is Verdict.VIOLATED


def test_outcomes_of_one_group_that_are_not_known_decide_nothing() -> None:
    plan = guarded(guardrails=[{"metric": "group_accuracy_min", "attribute": "SEX", "margin": 0.1}])
    counts = units()
    for arm in ARMS:
        counts[UnitKey(CANARY, arm, "SEX", "2")] = UnitCount(2_000, 2_000, 2_000, 200)
    found = judgement(
        look(plan, cells={plan.guardrails[0].name: cells()["dp_diff:SEX"]}, counts=counts), plan.guardrails[0].name
    )
    assert found.verdict is Verdict.INSUFFICIENT_DATA
    assert "outcomes of only 200 of 2,000 units" in str(found.reason)


def test_attributes_that_come_late_need_no_outcomes() -> None:
    late = {"metric": "dp_diff", "attribute": "SEX", "margin": 0.1, "stage": "labelled"}
    for plan in (guarded(guardrails=[late]), guarded(guardrails=[late], selective_labels=True)):
        found = judgement(look(plan, counts=units(labelled=0)), "dp_diff:SEX")
        assert found.verdict is not Verdict.INSUFFICIENT_DATA


def test_attributes_that_come_with_outcomes_are_covered_when_those_are_due() -> None:
    late = {"metric": "dp_diff", "attribute": "SEX", "margin": 0.1, "stage": "labelled"}
    plan = guarded(guardrails=[late])
    counts = units()
    counts = {key: count._replace(completed=0) if key.attribute else count for key, count in counts.items()}
    assert coverages(plan, counts)["attribute:SEX"] == 1.0
    assert judgement(look(plan, counts=counts), "dp_diff:SEX").verdict is not Verdict.INSUFFICIENT_DATA


def test_selective_labels_leave_only_pairs_to_outcomes_with_the_caveat_told() -> None:
    plan = guarded(selective_labels=True)
    accuracy = plan.guardrails[2]
    assert deciding_arms(plan, CANARY, accuracy) == ("paired",)
    pairs = cells(SHADOW, ("paired",))
    found = look(plan, cells=pairs, counts=units(SHADOW, arms=("paired",)))
    assert ("accuracy", "challenger") not in verdicts(found)
    assert "champion's decisions" in str(judgement(found, "accuracy", "paired").reason)
    served_only = guarded(selective_labels=True, steps=[{"weight": 0.1}])
    refused = judgement(look(served_only, 0), "accuracy")
    assert refused.verdict is Verdict.INSUFFICIENT_DATA
    assert "only shadow traffic" in str(refused.reason)


@pytest.mark.parametrize("stage", ["assigned", "completed", "labelled"])
def test_an_uneven_split_at_any_stage_holds(stage: str) -> None:
    counts = units()
    key = UnitKey(CANARY, "challenger", "", "")
    counts[key] = counts[key]._replace(**{stage: 3_000})
    found = look(guarded(), counts=counts)
    alarms = {(one.stage, one.attribute) for one in found.splits if one.alarm}
    assert alarms == {(stage, "")}
    assert kind_of(found.holds[0]) == "srm"


def test_outcomes_lost_in_one_group_of_one_arm_hold() -> None:
    counts = units()
    key = UnitKey(CANARY, "challenger", "SEX", "2")
    counts[key] = counts[key]._replace(labelled=1_400)
    (alarm,) = [one for one in look(guarded(), counts=counts).splits if one.alarm]
    assert (alarm.stage, alarm.attribute, alarm.group) == ("labelled", "SEX", "2")


def test_the_shares_that_are_expected_are_those_of_the_step() -> None:
    plan = guarded(challengers=["2", "3"], steps=[{"weights": [0.1, 0.3]}])
    assert expected_shares(plan, plan.steps[0]) == pytest.approx(
        {"challenger": 1 / 7, "challenger-2": 3 / 7, "control": 3 / 7}
    )
    four = guarded()
    assert [expected_shares(four, step) for step in four.steps] == [
        {},
        {"challenger": 0.5, "control": 0.5},
        {"challenger": 0.5, "control": 0.5},
        {"challenger": 0.5, "control": 0.5},
    ]
    assert expected_shares(four, four.steps[1].model_copy(update={"weight": 0.0})) == {}


@pytest.mark.parametrize(("crossed", "holds"), [(0, False), (2, False), (8, False), (9, True)])
def test_units_in_two_arms_of_one_step_hold(crossed: int, holds: bool) -> None:
    found = look(guarded(), crossed=crossed)
    assert ("crossed_units" in set(map(kind_of, found.holds))) == holds
    assert found.crossed == crossed / 8_000


def test_rows_that_stay_away_hold() -> None:
    plan, late = guarded(no_data_after="10m"), NOW + timedelta(minutes=11)
    evidence = Evidence(watermark=NOW)
    assert "no_data" in set(map(kind_of, evaluate(plan, CANARY, evidence, late).holds))
    assert "no_data" not in set(map(kind_of, evaluate(plan, CANARY, evidence, late, entered_at=late).holds))
    assert "no_data" in set(map(kind_of, evaluate(plan, CANARY, Evidence(), late, entered_at=NOW).holds))
    assert "no_data" not in set(map(kind_of, evaluate(plan, CANARY, Evidence(), late).holds))


def test_a_judgement_that_fails_is_an_error_that_holds_and_no_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_args: object, **_more: object) -> None:
        raise ZeroDivisionError("a value that must not be told")

    monkeypatch.setattr("rollout.evaluating.judge", fails)
    found = look(guarded())
    assert set(verdicts(found).values()) == {Verdict.ERROR}
    assert "error" in set(map(kind_of, found.holds))
    assert "must not be told" not in json.dumps(found.to_dict())


def test_an_evaluation_and_its_inputs_are_json_and_come_back_the_same() -> None:
    evidence = Evidence(cells=cells(), units=units(), crossed=3, watermark=NOW)
    found = evaluate(guarded(), CANARY, evidence, NOW)
    assert Evaluation.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    inputs = json.loads(json.dumps(inputs_of(evidence, NOW, ())))
    assert evidence_of(inputs) == evidence
    assert evaluate(guarded(), CANARY, evidence_of(inputs), NOW) == found
    assert found.units == {"challenger": 4_000, "control": 4_000}
