"""From the evidence about all pairs of groups to one verdict per tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fairness.counts import GroupCounts
from fairness.disparities import between
from fairness.gate import EVERY_GROUP, Tolerance, Verdict
from fairness.power import about, distinct, inside, more_rows, trials_needed
from fairness.rates import Eligible, RateName, eligible
from fairness.significance import equal_rates_p, holm

ROUNDING = 1e-12
"""0.4 - 0.3 is a little more than 0.1 in binary; a gap exactly at the limit is not beyond it."""

Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]
Tests = Mapping[tuple[str, RateName], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Family:
    """Holm-adjusted p-values of all pairs judged together, by attribute and rate, in the order of `pairs`.

    `groups` are how many groups each of them compares.
    """

    adjusted: Tests
    size: int
    groups: Mapping[tuple[str, RateName], int]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what to know about it.

    `required` says that evidence is missing about a group that the tolerance requires it for. `p_value` is the
    smallest adjusted one among the pairs beyond the limit, None where no pair is.
    """

    verdict: Verdict
    note: str | None = None
    p_value: float | None = None
    required: bool = False


def pairs(rates: Eligible) -> Pairs:
    """Return the indices of all pairs of groups."""
    first, second = np.triu_indices(len(rates.names), 1)
    return first, second


def family_of(
    tolerances: list[Tolerance], attributes: Mapping[str, Mapping[str, GroupCounts]], minimum_rows: int
) -> Family:
    """Test every pair of every rate that these tolerances look at, once, and correct for all of them together.

    Two metrics of one rate (a difference and a ratio) rest on the same tests and count once.
    """
    wanted = dict.fromkeys((t.attribute, rate) for t in tolerances for rate in t.metric.rates)
    raw = []
    groups = {}
    for attribute, name in wanted:
        rates = eligible(name, attributes[attribute], minimum_rows)
        groups[attribute, name] = len(rates.names)
        first, second = pairs(rates)
        x, n = rates.successes, rates.trials
        raw.append(equal_rates_p(x[first], n[first], x[second], n[second]))
    adjusted = holm(np.concatenate(raw)) if raw else np.empty(0)
    split = np.split(adjusted, np.cumsum([len(p) for p in raw])[:-1]) if raw else []
    return Family(dict(zip(wanted, split, strict=True)), len(adjusted), groups)


def judge(
    tolerance: Tolerance,
    groups: Mapping[str, GroupCounts],
    family: Family,
    *,
    alpha: float = 0.05,
    minimum_rows: int = 30,
) -> Judgement:
    """Return the verdict on one tolerance.

    `fail`: the disparity is beyond the limit, and equal rates are rejected at `alpha`, corrected for the whole
    family, for a pair that is itself beyond it. On a fair model this happens with a chance of alpha at most.
    `pass`: the interval of every pair lies inside the limit; where the true gap is at the limit or beyond, the
    chance of it is about alpha at most (see `bounds.disparity_bounds`). `insufficient_evidence`: anything else,
    with the rows it would take to know.
    """
    parts = [eligible(name, groups, minimum_rows) for name in tolerance.metric.rates]
    findings = [
        _judge_rate(tolerance, part, groups, family, alpha=alpha, minimum_rows=minimum_rows) for part in parts
    ]
    for verdict in (Verdict.FAIL, Verdict.INSUFFICIENT_EVIDENCE):
        found = [finding for finding in findings if finding.verdict is verdict]
        if found:
            required = verdict is Verdict.INSUFFICIENT_EVIDENCE and any(finding.required for finding in found)
            values = [finding.p_value for finding in found if finding.p_value is not None]
            notes = dict.fromkeys(finding.note for finding in found if finding.note)
            return Judgement(verdict, "; ".join(notes) or None, min(values, default=None), required)
    return Judgement(Verdict.PASS)


def _judge_rate(
    tolerance: Tolerance,
    rates: Eligible,
    groups: Mapping[str, GroupCounts],
    family: Family,
    *,
    alpha: float,
    minimum_rows: int,
) -> Judgement:
    ratio, limit = tolerance.metric.is_ratio, tolerance.limit
    wanted = set(tolerance.required_groups) - {EVERY_GROUP}
    absent = sorted(wanted - set(rates.names))

    def insufficient(note: str, about_groups: set[str]) -> Judgement:
        required = EVERY_GROUP in tolerance.required_groups or bool(absent) or bool(wanted & about_groups)
        return Judgement(Verdict.INSUFFICIENT_EVIDENCE, note, required=required)

    reason = between(rates, ratio=ratio).reason
    if reason is not None:
        return insufficient("; ".join([reason, *_too_few(rates, groups, minimum_rows)]), wanted)
    first, second = pairs(rates)
    low = np.minimum(rates.values[first], rates.values[second])
    high = np.maximum(rates.values[first], rates.values[second])
    beyond = low < limit * high - ROUNDING if ratio else high - low > limit + ROUNDING
    adjusted = family.adjusted[(tolerance.attribute, rates.rate)]
    p_value = float(adjusted[beyond].min()) if beyond.any() else None
    if p_value is not None and p_value <= alpha:
        return Judgement(Verdict.FAIL, p_value=p_value)

    settled = inside(limit, ratio=ratio, alpha=alpha)
    x, n = rates.successes, rates.trials
    unsettled = ~settled(x[first], n[first], x[second], n[second])
    if beyond.any():
        # One pair proven beyond the limit is enough to fail; ask for the rows of the one that is nearest to that.
        target, candidates, pick = distinct(alpha, family.size), np.flatnonzero(beyond), np.argmin
    elif unsettled.any():
        # To pass, the hardest pair has to be shown inside the limit.
        target, candidates, pick = settled, np.flatnonzero(unsettled), np.argmax
    elif absent:
        return insufficient(f"{rates.rate}: {_lacking(absent[0], rates, groups, minimum_rows)}", wanted)
    elif not x.any() and rates.rate is not RateName.FALSE_POSITIVE_RATE:
        # Equal because nobody is ever selected: no evidence about how the model selects.
        return insufficient(
            f"the {rates.rate} is 0 in every group, which says nothing about how they compare", wanted
        )
    else:
        return Judgement(Verdict.PASS)
    i, j = first[candidates], second[candidates]
    needed = trials_needed(x[i], n[i], x[j], n[j], target)
    nearest = int(pick(needed))
    note = more_rows(rates, groups, (int(i[nearest]), int(j[nearest])), float(needed[nearest]))
    names = {rates.names[index] for index in (*first[unsettled], *second[unsettled])}
    return replace(insufficient(f"{rates.rate}: {note}", names), p_value=p_value)


def _too_few(rates: Eligible, groups: Mapping[str, GroupCounts], minimum_rows: int) -> list[str]:
    """Return what the groups that come nearest to `minimum_rows` lack, as many as it takes to have two."""
    nearest = sorted(rates.left_out, key=lambda name: -rates.left_out[name])[: max(0, 2 - len(rates.names))]
    return [_lacking(name, rates, groups, minimum_rows) for name in nearest]


def _lacking(name: str, rates: Eligible, groups: Mapping[str, GroupCounts], minimum_rows: int) -> str:
    if name not in groups:
        return f"required group '{name}' does not occur"
    has = rates.left_out.get(name, 0)
    # With none seen so far there is no share to reckon with; it takes that many at the very least.
    more = (
        f"about {about((minimum_rows - has) * groups[name].rows / has)}"
        if has
        else f"at least {minimum_rows} more rows"
    )
    return f"group '{name}' has {has} of the {minimum_rows} rows this rate needs: {more}"
