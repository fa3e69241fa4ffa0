"""How many of the units that a comparison is about are known well enough to be in it, and who came to which arm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rollout.evidence import CHALLENGER, CONTROL, PAIRED, UnitCount, UnitKey
from rollout.guardrail import Guardrail, Stage
from rollout.holds import Hold
from rollout.plan import Plan
from rollout.steps import Step

UNKNOWN: Final = "unknown"
"""The group of units whose protected attribute nobody told."""

ENOUGH: Final = 100
"""Units below which a coverage is no reason to hold: of the first ten, three may well have no outcome yet."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """`known` of `units`."""

    known: int
    units: int

    @property
    def share(self) -> float | None:
        """The known share, 0 to 1; None of no units."""
        return None if self.units == 0 else self.known / self.units


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A coverage below what the plan asks: `what` of its units is known for too few."""

    kind: Hold
    what: str
    found: Coverage
    wanted: float

    @property
    def words(self) -> str:
        """What is missing, for a person."""
        known, units = self.found.known, self.found.units
        share = known / units
        return f"{self.what} of only {known:,} of {units:,} units known ({share:.1%}, {self.wanted:.0%} wanted)"


def challenger_arms(plan: Plan) -> tuple[str, ...]:
    """Return the arms of a plan's challengers that serve: `challenger`, `challenger-2` and so on."""
    count = len(plan.challengers or ("",))
    return (CHALLENGER, *(f"{CHALLENGER}-{number}" for number in range(2, count + 1)))


def compared_with(arm: str) -> tuple[str, ...]:
    """Return the arms whose units an arm's comparison is about: its own and the control; pairs are both in one."""
    return (PAIRED,) if arm == PAIRED else (arm, CONTROL)


def label_coverage(units: Mapping[UnitKey, UnitCount], arms: Iterable[str]) -> Coverage:
    """Return how many of the arms' units whose outcome is due have one."""
    found = [count for key, count in units.items() if key.arm in set(arms) and not key.attribute]
    return Coverage(sum(one.labelled for one in found), sum(one.due for one in found))


def attribute_coverage(
    units: Mapping[UnitKey, UnitCount], arms: Iterable[str], attribute: str, counted: Stage
) -> Coverage:
    """Return how many of the arms' units have a known group of the attribute, when they are counted."""
    known = total = 0
    for key, count in units.items():
        if key.arm in set(arms):
            number = count.due if counted is Stage.LABELLED else count.completed
            if not key.attribute:
                total += number
            elif key.attribute == attribute and key.group not in {"", UNKNOWN}:
                known += number
    return Coverage(known, total)


def coverages(plan: Plan, units: Mapping[UnitKey, UnitCount]) -> dict[str, float]:
    """Return every coverage that is known.

    `labels` is of all compared units, `labels:ARM` of an arm's; `attribute:NAME` and `attribute:NAME:ARM` are of
    the units answered or, where only labelled guardrails compare the attribute, of those whose outcome is due.
    """
    arms = (*challenger_arms(plan), CONTROL, PAIRED)
    found = dict(_of_labels(units, arms))
    for attribute in plan.attributes:
        stages = {one.counted for one in plan.watched if one.attribute == attribute}
        counted = Stage.FAST if Stage.FAST in stages else Stage.LABELLED
        found[f"attribute:{attribute}"] = attribute_coverage(units, arms, attribute, counted)
        for arm in arms:
            found[f"attribute:{attribute}:{arm}"] = attribute_coverage(units, (arm,), attribute, counted)
    return {name: one.share for name, one in found.items() if one.share is not None}


def gate(plan: Plan, guardrail: Guardrail, units: Mapping[UnitKey, UnitCount], arm: str) -> Shortfall | None:
    """Return what of a guardrail's coverage is too low, on the worse of the arms that it compares."""
    arms = compared_with(arm)
    if guardrail.metric.needs_outcome:
        found = _worst(
            [*(label_coverage(units, (one,)) for one in arms), *_labels_by_group(units, arms, guardrail)]
        )
        if found.share is not None and found.share < plan.label_coverage_min:
            return Shortfall(Hold.LABEL_COVERAGE, "outcomes", found, plan.label_coverage_min)
    if guardrail.attribute is not None:
        attribute, counted = guardrail.attribute, guardrail.counted
        found = _worst(attribute_coverage(units, (one,), attribute, counted) for one in arms)
        if found.share is not None and found.share < plan.attribute_coverage_min:
            return Shortfall(Hold.ATTRIBUTE_COVERAGE, f"'{attribute}'", found, plan.attribute_coverage_min)
    return None


def _labels_by_group(
    units: Mapping[UnitKey, UnitCount], arms: Iterable[str], guardrail: Guardrail
) -> Iterator[Coverage]:
    """Yield how many outcomes are known of each compared group, in each arm, where enough are due to tell."""
    found: defaultdict[tuple[str, str], list[UnitCount]] = defaultdict(list)
    for key, count in units.items():
        is_compared = key.group in guardrail.groups if guardrail.groups else key.group not in {"", UNKNOWN}
        if key.arm in set(arms) and key.attribute == guardrail.attribute and is_compared:
            found[key.arm, key.group].append(count)
    for counts in found.values():
        due = sum(one.due for one in counts)
        if due >= ENOUGH:
            yield Coverage(sum(one.labelled for one in counts), due)


def expected_shares(plan: Plan, step: Step) -> dict[str, float]:
    """Return the share of the compared units that each arm should get in a step; empty of shadow traffic."""
    match step.mode:
        case "shadow":
            return {}
        case "soak":
            weights = {CHALLENGER: plan.holdback_bp, CONTROL: plan.holdback_bp}
        case "canary":
            of_challengers = dict(zip(challenger_arms(plan), step.weights_bp, strict=False))
            weights = {**of_challengers, CONTROL: max(step.weights_bp)}
    total = sum(weights.values())
    return {arm: weight / total for arm, weight in weights.items() if weight}


def _of_labels(units: Mapping[UnitKey, UnitCount], arms: tuple[str, ...]) -> Iterator[tuple[str, Coverage]]:
    yield "labels", label_coverage(units, arms)
    for arm in arms:
        yield f"labels:{arm}", label_coverage(units, (arm,))


def _worst(coverages: Iterable[Coverage]) -> Coverage:
    found = [one for one in coverages if one.share is not None]
    return min(found, key=lambda one: one.known / one.units, default=Coverage(0, 0))
