"""Whether units came to the arms as the weights say: when assigned, when answered, and when their outcomes are in.

Mismatched from the start, assignment is broken; from a later stage on, answers or outcomes are lost in one arm more
than in another, and no comparison of the arms means anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rollout.coverage import expected_shares
from rollout.evidence import Evidence, UnitKey
from rollout.holds import Hold, told
from rollout.judging import SplitJudgement, judge_split
from rollout.plan import Plan

_STAGES: Final = ("assigned", "completed", "labelled")
_PLANNED_GROUPS: Final = 20
"""Groups that share an error probability from the start, when nobody knows which there are; more share it later."""


def judge_arrivals(plan: Plan, step: int, evidence: Evidence) -> Iterator[SplitJudgement]:
    """Yield whether units were assigned, answered and labelled as the weights say, the labelled also by group.

    All of them together raise a false alarm in at most `alpha_srm` of rollouts: each step and stage has its part of
    it from the start, and half of the labelled stage's is shared by groups.
    """
    part = plan.alpha_srm / (len(plan.steps) * len(_STAGES))
    for number in range(step + 1):
        shares = expected_shares(plan, plan.steps[number])
        found = list(_arrivals(plan, number, evidence))
        groups = max(_PLANNED_GROUPS, sum(bool(attribute) for _, attribute, _, _ in found))
        for stage, attribute, group, counts in found:
            among = 2 * groups if attribute else 2 if stage == _STAGES[-1] else 1
            yield judge_split(
                counts, shares, alpha=part / among, stage=stage, step=number, attribute=attribute, group=group
            )


def _arrivals(plan: Plan, step: int, evidence: Evidence) -> Iterator[tuple[str, str, str, dict[str, int]]]:
    arms = expected_shares(plan, plan.steps[step])
    groups = sorted({(key.attribute, key.group) for key in evidence.units if key.step == step and key.arm in arms})
    for attribute, group in groups:
        for stage in _STAGES[-1:] if attribute else _STAGES:
            counts = {
                arm: getattr(evidence.units.get(UnitKey(step, arm, attribute, group)), stage, 0) for arm in arms
            }
            if any(counts.values()):
                yield stage, attribute, group, counts


def arrival_holds(splits: Iterable[SplitJudgement]) -> Iterator[str]:
    """Yield a reason to hold for every alarm."""
    for one in splits:
        if one.alarm:
            counts = ", ".join(f"{arm} {count:,}" for arm, count in one.counts.items())
            group = f" of {one.attribute}={one.group}" if one.attribute else ""
            yield told(Hold.SRM, f"units {one.stage} in step {one.step}{group} are not split as planned ({counts})")
