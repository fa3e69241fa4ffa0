"""One look at a rollout's evidence: every guardrail judged, the split checked, and what is missing named. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Self

from rollout.arrivals import arrival_holds, judge_arrivals
from rollout.coverage import (
    ENOUGH,
    challenger_arms,
    coverages,
    gate,
)
from rollout.evidence import PAIRED, Evidence
from rollout.guardrail import Guardrail, Metric, Verdict
from rollout.holds import Hold, told
from rollout.judging import Judgement, SplitJudgement, alphas, judge
from rollout.plan import Plan

MAX_CROSSED: Final = 0.001
"""Share of units seen in two arms of one step above which a rollout is held."""

_FEW_CROSSED: Final = 3
_UNPAIRED: Final = frozenset({Metric.DP_RATIO})
"""Metrics that no difference of two answers to one row tells."""

_CHAMPIONS_LABELS: Final = "outcomes are those of the champion's decisions: sound where they do not depend on them"
_SELECTIVE: Final = (
    "with selective_labels what is served decides which outcomes are known: only shadow traffic is judged by them"
)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one look found. Everything a decision rests on is in it.

    `coverage` has the keys of `rollout.coverage.coverages`; `crossed` is the share of units seen in two arms of one
    step; `units` are those answered in the step, by arm; `holds` are reasons not to go on, each `kind: words`.
    """

    judgements: tuple[Judgement, ...]
    splits: tuple[SplitJudgement, ...]
    coverage: Mapping[str, float]
    crossed: float
    units: Mapping[str, int]
    watermark: datetime | None
    holds: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {
            "judgements": [one.to_dict() for one in self.judgements],
            "splits": [one.to_dict() for one in self.splits],
            "coverage": dict(self.coverage),
            "crossed": self.crossed,
            "units": dict(self.units),
            "watermark": self.watermark and self.watermark.isoformat(),
            "holds": list(self.holds),
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """Return what `to_dict` told."""
        return cls(
            judgements=tuple(Judgement.from_dict(one) for one in told["judgements"]),
            splits=tuple(SplitJudgement.from_dict(one) for one in told["splits"]),
            coverage=told["coverage"],
            crossed=told["crossed"],
            units=told["units"],
            watermark=None if told["watermark"] is None else datetime.fromisoformat(told["watermark"]),
            holds=tuple(told["holds"]),
        )


def evaluate(
    plan: Plan, step: int, evidence: Evidence, now: datetime, *, entered_at: datetime | None = None
) -> Evaluation:
    """Return what the evidence of the steps up to `step` says now.

    A judgement that cannot be made has the verdict `error` and is a reason to hold, never an exception.

    Args:
        plan: The plan.
        step: The index of the step that the rollout is in.
        evidence: All there is.
        now: The time.
        entered_at: When the step was entered; without it a rollout that never had a row is not held for that.
    """
    judgements = tuple(_judgements(plan, step, evidence))
    splits = tuple(judge_arrivals(plan, step, evidence))
    seen = sum(count.assigned for key, count in evidence.units.items() if not key.attribute)
    crossed = evidence.crossed / seen if seen else 0.0
    holds = [
        *_error_holds(judgements),
        *arrival_holds(splits),
        *([_crossed_hold(evidence.crossed, seen)] if _are_too_many(evidence.crossed, crossed) else []),
        *_coverage_holds(plan, step, evidence),
        *_no_data_holds(plan, evidence, now, entered_at),
    ]
    return Evaluation(
        judgements=judgements,
        splits=splits,
        coverage=coverages(plan, evidence.units),
        crossed=crossed,
        units={
            key.arm: count.completed
            for key, count in sorted(evidence.units.items())
            if key.step == step and not key.attribute
        },
        watermark=evidence.watermark,
        holds=tuple(dict.fromkeys(holds)),
    )


def deciding_arms(plan: Plan, step: int, guardrail: Guardrail) -> tuple[str, ...]:
    """Return the arms whose judgements let a rollout go on from a step.

    In shadow the pairs; later the challengers, also of a guardrail that pairs have passed: what is served counts.
    Under `selective_labels` labelled guardrails are judged on pairs throughout. Empty where a guardrail says
    nothing of a step: a limit that is absolute, or a ratio, cannot be measured on pairs.
    """
    if plan.steps[step].mode == "shadow":
        return (PAIRED,) if _is_pairable(guardrail) else ()
    if _is_refused(plan, guardrail) and _has_shadow(plan) and _is_pairable(guardrail):
        return (PAIRED,)
    return challenger_arms(plan)


def _judgements(plan: Plan, step: int, evidence: Evidence) -> Iterator[Judgement]:
    budget = alphas(plan)
    for guardrail in plan.watched:
        alpha = budget.get(guardrail.name, plan.alpha_rollback)
        for arm in _judged_arms(plan, step, guardrail):
            yield judged(plan, guardrail, evidence, arm=arm, alpha=alpha)


def _judged_arms(plan: Plan, step: int, guardrail: Guardrail) -> tuple[str, ...]:
    """Return the deciding arms and, for outcomes of shadow traffic that come later, the pairs."""
    deciding = deciding_arms(plan, step, guardrail)
    has_pairs = plan.steps[0].mode == "shadow" and _is_pairable(guardrail)
    return (*deciding, PAIRED) if has_pairs and PAIRED not in deciding else deciding


def judged(plan: Plan, guardrail: Guardrail, evidence: Evidence, *, arm: str, alpha: float) -> Judgement:
    """Return what is found of one guardrail and arm, where enough outcomes and attributes are known to say it."""
    try:
        found = judge(
            guardrail,
            evidence.cells.get(guardrail.name, {}),
            arm=arm,
            alpha_rollback=alpha,
            alpha_promote=plan.alpha_promote,
        )
    except Exception as error:  # a fault here must hold the rollout, not end its controller
        return _without(guardrail, arm, Verdict.ERROR, f"it could not be judged: {type(error).__name__}")
    if _is_refused(plan, guardrail):
        if arm != PAIRED:
            return replace(found, verdict=Verdict.INSUFFICIENT_DATA, reason=_SELECTIVE)
        found = replace(found, reason=found.reason or _CHAMPIONS_LABELS)
    if found.verdict in {Verdict.NO_DATA, Verdict.ERROR}:
        return found
    missing = gate(plan, guardrail, evidence.units, arm)
    is_harm = found.verdict is Verdict.VIOLATED
    # Harm to those whose group is known is harm; of outcomes that are known it may be the choice of which are.
    if missing is None or (is_harm and missing.kind is Hold.ATTRIBUTE_COVERAGE):
        return found
    return replace(found, verdict=Verdict.INSUFFICIENT_DATA, reason=missing.words)


def _without(guardrail: Guardrail, arm: str, verdict: Verdict, reason: str) -> Judgement:
    return Judgement(
        guardrail=guardrail.name,
        arm=arm,
        verdict=verdict,
        estimate=None,
        lower=None,
        upper=None,
        margin=guardrail.margin,
        log_e=None,
        n=0,
        needed=None,
        reason=reason,
    )


def _error_holds(judgements: tuple[Judgement, ...]) -> Iterator[str]:
    for one in judgements:
        if one.verdict is Verdict.ERROR:
            yield told(Hold.ERROR, f"{one.guardrail} ({one.arm}): {one.reason}")


def _are_too_many(crossed: int, share: float) -> bool:
    return crossed >= _FEW_CROSSED and share > MAX_CROSSED


def _crossed_hold(crossed: int, seen: int) -> str:
    return told(Hold.CROSSED, f"{crossed:,} of {seen:,} units were seen in two arms of one step")


def _coverage_holds(plan: Plan, step: int, evidence: Evidence) -> Iterator[str]:
    for guardrail in plan.guardrails:
        for arm in deciding_arms(plan, step, guardrail):
            if _is_refused(plan, guardrail) and arm != PAIRED:
                continue
            missing = gate(plan, guardrail, evidence.units, arm)
            if missing is not None and missing.found.units >= ENOUGH:
                yield told(missing.kind, missing.words)


def _no_data_holds(plan: Plan, evidence: Evidence, now: datetime, entered_at: datetime | None) -> Iterator[str]:
    times = [time for time in (evidence.watermark, entered_at) if time is not None]
    if times and now - max(times) > plan.no_data_after:
        minutes = (now - max(times)).total_seconds() / 60
        yield told(
            Hold.NO_DATA,
            f"no row was counted for more than {plan.no_data_after.total_seconds() / 60:g} minutes ({minutes:.0f})",
        )


def _has_shadow(plan: Plan) -> bool:
    return plan.steps[0].mode == "shadow"


def _is_pairable(guardrail: Guardrail) -> bool:
    return guardrail.compare == "control" and guardrail.metric not in _UNPAIRED


def _is_refused(plan: Plan, guardrail: Guardrail) -> bool:
    """Return whether its outcomes on served traffic say nothing: what is served decides which there are."""
    return plan.selective_labels and guardrail.metric.needs_outcome
