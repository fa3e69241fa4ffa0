"""Which guardrails a replay is judged by, what is found of each, and of all together. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fairness.groups import UNKNOWN
from replay.evidence import LOSSES, arm_of, evidence
from replay.pairs import Alike, Pairs
from rollout.evaluating import judged
from rollout.guardrail import Guardrail, Metric, Verdict
from rollout.judging import Judgement, alphas
from rollout.observations import OTHER, is_same
from rollout.plan import Plan
from rollout.steps import Step

SELECTIVE: Final = (
    "outcomes are known where the decision was favourable and next to nowhere else: of those whom the challenger "
    "would favour and who were refused nobody knows what came true, so outcomes decide nothing here; compare in a "
    "rollout, or grant a share at random"
)
_MARGINS: Final = {
    Metric.ERROR_RATE: 0.02,
    Metric.SELECTION_RATE: 0.05,
    Metric.ACCURACY: 0.02,
    Metric.BRIER: 0.01,
    Metric.LOG_LOSS: 0.05,
}
_GAPS: Final = {Metric.DP_DIFF: 0.05, Metric.EODDS_DIFF: 0.1}
_LEAST_OF_GROUP: Final = 100
_LEAST_SHARE: Final = 0.01
_FEW: Final = 0.05
"""Share of the outcomes' coverage of favourable decisions below which that of others is next to nothing."""

_MOST: Final = 30
"""As many guardrails as a plan may have."""
_LATENCY: Final = frozenset({Metric.LATENCY_SLO, Metric.LATENCY_LOGMEAN})


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What was found: `overall`, each judgement, and why other guardrails of the plan are not judged."""

    overall: Verdict
    judgements: tuple[Judgement, ...]
    left_out: dict[str, str]
    is_selective: bool


def default_guardrails(pairs: Pairs, positive: Any, *, scored: Any = None) -> tuple[Guardrail, ...]:
    """Return what a replay without a plan is judged by.

    `scored` is the label of which scores are the probability; without one losses are not judged.
    Of each attribute the groups with 100 rows and 1 % of all are compared, each with the one that the other version
    favours most; and with a second one that it favours about as much, by which harm to the first one shows too.
    Of fewer than two groups there is nothing to compare. What is left out is told by `replay.blind_spots`.
    """
    found = [
        Guardrail(metric=metric, margin=margin, positive=scored if metric in LOSSES else positive)
        for metric, margin in _MARGINS.items()
        if scored is not None or metric not in LOSSES
    ]
    for attribute in pairs.attributes:
        gaps = list(_of_groups(pairs, attribute, positive))
        found += gaps if len(found) + len(gaps) <= _MOST else []
    return tuple(found)


def _of_groups(pairs: Pairs, attribute: str, positive: Any) -> Iterator[Guardrail]:
    counts = pairs.groups(attribute)
    least = max(_LEAST_OF_GROUP, _LEAST_SHARE * pairs.rows)
    sizes = {group: seen.total() for group, seen in counts.items() if group not in {UNKNOWN, OTHER}}
    large = sorted(group for group, rows in sizes.items() if rows >= least)[:50]
    if len(large) < 2:
        return
    rates = {group: _favoured(pairs, counts[group], positive) for group in large}
    first = max(large, key=lambda group: rates[group])
    others = [group for group in large if group != first and rates[first] - rates[group] < _GAPS[Metric.DP_DIFF]]
    references = {"": first} | ({":reversed": max(others, key=lambda group: sizes[group])} if others else {})
    for ending, reference in references.items():
        for metric, margin in _GAPS.items():
            yield Guardrail(
                id=re.sub(r"[^A-Za-z0-9_.:-]", "_", f"{metric}:{attribute}{ending}")[:100],
                metric=metric,
                margin=margin,
                attribute=attribute,
                groups=tuple(large),
                reference=reference,
                positive=positive,
            )


def _favoured(pairs: Pairs, counts: Counter[Alike], positive: Any) -> float:
    """Return the share of rows with the favourable answer of the version that is compared with."""
    favoured = sum(rows for alike, rows in counts.items() if is_same(pairs.label(alike.against), positive))
    return favoured / counts.total()


def plan_of(plan: Plan | None, *, model: str, guardrails: Sequence[Guardrail] | None = None, **change: Any) -> Plan:
    """Return what a replay is judged by as a plan of one comparison, with the errors and coverages of `plan`."""
    kept = (
        {}
        if plan is None
        else {
            name: getattr(plan, name)
            for name in (
                "guardrails",
                "unit",
                "alpha_rollback",
                "alpha_promote",
                "label_maturity",
                "label_coverage_min",
                "attribute_coverage_min",
                "selective_labels",
            )
        }
    )
    if kept.get("unit") == "request":
        kept["on_missing_key"] = "request"
    if guardrails is not None:
        kept["guardrails"] = tuple(guardrails)
    return Plan(model=model, steps=(Step(weight=0.5),), **(kept | change))


def left_out(guardrail: Guardrail) -> str | None:
    """Return why a replay says nothing of a guardrail; None where it does."""
    if guardrail.metric in _LATENCY:
        return "how long an answer takes shows only where it is served: a rollout measures it"
    if guardrail.compare == "control" and guardrail.metric is Metric.DP_RATIO:
        return "pairs are differences, and tell no ratio: a rollout's cohorts do"
    if guardrail.compare == "control" and guardrail.metric is Metric.MEAN_OUTCOME:
        return "a logged row has one outcome, whatever either version decides: a rollout's cohorts have two"
    if guardrail.compare == "absolute" and guardrail.metric in LOSSES:
        return "losses are compared with the other version's, and not with a limit"
    return None


def judge_pairs(plan: Plan, pairs: Pairs, favourable: Any = None) -> Verdicts:
    """Return what pairs show of a plan's guardrails, by the very statistics that judge shadow traffic.

    `favourable` is the challenger's label for what is granted: guardrails may name another as positive, or none.
    """
    without = {one.name: reason for one in plan.guardrails if (reason := left_out(one)) is not None}
    found = evidence(plan, pairs)
    budget = alphas(plan)
    labelled = [one for one in plan.guardrails if one.metric.needs_outcome]
    granted = [one.positive for one in labelled if one.metric not in LOSSES] + [favourable] * bool(labelled)
    is_selective = any(selective_labels(pairs, one) for one in granted)
    judgements = []
    for one in plan.guardrails:
        if one.name in without:
            continue
        judgement = judged(plan, one, found, arm=arm_of(one), alpha=budget[one.name])
        if is_selective and one.metric.needs_outcome:
            judgement = replace(judgement, verdict=Verdict.INSUFFICIENT_DATA, reason=SELECTIVE)
        judgements.append(judgement)
    return Verdicts(_overall(plan, judgements), tuple(judgements), without, is_selective)


def selective_labels(pairs: Pairs, positive: Any) -> bool:
    """Return whether outcomes are known of favourable decisions and of next to no other."""
    due, labelled = {True: 0, False: 0}, {True: 0, False: 0}
    for alike, rows in pairs.counts["", ""].items():
        if alike.is_due:
            favourable = is_same(pairs.label(alike.against), positive)
            due[favourable] += rows
            labelled[favourable] += rows * (alike.outcome >= 0)
    if not labelled[True] or due[False] < _LEAST_OF_GROUP:
        return False
    return labelled[False] / due[False] < _FEW * labelled[True] / due[True]


def _overall(plan: Plan, judgements: Sequence[Judgement]) -> Verdict:
    """Return the worst verdict: harm first, then what is missing, of what is required."""
    named = {one.name: one for one in plan.guardrails}
    harmed = [one for one in judgements if named[one.guardrail].on_violation != "warn"]
    if any(one.verdict is Verdict.VIOLATED for one in harmed):
        return Verdict.VIOLATED
    required = {one.verdict for one in judgements if named[one.guardrail].required}
    if not required or required & {Verdict.INSUFFICIENT_DATA, Verdict.NO_DATA, Verdict.ERROR}:
        return Verdict.INSUFFICIENT_DATA
    return Verdict.PASSED if required == {Verdict.PASSED} else Verdict.INCONCLUSIVE
