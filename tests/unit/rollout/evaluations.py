"""Evaluations as tests want them, without evidence behind them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rollout.evaluating import Evaluation, deciding_arms
from rollout.guardrail import Verdict
from rollout.judging import Judgement
from rollout.plan import Plan

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLENTY = {"challenger": 10_000, "control": 10_000, "paired": 10_000}

PLAN: dict[str, Any] = {
    "model": "credit",
    "steps": [
        {"mode": "shadow", "sample": 0.5, "min_duration": "1h", "max_duration": "1d"},
        {"weight": 0.05, "min_duration": "1h", "max_duration": "1d"},
        {"weight": 0.5, "min_duration": "1h", "max_duration": "1d", "requires_approval": True},
        {"mode": "soak", "min_duration": "1h", "max_duration": "9d"},
    ],
    "guardrails": [
        {"metric": "error_rate", "margin": 0.01},
        {"metric": "dp_diff", "attribute": "SEX", "margin": 0.05},
        {"metric": "accuracy", "margin": 0.02},
    ],
    "label_maturity": "2d",
}
"""A plan with every kind of step: shadow, canary, canary with approval, soak."""


def guarded(**changes: Any) -> Plan:
    """Return `PLAN` with some keys changed."""
    return Plan.parse(PLAN | changes)


def judgement(guardrail: str, verdict: Verdict, arm: str = "challenger") -> Judgement:
    """Return a judgement of which only the verdict counts."""
    return Judgement(
        guardrail=guardrail,
        arm=arm,
        verdict=verdict,
        estimate=0.03,
        lower=0.02,
        upper=0.04,
        margin=0.01,
        log_e=1.0,
        n=1_000,
        needed=None,
        reason=None,
    )


def found(
    plan: Plan,
    step: int,
    verdicts: dict[str, Verdict] | None = None,
    *,
    holds: tuple[str, ...] = (),
    units: dict[str, int] | None = None,
    otherwise: Verdict = Verdict.PASSED,
) -> Evaluation:
    """Return an evaluation of a step in which every guardrail has the verdict said, or `otherwise`."""
    verdicts = verdicts or {}
    return Evaluation(
        judgements=tuple(
            judgement(one.name, verdicts.get(one.name, otherwise), arm)
            for one in plan.guardrails
            for arm in deciding_arms(plan, step, one)
        ),
        splits=(),
        coverage={},
        crossed=0.0,
        units=PLENTY if units is None else units,
        watermark=NOW,
        holds=holds,
    )
