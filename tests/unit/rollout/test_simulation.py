"""A simulated rollout is decided by what decides real ones: harm is rolled back, what is as good is promoted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from rollout.errors import InvalidPlanError
from rollout.evaluating import Evaluation, evaluate
from rollout.evidence import CHALLENGER, CONTROL, Cell, Cells, Evidence
from rollout.guardrail import Verdict
from rollout.plan import Plan
from rollout.simulation import INCONCLUSIVE, PROMOTED, ROLLED_BACK, SimulationResult, simulate
from rollout.traffic import Traffic, assumed_traffic

FALSE_ROLLBACKS = 0.073
"""The 99.9 % binomial quantile of 1,000 runs at 5 %."""
NAIVE_Z = 1.645

STEPS = [
    {"mode": "shadow", "sample": 0.2, "min_duration": "1h"},
    *({"weight": weight, "min_duration": "1h"} for weight in (0.01, 0.05, 0.25, 0.5)),
    {"mode": "soak", "min_duration": "1h"},
]
SIX: list[dict[str, Any]] = [
    {"metric": "error_rate", "margin": 0.005},
    {"metric": "latency_slo", "slo_ms": 50, "margin": 0.03, "method": "asymp_cs"},
    {"metric": "selection_rate", "harm": "increase", "margin": 0.05, "method": "asymp_cs"},
    {"metric": "dp_diff", "attribute": "SEX", "groups": ["1", "2"], "margin": 0.05},
    {"metric": "accuracy", "margin": 0.03, "method": "asymp_cs"},
    {"metric": "eo_diff", "attribute": "SEX", "groups": ["1", "2"], "margin": 0.08},
]
"""Asymptotic where a plan may choose: the exact tests take ten times as long to compute."""
WHOLE = Plan.parse({"model": "credit", "steps": STEPS, "guardrails": SIX, "label_maturity": "30m"})
SHORT = Plan.parse({"model": "credit", "steps": STEPS[3:], "guardrails": SIX[1:4]})
MUCH = 2_000_000.0


def traffic(plan: Plan) -> Traffic:
    return assumed_traffic(plan, MUCH)


@pytest.mark.long
@pytest.mark.timeout(1_500)
def test_a_thousand_rollouts_that_harm_nothing_are_seldom_rolled_back() -> None:
    found = simulate(WHOLE, traffic(WHOLE), runs=1_000, seed=7, spacing=3.0)
    assert found.share(ROLLED_BACK) <= FALSE_ROLLBACKS
    assert found.share(PROMOTED) >= 0.9


def test_a_version_as_good_as_the_champion_is_promoted_through_shadow_canary_and_soak() -> None:
    found = simulate(WHOLE, traffic(WHOLE), runs=2, seed=1, spacing=2.0)
    assert found.count(PROMOTED) == 2
    assert {run.step for run in found.runs} == {len(WHOLE.steps) - 1}


def test_naive_tests_in_place_of_the_sequential_ones_roll_most_of_them_back() -> None:
    found = simulate(SHORT, traffic(SHORT), runs=30, seed=2, spacing=0.2, judged_by=naive)
    assert found.share(ROLLED_BACK) > 0.2


def test_a_gap_between_groups_is_rolled_back_by_the_guardrail_that_measures_it() -> None:
    found = simulate(SHORT, traffic(SHORT), effects={"dp_diff:SEX": 0.1}, runs=8, seed=3, spacing=1.0)
    assert found.count(ROLLED_BACK) == 8
    assert list(found.by(ROLLED_BACK)) == ["dp_diff:SEX"]
    assert {run.step for run in found.runs} == {0}


def test_what_cannot_be_told_ends_inconclusive_and_never_promoted() -> None:
    little = replace(traffic(SHORT), units_per_day=200.0)
    found = simulate(SHORT, little, runs=3, seed=4, spacing=2.0)
    assert found.count(INCONCLUSIVE) == 3
    assert found.count(PROMOTED) == 0


def test_the_same_seed_gives_the_same_result() -> None:
    once, again = (simulate(SHORT, traffic(SHORT), runs=2, seed=5, spacing=2.0) for _ in range(2))
    assert once.runs == again.runs


def test_the_result_says_how_sure_it_is() -> None:
    told: list[int] = []
    found = simulate(SHORT, traffic(SHORT), runs=3, seed=6, spacing=2.0, tell=told.append)
    assert sum(told) == 3
    ends = found.to_dict()["ends"]
    assert sum(one["count"] for one in ends.values()) == 3
    for one in ends.values():
        low, high = one["interval"]
        assert 0 <= low <= one["share"] <= high <= 1
    assert isinstance(found, SimulationResult)


@pytest.mark.parametrize(
    ("plan", "effects", "words"),
    [
        (Plan.parse({"model": "credit", "steps": [{"weight": 0.1}]}), {}, "manual split"),
        (SHORT, {"accuracy": 0.1}, "no guardrail 'accuracy'"),
    ],
)
def test_what_cannot_be_simulated_is_refused(plan: Plan, effects: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidPlanError, match=words):
        simulate(plan, traffic(plan), effects=effects, runs=1)


def naive(
    plan: Plan, step: int, evidence: Evidence, now: datetime, *, entered_at: datetime | None = None
) -> Evaluation:
    """Return an evaluation in which every look is a test at 5 %, as if it were the only one."""
    found = evaluate(plan, step, Evidence(units=evidence.units, watermark=evidence.watermark), now)
    judged = [
        replace(one, verdict=Verdict.VIOLATED if harm > 0 else Verdict.PASSED)
        for one in found.judgements
        for harm in [naive_harm(evidence.cells[one.guardrail])]
    ]
    return replace(found, judgements=tuple(judged))


def naive_harm(cells: Cells) -> float:
    """Return by how much a challenger's rate, all steps and groups together, exceeds what chance explains."""
    ours, theirs = (
        sum((cell for key, cell in cells.items() if key.arm == arm), Cell(0, 0.0, 0.0))
        for arm in (CHALLENGER, CONTROL)
    )
    if min(ours.n, theirs.n) == 0:
        return -1.0
    rates = [cell.total / cell.n for cell in (ours, theirs)]
    deviation = sum(rate * (1 - rate) / cell.n for rate, cell in zip(rates, (ours, theirs), strict=True)) ** 0.5
    return rates[0] - rates[1] - NAIVE_Z * deviation
