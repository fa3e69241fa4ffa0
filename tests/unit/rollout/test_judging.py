"""Verdicts: what is violated, passed or undecided, for every kind of guardrail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.evidence import CHALLENGER, CONTROL, PAIRED, Cell, CellKey, Cells
from rollout.guardrail import Guardrail, Verdict
from rollout.judging import Judgement, alphas, judge, judge_split
from rollout.plan import Plan


def yes(n: int, k: float) -> Cell:
    return Cell(n, float(k), float(k))


def two(challenger: Cell, control: Cell, step: int = 0) -> Cells:
    return {CellKey(step, CHALLENGER, "", ""): challenger, CellKey(step, CONTROL, "", ""): control}


def by_group(
    challenger: dict[str, float], control: dict[str, float], n: dict[str, int], *, part: str = "", step: int = 0
) -> Cells:
    arms = ((CHALLENGER, challenger), (CONTROL, control))
    return {
        CellKey(step, arm, part, group): yes(n[group], round(n[group] * rate))
        for arm, rates in arms
        for group, rate in rates.items()
    }


def verdict(guardrail: Guardrail, cells: Cells, arm: str = CHALLENGER, alpha: float = 0.05) -> Judgement:
    return judge(guardrail, cells, arm=arm, alpha_rollback=alpha, alpha_promote=alpha)


def guard(metric: str, margin: float, **others: Any) -> Guardrail:
    return Guardrail.model_validate({"metric": metric, "margin": margin} | others)


@pytest.mark.parametrize(
    ("metric", "worse", "same"),
    [
        ("error_rate", yes(4_000, 320), yes(4_000, 40)),
        ("accuracy", yes(4_000, 3_000), yes(4_000, 3_400)),
        ("selection_rate", yes(4_000, 900), yes(4_000, 1_200)),
        ("log_loss", Cell(4_000, 2_400.0, 1_800.0), Cell(4_000, 2_000.0, 1_300.0)),
        ("brier", Cell(4_000, 1_000.0, 500.0), Cell(4_000, 600.0, 200.0)),
    ],
)
def test_a_worse_challenger_is_violated_and_an_equal_one_passes(metric: str, worse: Cell, same: Cell) -> None:
    guardrail = guard(metric, 0.04)
    assert verdict(guardrail, two(worse, same)).verdict is Verdict.VIOLATED
    assert verdict(guardrail, two(same, same)).verdict is Verdict.PASSED
    assert verdict(guardrail, two(same, worse)).verdict is Verdict.PASSED


def test_a_control_that_never_failed_does_not_hide_errors() -> None:
    guardrail = guard("error_rate", 0.01)
    assert verdict(guardrail, two(yes(400, 40), yes(400, 0))).verdict is Verdict.VIOLATED
    assert verdict(guardrail, two(yes(2_000, 0), yes(2_000, 0))).verdict is Verdict.PASSED


def test_rare_yeses_and_rare_noes_get_a_verdict_without_ten_of_each() -> None:
    for metric, few in (("selection_rate", yes(4_000, 5)), ("accuracy", yes(4_000, 3_995))):
        assert verdict(guard(metric, 0.02), two(few, few)).verdict is Verdict.PASSED


@pytest.mark.parametrize("metric", ["log_loss", "brier", "latency_logmean", "mean_outcome"])
def test_means_wait_for_the_burn_in_and_say_so(metric: str) -> None:
    found = verdict(guard(metric, 0.1), two(Cell(100, 50.0, 30.0), Cell(100, 50.0, 30.0)))
    assert found.verdict is Verdict.INSUFFICIENT_DATA
    assert found.reason == "the burn-in has 200 of 500 observations"
    constant = verdict(guard(metric, 0.1), two(Cell(400, 200.0, 100.0), Cell(400, 200.0, 100.0)))
    assert constant.reason == (
        "challenger has no two observations that differ; control has no two observations that differ"
    )


def test_without_observations_there_is_no_data_and_with_one_arm_too_little() -> None:
    guardrail = guard("accuracy", 0.02)
    assert verdict(guardrail, {}).verdict is Verdict.NO_DATA
    alone = verdict(guardrail, two(yes(900, 800), Cell(0, 0.0, 0.0)))
    assert (alone.verdict, alone.reason) == (Verdict.INSUFFICIENT_DATA, "control has no observation")
    apart = two(yes(900, 800), yes(0, 0), step=0) | two(yes(0, 0), yes(900, 800), step=1)
    assert verdict(guard("error_rate", 0.02), apart).reason == "no step has observations of both arms"


def test_an_undecided_guardrail_says_how_many_more_it_needs() -> None:
    guardrail = guard("accuracy", 0.02)
    cells = two(yes(2_000, 1_700), yes(2_000, 1_700))
    found = verdict(guardrail, cells)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.needed is not None
    times = 1 + found.needed / found.n
    grown = {
        key: Cell(round(cell.n * times), cell.total * times, cell.squares * times) for key, cell in cells.items()
    }
    assert verdict(guardrail, grown).verdict is Verdict.PASSED
    assert found.needed > 0
    assert verdict(guardrail, two(yes(2_000, 1_500), yes(2_000, 1_700))).needed is None


@pytest.mark.parametrize("reference", [None, "m"])
@pytest.mark.parametrize("metric", ["dp_diff", "dp_ratio", "eo_diff", "fpr_diff"])
def test_a_gap_that_widens_is_violated_and_one_that_closes_passes(metric: str, reference: str | None) -> None:
    guardrail = guard(metric, 0.2 if metric == "dp_ratio" else 0.05, attribute="sex", reference=reference)
    n = {"m": 8_000, "w": 3_000}
    fair, unfair = {"m": 0.3, "w": 0.3}, {"m": 0.3, "w": 0.15}
    assert verdict(guardrail, by_group(unfair, fair, n)).verdict is Verdict.VIOLATED
    assert verdict(guardrail, by_group(fair, unfair, n)).verdict is Verdict.PASSED
    assert verdict(guardrail, by_group(fair, fair, n)).verdict is Verdict.PASSED


def test_a_group_of_whom_nobody_is_selected_any_more_is_found_out() -> None:
    cells = by_group({"m": 0.3, "w": 0.0}, {"m": 0.3, "w": 0.3}, {"m": 2_000, "w": 500})
    for metric in ("dp_diff", "dp_ratio"):
        assert verdict(guard(metric, 0.1, attribute="sex"), cells).verdict is Verdict.VIOLATED


def test_a_small_group_stops_a_pass_and_hides_no_harm() -> None:
    guardrail = guard("dp_diff", 0.05, attribute="race")
    n = {"a": 8_000, "b": 8_000, "c": 12}
    same = {"a": 0.3, "b": 0.3, "c": 0.3}
    found = verdict(guardrail, by_group(same, same, n))
    assert found.verdict is Verdict.INSUFFICIENT_DATA
    assert found.reason == "group c has about 4 of 10 yeses in challenger"
    assert found.upper is None
    assert verdict(guardrail, by_group(same | {"b": 0.15}, same, n)).verdict is Verdict.VIOLATED


def test_a_group_that_the_plan_names_and_nobody_saw_is_missed() -> None:
    guardrail = guard("dp_diff", 0.05, attribute="race", groups=("a", "b", "c"))
    same = {"a": 0.3, "b": 0.3}
    found = verdict(guardrail, by_group(same, same, {"a": 8_000, "b": 8_000}))
    assert found.reason == "group c has about 0 of 10 yeses in challenger"


def test_the_unknown_group_is_shown_and_not_compared() -> None:
    guardrail = guard("dp_diff", 0.05, attribute="sex")
    same = {"m": 0.3, "w": 0.3, "unknown": 0.9}
    found = verdict(guardrail, by_group(same, same | {"unknown": 0.1}, {"m": 8_000, "w": 8_000, "unknown": 3_000}))
    assert found.verdict is Verdict.PASSED
    assert {(row.arm, row.group): row.rate for row in found.groups}[CHALLENGER, "unknown"] == 0.9
    only = verdict(guardrail, by_group({"unknown": 0.3}, {"unknown": 0.3}, {"unknown": 4_000}))
    assert only.reason == "0 group of two or more was seen"


def test_equalised_odds_need_both_parts_to_pass_and_one_to_be_violated() -> None:
    guardrail = guard("eodds_diff", 0.05, attribute="sex")
    n, good, bad = {"m": 9_000, "w": 6_000}, {"m": 0.3, "w": 0.3}, {"m": 0.3, "w": 0.45}
    fine = by_group(good, good, n, part="tpr")
    assert verdict(guardrail, fine | by_group(good, good, n, part="fpr")).verdict is Verdict.PASSED
    assert verdict(guardrail, fine | by_group(bad, good, n, part="fpr")).verdict is Verdict.VIOLATED
    assert verdict(guardrail, fine).verdict is Verdict.INSUFFICIENT_DATA


def test_a_limit_is_of_the_challenger_alone() -> None:
    cells = by_group({"a": 0.9, "b": 0.7}, {"a": 0.1, "b": 0.9}, {"a": 6_000, "b": 6_000})
    for metric, margin, expected in (
        ("dp_diff", 0.1, Verdict.VIOLATED),
        ("dp_diff", 0.3, Verdict.PASSED),
        ("dp_ratio", 0.9, Verdict.VIOLATED),
        ("dp_ratio", 0.7, Verdict.PASSED),
        ("group_accuracy_min", 0.8, Verdict.VIOLATED),
        ("group_accuracy_min", 0.6, Verdict.PASSED),
    ):
        found = verdict(guard(metric, margin, compare="absolute", attribute="race"), cells)
        assert (metric, margin, found.verdict) == (metric, margin, expected)
        assert found.lower is not None
        assert found.upper is not None
        assert found.estimate == pytest.approx({"dp_diff": 0.2, "dp_ratio": 7 / 9}.get(metric, 0.7))
        assert found.lower < found.estimate < found.upper


@pytest.mark.parametrize(
    ("metric", "limit", "above"), [("error_rate", 0.05, "violated"), ("accuracy", 0.05, "passed")]
)
def test_a_limit_of_a_rate_is_an_upper_or_a_lower_one(metric: str, limit: float, above: str) -> None:
    guardrail = guard(metric, limit, compare="absolute")
    high, low = two(yes(3_000, 300), yes(1, 0)), two(yes(3_000, 60), yes(1, 0))
    below = {"violated": "passed", "passed": "violated"}[above]
    assert (str(verdict(guardrail, high).verdict), str(verdict(guardrail, low).verdict)) == (above, below)
    assert verdict(guardrail, high).estimate == pytest.approx(0.1)


def paired(groups: dict[str, Cell]) -> Cells:
    return {CellKey(0, PAIRED, "", group): cell for group, cell in groups.items()}


def test_shadow_pairs_are_judged_by_their_differences() -> None:
    guardrail = guard("accuracy", 0.02)
    assert verdict(guardrail, paired({"": Cell(4_000, -240.0, 400.0)}), PAIRED).verdict is Verdict.VIOLATED
    assert verdict(guardrail, paired({"": Cell(4_000, 0.0, 100.0)}), PAIRED).verdict is Verdict.PASSED
    assert verdict(guard("log_loss", 0.02), paired({"": Cell(900, 90.0, 60.0)}), PAIRED).verdict is Verdict.VIOLATED
    assert verdict(guardrail, {}, PAIRED).verdict is Verdict.NO_DATA


def test_shadow_pairs_of_groups_need_a_reference_to_be_violated() -> None:
    worse = paired({"m": Cell(4_000, 0.0, 100.0), "w": Cell(1_000, -150.0, 170.0)})
    same = paired({"m": Cell(4_000, 0.0, 100.0), "w": Cell(4_000, 0.0, 100.0)})
    open_, named = guard("dp_diff", 0.05, attribute="sex"), guard("dp_diff", 0.05, attribute="sex", reference="m")
    assert verdict(named, worse, PAIRED).verdict is Verdict.VIOLATED
    assert verdict(open_, worse, PAIRED).verdict is Verdict.INCONCLUSIVE
    assert verdict(open_, same, PAIRED).verdict is verdict(named, same, PAIRED).verdict is Verdict.PASSED
    least = guard("group_accuracy_min", 0.05, attribute="sex")
    assert verdict(least, same, PAIRED).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("metric", "others"), [("dp_ratio", {"attribute": "sex"}), ("error_rate", {"compare": "absolute"})]
)
def test_what_differences_do_not_tell_waits_for_served_answers(metric: str, others: dict[str, Any]) -> None:
    found = verdict(guard(metric, 0.1, **others), paired({"": Cell(900, 0.0, 30.0)}), PAIRED)
    assert found.verdict is Verdict.INSUFFICIENT_DATA
    assert found.reason is not None
    assert "shadow pairs are differences" in found.reason


def test_the_conditional_method_takes_yes_and_no_only() -> None:
    found = verdict(
        guard("log_loss", 0.1, method="cond_binom"), two(Cell(900, 400.0, 300.0), Cell(900, 400.0, 300.0))
    )
    assert (found.verdict, found.reason) == (
        Verdict.ERROR,
        "method cond_binom is for metrics of yes and no; use auto",
    )


def test_steps_are_strata() -> None:
    early = two(yes(4_000, 400), yes(400, 40), step=0)
    late = two(yes(400, 160), yes(4_000, 1_600), step=1)
    for metric in ("error_rate", "mean_outcome"):
        found = verdict(guard(metric, 0.1, harm="increase"), early | late)
        assert found.estimate == pytest.approx(0, abs=1e-12)
        assert found.verdict is Verdict.PASSED


METRICS = st.sampled_from(["error_rate", "accuracy", "selection_rate", "dp_diff", "dp_ratio", "eo_diff"])


@settings(max_examples=40, deadline=None)
@given(
    METRICS, st.lists(st.floats(0, 1), min_size=4, max_size=4), st.integers(50, 5_000), st.sampled_from([0.2, 0.05])
)
def test_bounds_hold_the_estimate_widen_as_alpha_falls_and_survive_json(
    metric: str, rates: list[float], n: int, alpha: float
) -> None:
    if metric.startswith(("dp", "eo")):
        guardrail = guard(metric, 0.05, attribute="sex")
        ours, theirs = dict(zip("ab", rates[:2], strict=True)), dict(zip("ab", rates[2:], strict=True))
        cells = by_group(ours, theirs, {"a": n, "b": n})
    else:
        guardrail = guard(metric, 0.05)
        cells = two(yes(n, round(n * rates[0])), yes(n, round(n * rates[1])))
    found, strict = verdict(guardrail, cells, alpha=alpha), verdict(guardrail, cells, alpha=alpha / 4)
    if found.lower is not None and found.upper is not None and found.estimate is not None:
        assert found.lower <= found.estimate + 1e-9
        assert found.estimate <= found.upper + 1e-9
        assert (found.verdict is Verdict.VIOLATED) == (found.lower > found.margin)
        assert (found.verdict is Verdict.PASSED) == (found.upper <= found.margin)
        assert strict.lower is not None
        assert strict.upper is not None
        assert strict.lower <= found.lower + 1e-9
        assert strict.upper >= found.upper - 1e-9
    reverse = dict(reversed(cells.items()))
    assert verdict(guardrail, reverse, alpha=alpha) == found
    assert Judgement.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def plan(**others: Any) -> Plan:
    guardrails = [
        {"metric": "error_rate", "margin": 0.01},
        {"metric": "dp_diff", "margin": 0.05, "attribute": "sex", "alpha_weight": 3},
    ]
    content = {"model": "credit", "steps": [{"weight": 0.1}], "guardrails": guardrails}
    return Plan.parse(content | others)


def test_the_budget_of_false_rollbacks_is_split_by_weight_and_over_comparisons() -> None:
    assert alphas(plan()) == {"error_rate": pytest.approx(0.0125), "dp_diff:sex": pytest.approx(0.0375)}
    shadowed = plan(steps=[{"mode": "shadow", "sample": 0.1}, {"weight": 0.1}])
    assert sum(alphas(shadowed).values()) == pytest.approx(0.025)
    several = plan(challengers=["2", "3"], steps=[{"weights": [0.1, 0.2]}])
    assert sum(alphas(several).values()) == pytest.approx(0.025)
    goal = plan(goals=[{"metric": "selection_rate", "margin": 0.02}])
    assert alphas(goal)["selection_rate"] == pytest.approx(0.05)


def test_a_split_alarms_where_units_go_astray_and_not_where_they_do_not() -> None:
    shares = {"challenger": 0.1, "control": 0.1, "challenger-2": 0.0}
    fine = judge_split({"challenger": 5_030, "control": 4_970}, shares, alpha=0.001)
    astray = judge_split({"challenger": 600, "control": 400}, shares, alpha=0.001, stage="labelled", step=2)
    assert (fine.alarm, astray.alarm) == (False, True)
    assert astray.expected == {"challenger": 500.0, "control": 500.0}
    assert (astray.stage, astray.step) == ("labelled", 2)
    assert not judge_split({}, shares, alpha=0.001).alarm
    assert not judge_split({"challenger": 9}, {"challenger": 1.0}, alpha=0.001).alarm
    assert type(astray).from_dict(json.loads(json.dumps(astray.to_dict()))) == astray
