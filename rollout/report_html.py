"""A rollout as one HTML page: what was decided and why, and the evidence it rests on.

The page needs nothing else: no script, no font, no picture from elsewhere. It can be printed, mailed and kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import yaml

from fairness.groups import UNKNOWN
from rollout.evaluations import StoredEvaluation
from rollout.evidence import CHALLENGER, CONTROL, PAIRED
from rollout.guardrail import Guardrail, Verdict
from rollout.history import Action, Event
from rollout.judging import GroupRate, Judgement, SplitJudgement
from rollout.pages import MARKS, SMALLEST_CELL, number, page
from rollout.plan import Plan
from rollout.report_charts import HEIGHT, WIDTH, SequenceChart, sequence_chart, thinned, weight_chart
from rollout.rollouts import Rollout

_TEMPLATE: Final = Path(__file__).with_name("report.html.jinja")
_ENDS: Final = {
    "promoted": ("passed", "The challenger is the champion now."),
    "rolled_back": ("violated", "The champion serves every unit again."),
    "cancelled": ("none", "It was taken back before it served anybody."),
}
_OVER: Final = ("none", "Its time was over.")
DISCLAIMER: Final = (
    "A guardrail that passed is no worse than its margin, with the error the plan allows, for the units that were "
    "compared. It does not make a model fair, nor say anything of groups that were too small to be compared."
)


@dataclass(frozen=True, slots=True)
class Chain:
    """What checking the decision log has found: `told` in words."""

    is_whole: bool
    told: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A guardrail's confidence sequence in one comparison, with its last judgement as texts."""

    title: str
    compared: str
    chart: SequenceChart | None
    judged: Mapping[str, str]
    groups: tuple[Mapping[str, str], ...]
    gating: bool


def html(
    rollout: Rollout,
    plan: Plan,
    events: Sequence[Event],
    evaluations: Sequence[StoredEvaluation],
    *,
    now: datetime,
    chain: Chain | None = None,
    waits: str | None = None,
) -> str:
    """Return the page of a rollout that runs or has ended; every text that came with data is escaped.

    `events` and `evaluations` are oldest first; there may be none of either. `now` is where its time axis ends
    while it runs. `waits` says of a promotion why the alias has not moved.
    """
    until = rollout.finished_at or now
    last = evaluations[-1].evaluation if evaluations else None
    pictures = _pictures(rollout, plan, evaluations, until)
    is_over = bool(events) and events[-1].action is Action.ENDED
    kind, told = _OVER if is_over else _ENDS.get(rollout.state, ("open", ""))
    return page(_TEMPLATE).render(
        rollout=rollout,
        plan=plan,
        headline=f"Rollout of {rollout.model}: {rollout.state.replace('_', ' ')}",
        kind=kind,
        told=told,
        versions=_versions(rollout, plan),
        now=now,
        last=evaluations[-1] if evaluations else None,
        looks=len(evaluations),
        guardrails=[one for one in pictures if one.gating],
        goals=[one for one in pictures if not one.gating],
        holds=() if last is None else last.holds,
        units={} if last is None else last.units,
        crossed=0.0 if last is None else last.crossed,
        splits=[] if last is None else [_split(one) for one in last.splits],
        coverage=[] if last is None else [_covered(plan, *item) for item in sorted(last.coverage.items())],
        weights=weight_chart(events, _planned(plan), until),
        events=[_event(event) for event in events],
        chain=chain,
        waits=waits,
        copied=copied(plan),
        width=WIDTH,
        height=HEIGHT,
        smallest=SMALLEST_CELL,
        disclaimer=DISCLAIMER,
    )


def copied(plan: Plan) -> str:
    """Return a plan as the YAML that `fairmind rollout start` takes, without what it need not say."""
    content = plan.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _versions(rollout: Rollout, plan: Plan) -> dict[str, str]:
    """Return which version each arm is, as the page calls them."""
    names = plan.challengers or (rollout.challenger_version,)
    arms = {_arm(index): f"challenger, version {version}" for index, version in enumerate(names)}
    return arms | {CONTROL: f"control, version {rollout.champion_version}", PAIRED: "both on the same row (shadow)"}


def _arm(index: int) -> str:
    return CHALLENGER if index == 0 else f"{CHALLENGER}-{index + 1}"


def _planned(plan: Plan) -> list[float]:
    return [bp / 10_000 for step in plan.steps if step.mode == "canary" for bp in step.weights_bp[:1]]


def _pictures(
    rollout: Rollout, plan: Plan, evaluations: Sequence[StoredEvaluation], until: datetime
) -> list[Picture]:
    """Return a picture for each guardrail and goal in each comparison it was judged in, in the plan's order."""
    shown = thinned(evaluations)
    found: dict[tuple[str, str], list[tuple[datetime, Judgement]]] = {}
    for stored in shown:
        for one in stored.evaluation.judgements:
            found.setdefault((one.guardrail, one.arm), []).append((stored.at, one))
    versions = _versions(rollout, plan)
    pictures = []
    for guardrail in plan.watched:
        judged = [(arm, seen) for (name, arm), seen in found.items() if name == guardrail.name]
        judged.sort(key=lambda one: one[0] == PAIRED)
        for arm, seen in judged:
            last = seen[-1][1]
            pictures.append(
                Picture(
                    title=guardrail.name,
                    compared=versions.get(arm, arm),
                    chart=sequence_chart(seen, rollout.created_at, until),
                    judged=_judged(guardrail, last),
                    groups=tuple(_group(one, versions) for one in last.groups),
                    gating=guardrail in plan.guardrails,
                )
            )
    return pictures


def _judged(guardrail: Guardrail, one: Judgement) -> dict[str, str]:
    return {
        "verdict": str(one.verdict),
        "mark": MARKS[one.verdict],
        "estimate": number(one.estimate),
        "interval": f"{number(one.lower, '-∞')} to {number(one.upper, '∞')}",
        "margin": f"{'≥' if _is_floor(guardrail) else '≤'} {one.margin:g}",
        "n": f"{one.n:,} of {guardrail.planned_units:,} planned",
        "needed": "" if one.needed is None or one.verdict is Verdict.PASSED else f"about {one.needed:,} more",
        "reason": one.reason or "",
        "compare": "beside the control" if guardrail.compare == "control" else "alone, beside its limit",
        "when": "" if guardrail.on_violation == "rollback" else f"when violated: {guardrail.on_violation}",
    }


def _is_floor(guardrail: Guardrail) -> bool:
    return guardrail.compare == "absolute" and guardrail.worse == "decrease"


def _group(one: GroupRate, versions: Mapping[str, str]) -> dict[str, str]:
    small = one.n < SMALLEST_CELL
    return {
        "arm": versions.get(one.arm, one.arm),
        "part": one.part,
        "group": one.group,
        "n": f"fewer than {SMALLEST_CELL}" if small else f"{one.n:,}",
        "rate": "not shown" if small else f"{one.rate:.4g}",
        "small": "yes" if small or one.group == UNKNOWN else "",
    }


def _split(one: SplitJudgement) -> dict[str, str]:
    total = sum(one.counts.values())
    expected = sum(one.expected.values()) or 1.0
    of = f"{one.attribute} = {one.group}" if one.attribute else "all"
    hidden = bool(one.attribute) and any(count < SMALLEST_CELL for count in one.counts.values())
    return {
        "stage": one.stage,
        "step": str(one.step + 1),
        "of": of,
        "counts": "too few to show"
        if hidden
        else ", ".join(f"{arm} {count:,}" for arm, count in sorted(one.counts.items())),
        "expected": ", ".join(f"{arm} {total * part / expected:,.0f}" for arm, part in sorted(one.expected.items()))
        if not hidden
        else "",
        "evidence": f"{one.log_e:+.2f}",
        "verdict": "violated" if one.alarm else "passed",
        "mark": "✗ mismatch" if one.alarm else "✓ as assigned",
    }


def _covered(plan: Plan, name: str, share: float) -> dict[str, str]:
    least = plan.label_coverage_min if name.startswith("label") else plan.attribute_coverage_min
    return {
        "name": name.replace("attribute:", "protected attribute ").replace(
            "labels", "outcomes of units that are due"
        ),
        "share": f"{share:.1%}",
        "least": f"{least:.0%}",
        "verdict": "passed" if share >= least else "violated",
    }


def _event(event: Event) -> dict[str, str]:
    return {
        "number": str(event.number),
        "at": f"{event.at:%Y-%m-%d %H:%M:%S}",
        "action": str(event.action).replace("_", " "),
        "state": event.state.replace("_", " "),
        "weight": f"{event.weight:.2%}",
        "actor": event.actor,
        "reason": event.reason or "",
        "hash": (getattr(event, "hash", None) or "")[:12],
    }
