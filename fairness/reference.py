"""Each group beside one reference group: signed differences and ratios, with both groups named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from fairness.counts import GroupCounts
from fairness.derived import DerivedName, Statistic, point, statistic
from fairness.errors import UnknownReferenceError
from fairness.groups import UNKNOWN
from fairness.intervals import donner_zou, newcombe
from fairness.rates import RateName, parts
from fairness.significance import equal_rates_p

Pair = tuple[GroupCounts, GroupCounts]
"""A group and the reference group."""

Limited = tuple[float, float | None, float | None]
"""A value with its lower and its upper limit."""

Measure = Callable[[Pair, float], Limited]


class ReferenceMetric(StrEnum):
    """Metrics of a group beside the reference group, under AIF360's names where it has one."""

    STATISTICAL_PARITY_DIFFERENCE = "statistical_parity_difference"
    DISPARATE_IMPACT = "disparate_impact"
    EQUAL_OPPORTUNITY_DIFFERENCE = "equal_opportunity_difference_vs_reference"
    AVERAGE_ODDS_DIFFERENCE = "average_odds_difference"
    AVERAGE_ABS_ODDS_DIFFERENCE = "average_abs_odds_difference"
    TREATMENT_EQUALITY_DIFFERENCE = "treatment_equality_difference"


TESTED: Mapping[ReferenceMetric, RateName] = {
    ReferenceMetric.STATISTICAL_PARITY_DIFFERENCE: RateName.SELECTION_RATE,
    ReferenceMetric.DISPARATE_IMPACT: RateName.SELECTION_RATE,
    ReferenceMetric.EQUAL_OPPORTUNITY_DIFFERENCE: RateName.TRUE_POSITIVE_RATE,
}
"""The metrics that compare one rate, whose equality is tested."""

_RESTS_ON: Mapping[ReferenceMetric, tuple[Statistic, ...]] = {
    **{metric: (name,) for metric, name in TESTED.items()},
    ReferenceMetric.AVERAGE_ODDS_DIFFERENCE: (RateName.FALSE_POSITIVE_RATE, RateName.TRUE_POSITIVE_RATE),
    ReferenceMetric.AVERAGE_ABS_ODDS_DIFFERENCE: (RateName.FALSE_POSITIVE_RATE, RateName.TRUE_POSITIVE_RATE),
    ReferenceMetric.TREATMENT_EQUALITY_DIFFERENCE: (DerivedName.TREATMENT_EQUALITY,),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One group beside the reference group. Differences are group minus reference, ratios group over reference.

    `value` is None when undefined, and `reason` says why; a ratio's `upper` is None where it has no bound.
    `compared` says that both groups have enough rows; else the value is shown and not tested. `p_value` tests
    that both groups have one rate, by itself; `q_value` is adjusted for all comparisons of the report (Benjamini
    and Hochberg), for looking around and not for a gate.
    """

    metric: ReferenceMetric
    group: str
    reference: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    compared: bool = False
    p_value: float | None = None
    q_value: float | None = None
    reason: str | None = None


def reference_group(attribute: str, groups: Mapping[str, GroupCounts], wanted: str | None = None) -> str | None:
    """Return the group that others are compared with: the one wanted, or else the largest; None without any.

    The largest is a convention and means no judgement about who should be the standard.

    Raises:
        UnknownReferenceError: The group that is wanted does not occur, or is "unknown".
    """
    known = [name for name in groups if name != UNKNOWN]
    if wanted is not None:
        if wanted not in known:
            raise UnknownReferenceError(attribute, wanted, known)
        return wanted
    return max(known, key=lambda name: groups[name].rows, default=None)


def compare(
    groups: Mapping[str, GroupCounts], reference: str, *, minimum_rows: int = 1, confidence: float = 0.95
) -> tuple[Comparison, ...]:
    """Return every metric of every known group beside the reference.

    - `statistical_parity_difference`: selection rate minus the reference's, -1 to 1; Newcombe's interval.
    - `disparate_impact`: selection rate over the reference's, from 0 without bound, so that 1.25 and 0.8 are as far
      from 1; Donner and Zou's interval. It is not Fairlearn's `demographic_parity_ratio`, which is never above 1.
    - `equal_opportunity_difference_vs_reference`: true positive rate minus the reference's; Newcombe's interval.
      The unsigned `equal_opportunity_difference` of all groups has the plain name.
    - `average_odds_difference`: the mean of the differences in false and in true positive rate. 0 may also mean
      that one cancels the other. Its interval is put together from both of Newcombe's.
    - `average_abs_odds_difference`: the mean of their absolute values, which cannot cancel, and is above 0 by
      chance alone; without an interval for that reason.
    - `treatment_equality_difference`: fn/fp minus the reference's; its interval is put together from both ratios'.
    """
    return tuple(
        _compare(
            metric,
            name,
            reference,
            (groups[name], groups[reference]),
            minimum_rows=minimum_rows,
            confidence=confidence,
        )
        for metric in ReferenceMetric
        for name in groups
        if name not in (reference, UNKNOWN)
    )


def _compare(
    metric: ReferenceMetric, name: str, reference: str, pair: Pair, *, minimum_rows: int, confidence: float
) -> Comparison:
    rows = []
    for needed in _RESTS_ON[metric]:
        for who, counts in zip((name, reference), pair, strict=True):
            known, resting_on = point(needed, counts)
            if known is None:
                reason = f"group '{who}' has no {needed}: {statistic(needed, counts).reason}"
                return Comparison(metric, name, reference, None, reason=reason)
            rows.append(resting_on)
    if metric is ReferenceMetric.DISPARATE_IMPACT and not pair[1].selected:
        reason = "nobody is selected in the reference group, so there is no ratio to it"
        return Comparison(metric, name, reference, None, reason=reason)
    value, lower, upper = _VALUES[metric](pair, confidence)
    compared = min(rows) >= minimum_rows
    return Comparison(
        metric=metric,
        group=name,
        reference=reference,
        value=value,
        lower=lower,
        upper=upper,
        compared=compared,
        p_value=_p_value(TESTED[metric], pair) if metric in TESTED and compared else None,
        reason=None if compared else f"rests on {min(rows)} rows, fewer than {minimum_rows}: shown and not tested",
    )


def _p_value(name: RateName, pair: Pair) -> float:
    (x1, n1), (x2, n2) = (parts(name, counts) for counts in pair)
    return float(equal_rates_p(x1, n1, x2, n2)[0])


def _difference(name: RateName) -> Measure:
    def measure(pair: Pair, confidence: float) -> Limited:
        (x1, n1), (x2, n2) = (parts(name, counts) for counts in pair)
        low, high = newcombe(x1, n1, x2, n2, confidence)
        return x1 / n1 - x2 / n2, float(low), float(high)

    return measure


def _disparate_impact(pair: Pair, confidence: float) -> Limited:
    (x1, n1), (x2, n2) = (parts(RateName.SELECTION_RATE, counts) for counts in pair)
    low, high = donner_zou(x1, n1, x2, n2, confidence)
    return (x1 / n1) / (x2 / n2), float(low), float(high) if np.isfinite(high) else None


def _average_odds(pair: Pair, confidence: float) -> Limited:
    false, false_low, false_high = _difference(RateName.FALSE_POSITIVE_RATE)(pair, confidence)
    true, true_low, true_high = _difference(RateName.TRUE_POSITIVE_RATE)(pair, confidence)
    value = (false + true) / 2
    below = math.hypot(false - (false_low or 0.0), true - (true_low or 0.0)) / 2
    above = math.hypot((false_high or 0.0) - false, (true_high or 0.0) - true) / 2
    return value, value - below, value + above


def _average_abs_odds(pair: Pair, confidence: float) -> Limited:
    false, *_ = _difference(RateName.FALSE_POSITIVE_RATE)(pair, confidence)
    true, *_ = _difference(RateName.TRUE_POSITIVE_RATE)(pair, confidence)
    return (abs(false) + abs(true)) / 2, None, None


def _treatment_equality(pair: Pair, confidence: float) -> Limited:
    group, standard = (statistic(DerivedName.TREATMENT_EQUALITY, counts, confidence) for counts in pair)
    one, other = group.value or 0.0, standard.value or 0.0
    if group.upper is None or standard.upper is None:
        return one - other, None, None
    below = math.hypot(one - (group.lower or 0.0), standard.upper - other)
    above = math.hypot(group.upper - one, other - (standard.lower or 0.0))
    return one - other, one - other - below, one - other + above


_VALUES: Final[Mapping[ReferenceMetric, Measure]] = {
    ReferenceMetric.STATISTICAL_PARITY_DIFFERENCE: _difference(RateName.SELECTION_RATE),
    ReferenceMetric.DISPARATE_IMPACT: _disparate_impact,
    ReferenceMetric.EQUAL_OPPORTUNITY_DIFFERENCE: _difference(RateName.TRUE_POSITIVE_RATE),
    ReferenceMetric.AVERAGE_ODDS_DIFFERENCE: _average_odds,
    ReferenceMetric.AVERAGE_ABS_ODDS_DIFFERENCE: _average_abs_odds,
    ReferenceMetric.TREATMENT_EQUALITY_DIFFERENCE: _treatment_equality,
}
