"""Guardrails on one rate or mean: of the challenger against the control, of shadow pairs, or against a limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from rollout.betting import (
    Differences,
    Stratum,
    Yeses,
    difference_bound,
    difference_capital,
    difference_log_e,
    paired_bound,
    paired_capital,
    paired_log_e,
)
from rollout.bounds import Bounds, Levels, joined, times_needed
from rollout.evidence import CONTROL, PAIRED, Cell
from rollout.gaps import of_one_arm, of_two_arms, worst
from rollout.guardrail import Guardrail, Metric
from rollout.rates import is_yes_no, rates, short_of
from rollout.sequential import conditional_log_e, share_bound

Slots = Mapping[tuple[str, str, str], Mapping[int, Cell]]
"""The cells of an arm, a part and a group, by step."""

EVENTS: Final = frozenset({Metric.ERROR_RATE, Metric.LATENCY_SLO})
"""What is hoped to be rare: judged by the exact test alone."""
EXACT_SHARE: Final = 0.25
"""Share of the error probabilities that the exact test gets beside the asymptotic one, which is the sharper of the
two once there is enough of everything."""
PLENTY: Final = 300
"""Yeses and noes in each arm beyond which the exact test, at its share, says less than the asymptotic one."""


def pooled(steps: Mapping[int, Cell]) -> Cell:
    """Return the sum over all steps."""
    return sum(steps.values(), Cell(0, 0.0, 0.0))


def judge_mean(guardrail: Guardrail, slots: Slots, arm: str, sign: int, levels: Levels) -> Bounds:
    """Return the bounds of the harm to a rate or mean; `sign` is 1 where more is worse, -1 where less is.

    Errors, slow answers and shadow pairs of yes and no are judged by the exact test, and so is all yes and no with
    method `cond_binom`; means of measurements by the asymptotic one; other rates by both, the exact one at a
    quarter of the error probabilities: it needs neither a burn-in nor successes and failures in each arm, so rare
    yeses and rare noes get a verdict too.
    """
    alone = guardrail.compare == "absolute" or arm == PAIRED
    cells = [pooled(slots[name, "", ""]) for name in ([arm] if alone else [arm, CONTROL])]
    yes_no = is_paired_yes_no(cells[0]) if arm == PAIRED else is_yes_no(cells)
    exact = yes_no and (guardrail.metric in EVENTS or arm == PAIRED)
    if guardrail.method == "cond_binom" or (guardrail.method == "auto" and exact):
        return _exact(guardrail, slots, arm, sign, levels)
    if guardrail.method == "asymp_cs" or not yes_no:
        return _asymptotic(guardrail, slots, arm, sign, levels)
    found = _asymptotic(guardrail, slots, arm, sign, levels.part(1 - EXACT_SHARE))
    if found.missing is None and all(min(cell.total, cell.n - cell.total) > PLENTY for cell in cells):
        return found
    return joined(found, _exact(guardrail, slots, arm, sign, levels.part(EXACT_SHARE)))


def is_paired_yes_no(cell: Cell) -> bool:
    """Whether all differences are -1, 0 or 1."""
    plus, minus = (cell.squares + cell.total) / 2, (cell.squares - cell.total) / 2
    return min(plus, minus) >= 0 and cell.squares <= cell.n and float(plus).is_integer()


def differences(cell: Cell, sign: int) -> Differences:
    """Return the pairs of which the challenger's answer alone is a yes, or the champion's alone."""
    pairs = Differences(cell.n, (cell.squares + cell.total) / 2, (cell.squares - cell.total) / 2)
    return pairs if sign > 0 else pairs.reversed


def _exact(guardrail: Guardrail, slots: Slots, arm: str, sign: int, levels: Levels) -> Bounds:
    if arm == PAIRED:
        return paired_bounds(differences(pooled(slots[arm, "", ""]), sign), guardrail.margin, levels)
    if guardrail.compare == "absolute":
        return _limited(pooled(slots[arm, "", ""]), sign, guardrail.margin, levels)
    return _compared(guardrail, slots[arm, "", ""], slots[CONTROL, "", ""], sign, levels)


def paired_bounds(pairs: Differences, margin: float, levels: Levels) -> Bounds:
    """Return the exact bounds of a mean paired difference."""
    estimate = float((pairs.plus - pairs.minus) / pairs.n)
    relief, enough = paired_capital(pairs.reversed, -margin), -np.log(levels.promote)
    return Bounds(
        estimate=estimate,
        lower=paired_bound(pairs, levels.rollback),
        upper=-paired_bound(pairs.reversed, levels.promote),
        log_e=float(paired_log_e(pairs, margin)),
        more=times_needed(lambda times: relief.log_e(times) >= enough) if estimate < margin else None,
    )


def _compared(
    guardrail: Guardrail, ours: Mapping[int, Cell], theirs: Mapping[int, Cell], sign: int, levels: Levels
) -> Bounds:
    strata = [
        Stratum(Yeses(ours[step].n, ours[step].total), Yeses(theirs[step].n, theirs[step].total))
        for step in sorted(set(ours) & set(theirs))
    ]
    if not strata:
        return Bounds(None, None, None, None, None, "no step has observations of both arms")
    turned = [Stratum(other, worse) for worse, other in strata]
    harm, relief = (strata, turned) if sign > 0 else (turned, strata)
    counts = np.array(harm, dtype=np.float64)  # [strata, 2 arms, n and yeses]
    n, each = counts[:, :, 0], counts[:, :, 1] / counts[:, :, 0]
    estimate = float(np.average(each[:, 0] - each[:, 1], weights=n.prod(axis=1) / n.sum(axis=1)))
    margin, yeses = guardrail.margin, 0.9 if guardrail.metric in EVENTS else 0.5
    ease, enough = difference_capital(relief, -margin, yeses=yeses), -np.log(levels.promote)
    return Bounds(
        estimate=estimate,
        lower=difference_bound(harm, estimate, levels.rollback, yeses=yeses),
        upper=-difference_bound(relief, -estimate, levels.promote, yeses=yeses),
        log_e=float(difference_log_e(harm, margin, yeses=yeses)),
        more=times_needed(lambda times: ease.log_e(times) >= enough) if estimate < margin else None,
    )


def _limited(cell: Cell, sign: int, limit: float, levels: Levels) -> Bounds:
    """Return the exact bounds of one rate, told so that more is worse: of noes, less one, where less is."""
    harm = cell.total if sign > 0 else cell.n - cell.total
    other, shift = cell.n - harm, 0.0 if sign > 0 else -1.0
    theta, enough = float(np.clip(sign * limit - shift, 1e-9, 1 - 1e-9)), -np.log(levels.promote)
    more = None
    if harm / cell.n < theta:
        more = times_needed(lambda times: conditional_log_e(other * times, harm * times, 1 - theta) >= enough)
    return Bounds(
        estimate=harm / cell.n + shift,
        lower=share_bound(harm, other, levels.rollback) + shift,
        upper=1 - share_bound(other, harm, levels.promote) + shift,
        log_e=float(conditional_log_e(harm, other, theta)),
        more=more,
    )


def _asymptotic(guardrail: Guardrail, slots: Slots, arm: str, sign: int, levels: Levels) -> Bounds:
    alone = guardrail.compare == "absolute" or arm == PAIRED
    names = [arm] if alone else [arm, CONTROL]
    used = [{0: pooled(slots[arm, "", ""])}] if alone else [slots[name, "", ""] for name in names]
    cells = [pooled(one) for one in used]
    n, yes_no = sum(cell.n for cell in cells), arm != PAIRED and is_yes_no(cells)
    short = [f"the burn-in has {n} of {guardrail.burn_in} observations"] if n < guardrail.burn_in else []
    for name, cell in zip(names, cells, strict=True):
        lack = short_of(guardrail, cell, yes_no=yes_no)
        if lack is not None:
            short.append(f"{name} has {lack}")
    means = rates(used)
    if means is None or short:
        return Bounds(None, None, None, None, None, "; ".join(short) or "no step has two observations of each arm")
    gap, planned = np.array([[float(sign)]]), guardrail.planned_units
    if alone:
        limit = sign * guardrail.margin if guardrail.compare == "absolute" else guardrail.margin
        return worst(of_one_arm(gap, means, limit, planned), levels)
    return worst(of_two_arms(gap, means, signed=True, margin=guardrail.margin, planned=planned), levels)
