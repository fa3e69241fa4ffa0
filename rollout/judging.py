"""Verdicts: what the counts of a rollout say of each guardrail, and of the split of its units."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np

from rollout.bounds import Bounds, Levels
from rollout.evidence import CONTROL, PAIRED, Cell, Cells
from rollout.group_gaps import absolute_margin, absolute_quantity, judge_gap
from rollout.guardrail import Guardrail, Metric, Verdict
from rollout.means import Slots, judge_mean, pooled
from rollout.plan import Plan
from rollout.rates import is_yes_no
from rollout.sequential import split_log_e

_RATIOS: Final = frozenset({Metric.DP_RATIO})


@dataclass(frozen=True, slots=True)
class GroupRate:
    """One row of the group table: the rate, or mean, of `n` units of a group in an arm, over all steps."""

    arm: str
    part: str
    group: str
    n: int
    rate: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the evidence says of one guardrail and one arm.

    With `compare: control`, and of shadow pairs, `estimate`, `lower` and `upper` are the harm in the metric's units
    (the challenger worse is positive): violated if and only if lower > margin, passed only if upper <= margin. With
    `absolute` they are of the measured quantity; where less of it is worse it is violated if and only if
    upper < margin, and passed only if lower >= margin. The bound that says violated holds at every look with
    1 - alpha_rollback, the other one with 1 - alpha_promote. None: not known.

    `log_e` is ln of the evidence against "no worse than the margin", `n` the observations used, `needed` about how
    many more it takes to pass if the estimate stays. `reason` says what is missing.
    """

    guardrail: str
    arm: str
    verdict: Verdict
    estimate: float | None
    lower: float | None
    upper: float | None
    margin: float
    log_e: float | None
    n: int
    needed: int | None
    reason: str | None
    groups: tuple[GroupRate, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**asdict(self), "verdict": str(self.verdict), "groups": [asdict(row) for row in self.groups]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        groups = tuple(GroupRate(**row) for row in content["groups"])
        return cls(**{**content, "verdict": Verdict(content["verdict"]), "groups": groups})


def judge(
    guardrail: Guardrail, cells: Cells, *, arm: str, alpha_rollback: float, alpha_promote: float
) -> Judgement:
    """Return the verdict on one guardrail for a challenger's arm against the control, or for shadow pairs.

    Every step is a stratum: arms are compared within steps only, so their shares may differ (several challengers, a
    soak) and change, and rates may change in time. The asymptotic tests weigh steps by the precision that their
    counts give (`rollout.rates`); the exact ones multiply a bet's capital over steps (`rollout.betting`). Shadow
    pairs have an arm of their own and are judged by themselves; traffic that only the champion got is in no cell.
    A limit (`absolute`) is of all that the arm was served.

    Violated comes first: a group without enough observations, or a burn-in, never hides harm that another group
    shows.
    """
    if arm == PAIRED and (guardrail.compare == "absolute" or guardrail.metric in _RATIOS):
        cells = {}
    slots: dict[tuple[str, str, str], dict[int, Cell]] = defaultdict(dict)
    used = [arm] if arm == PAIRED or guardrail.compare == "absolute" else [arm, CONTROL]
    for key, cell in sorted(cells.items()):
        told = guardrail.metric.compares_groups == bool(key.group)
        if key.arm in used and cell.n > 0 and told:
            slots[key.arm, key.part, key.group][key.step] = cell
    rows = _rows(slots)
    absent = [name for name in used if not any(slot[0] == name for slot in slots)]
    if absent:
        verdict, reason = _absent(guardrail, arm, absent, used)
        return _undecided(guardrail, arm, verdict, reason, rows=rows)
    if guardrail.method == "cond_binom" and not _takes_yes_no(guardrail, slots, arm):
        reason = "method cond_binom is for metrics of yes and no; use auto"
        return _undecided(guardrail, arm, Verdict.ERROR, reason, rows=rows)
    levels = Levels(alpha_rollback, alpha_promote)
    sign = 1 if guardrail.worse == "increase" or guardrail.metric.compares_groups else -1
    if guardrail.metric.compares_groups:
        found = judge_gap(guardrail, slots, arm, levels)
    else:
        found = judge_mean(guardrail, slots, arm, sign, levels)
    return _judged(guardrail, arm, found, sign, rows=rows)


def _undecided(
    guardrail: Guardrail, arm: str, verdict: Verdict, reason: str, *, rows: tuple[GroupRate, ...]
) -> Judgement:
    n = sum(row.n for row in rows)
    return Judgement(guardrail.name, arm, verdict, None, None, None, guardrail.margin, None, n, None, reason, rows)


def _rows(slots: Slots) -> tuple[GroupRate, ...]:
    found = []
    for (arm, part, group), steps in sorted(slots.items()):
        cell = pooled(steps)
        found.append(GroupRate(arm, part, group, int(cell.n), cell.total / cell.n))
    return tuple(found)


def _takes_yes_no(guardrail: Guardrail, slots: Slots, arm: str) -> bool:
    return not guardrail.metric.compares_groups and (
        arm == PAIRED or is_yes_no([pooled(steps) for steps in slots.values()])
    )


def _absent(guardrail: Guardrail, arm: str, absent: list[str], used: list[str]) -> tuple[Verdict, str]:
    if arm == PAIRED and guardrail.compare == "absolute":
        return Verdict.INSUFFICIENT_DATA, "shadow pairs are differences: a limit is judged once answers are served"
    if arm == PAIRED and guardrail.metric in _RATIOS:
        return Verdict.INSUFFICIENT_DATA, "shadow pairs are differences: a ratio is judged once answers are served"
    if len(absent) == len(used):
        return Verdict.NO_DATA, "there is no observation"
    return Verdict.INSUFFICIENT_DATA, f"{absent[0]} has no observation"


def _judged(guardrail: Guardrail, arm: str, found: Bounds, sign: int, *, rows: tuple[GroupRate, ...]) -> Judgement:
    n = sum(row.n for row in rows)
    margin, shown = guardrail.margin, found
    if guardrail.compare == "absolute" and guardrail.metric.compares_groups:
        margin, shown = absolute_margin(guardrail), absolute_quantity(guardrail, found)
    elif guardrail.compare == "absolute" and sign < 0:
        margin, shown = -guardrail.margin, found.reversed()
    if found.lower is not None and found.lower > margin:
        verdict = Verdict.VIOLATED
    elif found.upper is not None and found.upper <= margin:
        verdict = Verdict.PASSED
    else:
        verdict = Verdict.INSUFFICIENT_DATA if found.missing else Verdict.INCONCLUSIVE
    decided = verdict in (Verdict.VIOLATED, Verdict.PASSED)
    return Judgement(
        guardrail=guardrail.name,
        arm=arm,
        verdict=verdict,
        estimate=shown.estimate,
        lower=shown.lower,
        upper=shown.upper,
        margin=guardrail.margin,
        log_e=found.log_e,
        n=n,
        needed=math.ceil(n * (found.more - 1)) if found.more is not None else None,
        reason=None if decided else found.missing,
        groups=rows,
    )


def alphas(plan: Plan) -> Mapping[str, float]:
    """Return alpha_rollback of each guardrail and goal, by name.

    The plan's is split over guardrails by `alpha_weight` and over the comparisons each takes part in: one for each
    challenger, and one for shadow pairs. All of them together, over all looks, roll back a rollout without harm
    with the chance alpha_rollback at most (Bonferroni). A goal decides nothing; its interval has the plan's
    alpha, split over the comparisons alone. Passing needs no split: all guardrails must.
    """
    comparisons = len(plan.challengers or ("",)) + any(step.mode == "shadow" for step in plan.steps)
    weights = sum(one.alpha_weight for one in plan.guardrails)
    each = plan.alpha_rollback / comparisons
    return {one.name: each * one.alpha_weight / weights for one in plan.guardrails} | {
        one.name: each for one in plan.goals
    }


@dataclass(frozen=True, slots=True)
class SplitJudgement:
    """Whether the units of a step fall to the arms as they should: a sequential test of a sample ratio mismatch.

    `stage` is assigned, completed or labelled; `attribute` and `group` are empty over all. `expected` are counts
    that the shares make expected. An alarm at a late stage means that answers or outcomes are lost by arm, and
    then no comparison of that stage can be trusted.
    """

    stage: str
    step: int
    attribute: str
    group: str
    counts: Mapping[str, int]
    expected: Mapping[str, float]
    log_e: float
    alarm: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote."""
        return cls(**content)


def judge_split(
    counts: Mapping[str, int],
    expected: Mapping[str, float],
    *,
    alpha: float,
    stage: str = "assigned",
    step: int = 0,
    attribute: str = "",
    group: str = "",
) -> SplitJudgement:
    """Return whether distinct units fall to the arms by the shares, or weights, in `expected`.

    Units, not requests: those of one unit go to one arm, and their number varies more than that of coins. Arms
    with a share of 0 are left out. With the chance `alpha` at most is there ever an alarm where shares are kept.
    """
    arms = sorted(arm for arm, share in expected.items() if share > 0)
    seen = np.array([counts.get(arm, 0) for arm in arms], dtype=np.float64)
    shares = np.array([expected[arm] for arm in arms], dtype=np.float64)
    shares /= shares.sum()
    log_e = float(split_log_e(seen, shares)) if len(arms) > 1 else 0.0
    return SplitJudgement(
        stage=stage,
        step=step,
        attribute=attribute,
        group=group,
        counts={arm: int(one) for arm, one in zip(arms, seen, strict=True)},
        expected={arm: float(one) for arm, one in zip(arms, shares * seen.sum(), strict=True)},
        log_e=log_e,
        alarm=bool(log_e >= -math.log(alpha)),
    )
