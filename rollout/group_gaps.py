"""Guardrails on groups of a protected attribute: gaps of rates, and the least accuracy of any group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from fairness.groups import UNKNOWN
from rollout.bounds import Bounds, Levels, mean_e
from rollout.evidence import CONTROL, PAIRED, Cell
from rollout.gaps import logarithms, of_one_arm, of_two_arms, ordered_pairs, widened, worst
from rollout.guardrail import Guardrail, Metric
from rollout.means import Slots, differences, paired_bounds, pooled
from rollout.rates import rates

_PARTS: Final = {Metric.EODDS_DIFF: ("tpr", "fpr")}


def compared_groups(guardrail: Guardrail, slots: Slots) -> list[str]:
    """Return the groups that are compared: those the guardrail names, or all that were seen but the unknown."""
    if guardrail.groups is not None:
        return list(guardrail.groups)
    seen = {group for _, _, group in slots} | ({guardrail.reference} if guardrail.reference is not None else set())
    return sorted(seen - {UNKNOWN, ""})


def judge_gap(guardrail: Guardrail, slots: Slots, arm: str, levels: Levels) -> Bounds:
    """Return the bounds of the worst gap, or of how much it widened.

    Of equalised odds the worse of both parts, each at half the error probability of a violation; it passes when
    both do. For `dp_ratio` the gap is one of ln rates. Groups that lack observations are left out of the bounds
    from below, which keep the levels of all groups, and leave none from above: they stop a pass, not a rollback.
    """
    parts = _PARTS.get(guardrail.metric, ("",))
    inner = levels._replace(rollback=levels.rollback / len(parts))
    found = [_judge_part(guardrail, slots, arm, part, inner) for part in parts]
    estimates, lowers = (
        [one for one in values if one is not None] for values in list(zip(*found, strict=True))[:2]
    )
    uppers = [one.upper for one in found if one.upper is not None]
    mores = [one.more for one in found if one.more is not None]
    return Bounds(
        estimate=max(estimates, default=None),
        lower=max(lowers, default=None),
        upper=max(uppers) if len(uppers) == len(found) else None,
        log_e=mean_e([one.log_e for one in found if one.log_e is not None]),
        more=max(mores) if len(mores) == len(found) else None,
        missing="; ".join(dict.fromkeys(one.missing for one in found if one.missing)) or None,
    )


def _judge_part(guardrail: Guardrail, slots: Slots, arm: str, part: str, levels: Levels) -> Bounds:
    groups = compared_groups(guardrail, slots)
    if len(groups) < 2:
        return Bounds(None, None, None, None, None, f"{len(groups)} group of two or more was seen")
    if arm == PAIRED:
        return _paired(guardrail, slots, part, groups, levels)
    arms = [arm] if guardrail.compare == "absolute" else [arm, CONTROL]
    able, missing = _able(guardrail, slots, arms, part, groups)
    means = (
        rates([slots[name, part, group] for name in arms for group in able])
        if len(arms) > 1
        else rates([{0: pooled(slots[arm, part, group])} for group in able])
    )
    reference = guardrail.reference
    if means is None or len(able) < 2 or (reference is not None and reference not in able):
        return Bounds(None, None, None, None, None, missing or "no step has two observations of each group and arm")
    means = widened(means)
    if guardrail.metric is Metric.GROUP_ACCURACY_MIN:
        gaps, all_gaps = -np.eye(len(able)), len(groups)
    else:
        gaps = ordered_pairs(len(able), able.index(reference) if reference is not None else None)
        all_gaps = len(groups) - 1 if reference is not None else len(groups) * (len(groups) - 1)
    if guardrail.metric is Metric.DP_RATIO:
        means = logarithms(means)
    margin, planned = guardrail.margin, guardrail.planned_units
    levels = levels._replace(rollback=levels.rollback * len(gaps) / all_gaps)
    if guardrail.compare == "absolute":
        found = worst(of_one_arm(gaps, means, absolute_margin(guardrail), planned), levels)
    else:
        signed = reference is not None and guardrail.metric is not Metric.GROUP_ACCURACY_MIN
        found = worst(of_two_arms(gaps, means, signed=signed, margin=margin, planned=planned), levels)
    if missing:
        return found._replace(upper=None, more=None, missing=missing)
    return found


def _able(
    guardrail: Guardrail, slots: Slots, arms: Sequence[str], part: str, groups: Sequence[str]
) -> tuple[list[str], str | None]:
    """Return the groups with enough observations, and what the others lack.

    Enough are so many that each of a group's cells should have `min_cell` yeses and noes at the rate of the group
    in both arms together (of all groups, where one arm is looked at alone). The rule must not ask for yeses of
    each cell: a challenger that selects nobody of a group would never be found out.
    """
    cells = {(name, group): pooled(slots.get((name, part, group), {})) for name in arms for group in groups}
    short: dict[str, str] = {}
    for group in groups:
        peers = [cell for (_, other), cell in cells.items() if len(arms) == 1 or other == group]
        together = sum(peers, Cell(0, 0.0, 0.0))
        rate = together.total / together.n if together.n else 0.0
        for name in arms:
            expected = cells[name, group].n * min(rate, 1 - rate)
            if expected < guardrail.min_cell:
                word = "yeses" if rate <= 0.5 else "noes"
                reason = f"group {group} has about {expected:.0f} of {guardrail.min_cell} {word} in {name}"
                short.setdefault(group, reason)
    able = [group for group in groups if group not in short]
    n = sum(cells[name, group].n for name in arms for group in able)
    if able and n < guardrail.burn_in:
        return [], f"the burn-in has {n} of {guardrail.burn_in} observations"
    return able, "; ".join(short.values()) or None


def absolute_margin(guardrail: Guardrail) -> float:
    """Return the limit as that of a gap which is worse the larger it is."""
    if guardrail.metric is Metric.DP_RATIO:
        return float(-np.log(guardrail.margin)) if guardrail.margin > 0 else float("inf")
    return -guardrail.margin if guardrail.metric is Metric.GROUP_ACCURACY_MIN else guardrail.margin


def absolute_quantity(guardrail: Guardrail, found: Bounds) -> Bounds:
    """Return the bounds of the quantity that the plan speaks of: a ratio, an accuracy, or the gap itself."""
    if guardrail.metric is Metric.DP_RATIO:
        turned = found.reversed()
        values = [None if value is None else float(np.exp(value)) for value in turned[:3]]
        return turned._replace(estimate=values[0], lower=values[1], upper=values[2])
    return found.reversed() if guardrail.metric is Metric.GROUP_ACCURACY_MIN else found


def _paired(guardrail: Guardrail, slots: Slots, part: str, groups: Sequence[str], levels: Levels) -> Bounds:
    """Return the bounds of how much wider a gap is in the challenger's answers to the same rows.

    Against a `reference`: the difference of the groups' mean differences, each with an exact bound at half the
    level. Without one the gaps themselves are not known from differences, only that none widened by more than the
    largest difference in differences: shadow traffic can pass, and is not violated.
    """
    cells = {group: pooled(slots.get((PAIRED, part, group), {})) for group in groups}
    empty = [group for group, cell in cells.items() if cell.n == 0]
    if empty:
        return Bounds(None, None, None, None, None, f"no shadow traffic of group {', '.join(empty)}")
    worst_of_accuracy = guardrail.metric is Metric.GROUP_ACCURACY_MIN
    reference = None if worst_of_accuracy else guardrail.reference
    ways = 1 if worst_of_accuracy else 2
    compared = len(groups) - 1 if reference is not None else len(groups)
    # Of the reference one bound serves all pairs, of each other group it serves one.
    inner = Levels(levels.rollback / (compared + 1 if reference is not None else 1), levels.promote / ways)
    down = {group: paired_bounds(differences(cell, -1), 0.0, inner) for group, cell in cells.items()}
    up = {group: paired_bounds(differences(cell, 1), 0.0, inner) for group, cell in cells.items()}
    if worst_of_accuracy:
        sides = [[down[group]] for group in groups]
    else:
        sides = [
            [up[one], down[other]]
            for one in groups
            for other in groups
            if one != other and reference in (None, one)
        ]
    return Bounds(
        estimate=max(sum(side.estimate or 0.0 for side in one) for one in sides),
        lower=max(sum(side.lower or 0.0 for side in one) for one in sides) if reference is not None else None,
        upper=max(sum(side.upper or 0.0 for side in one) for one in sides),
        log_e=None,
        more=None,
    )
