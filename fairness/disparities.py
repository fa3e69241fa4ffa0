"""How far apart the groups are, under Fairlearn's names and definitions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from fairness.counts import GroupCounts
from fairness.rates import Eligible, RateName, eligible


class Metric(StrEnum):
    """The disparities measured. A difference is best at 0, a ratio at 1."""

    DEMOGRAPHIC_PARITY_DIFFERENCE = "demographic_parity_difference"
    DEMOGRAPHIC_PARITY_RATIO = "demographic_parity_ratio"
    EQUAL_OPPORTUNITY_DIFFERENCE = "equal_opportunity_difference"
    EQUAL_OPPORTUNITY_RATIO = "equal_opportunity_ratio"
    EQUALIZED_ODDS_DIFFERENCE = "equalized_odds_difference"
    EQUALIZED_ODDS_RATIO = "equalized_odds_ratio"
    PREDICTIVE_PARITY_DIFFERENCE = "predictive_parity_difference"
    PREDICTIVE_PARITY_RATIO = "predictive_parity_ratio"

    @property
    def is_ratio(self) -> bool:
        """Whether this is a ratio (1 is best) and not a difference (0 is best)."""
        return self.value.endswith("_ratio")

    @property
    def needs_outcomes(self) -> bool:
        """Whether it can only be measured where outcomes are known."""
        return not self.value.startswith("demographic_parity")

    @property
    def rates(self) -> tuple[RateName, ...]:
        """The group rates it compares; with two, the worse one counts."""
        if self.value.startswith("demographic_parity"):
            return (RateName.SELECTION_RATE,)
        if self.value.startswith("equal_opportunity"):
            return (RateName.TRUE_POSITIVE_RATE,)
        if self.value.startswith("predictive_parity"):
            return (RateName.PRECISION,)
        return (RateName.TRUE_POSITIVE_RATE, RateName.FALSE_POSITIVE_RATE)


HEADLINE: Final = (
    Metric.DEMOGRAPHIC_PARITY_DIFFERENCE,
    Metric.DEMOGRAPHIC_PARITY_RATIO,
    Metric.EQUAL_OPPORTUNITY_DIFFERENCE,
    Metric.EQUAL_OPPORTUNITY_RATIO,
    Metric.EQUALIZED_ODDS_DIFFERENCE,
    Metric.EQUALIZED_ODDS_RATIO,
)
"""The metrics that a policy holds by default. Where base rates differ, a model that is not perfect cannot have both
equalized odds and predictive parity (Chouldechova 2017), so that gating on both by default would be a trap."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A disparity, the rate it comes from and the groups with the highest and the lowest one.

    `value` is None when undefined, and `reason` then says why.
    """

    value: float | None
    rate: RateName | None = None
    highest: str | None = None
    lowest: str | None = None
    reason: str | None = None


def demographic_parity_difference(groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> Measured:
    """Return the highest group selection rate minus the lowest.

    0.0 means all groups are selected equally often, 1.0 that one is always and another never selected. Groups under
    `minimum_rows` and the group "unknown" are left out. Undefined with fewer than two groups.

    >>> from fairness.counts import GroupCounts
    >>> measured = demographic_parity_difference({"a": GroupCounts(tp=6, tn=4), "b": GroupCounts(tp=2, tn=8)})
    >>> round(measured.value, 3), measured.highest, measured.lowest
    (0.4, 'a', 'b')
    """
    return measure_metric(Metric.DEMOGRAPHIC_PARITY_DIFFERENCE, groups, minimum_rows)


def demographic_parity_ratio(groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> Measured:
    """Return the lowest group selection rate divided by the highest.

    1.0 means all groups are selected equally often. The four-fifths rule (29 CFR 1607.4 D) asks for 0.8 or more;
    that rule of thumb is neither a proof of discrimination nor of its absence. Undefined, with a reason, where
    nobody is selected or fewer than two groups can be compared.
    """
    return measure_metric(Metric.DEMOGRAPHIC_PARITY_RATIO, groups, minimum_rows)


def equal_opportunity_difference(groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> Measured:
    """Return the highest true positive rate minus the lowest (Hardt et al. 2016, definition 2.2).

    0.0 means that those who deserve the favourable label get it equally often in every group. A group without
    enough actual positives is left out, not taken for 0.
    """
    return measure_metric(Metric.EQUAL_OPPORTUNITY_DIFFERENCE, groups, minimum_rows)


def equal_opportunity_ratio(groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> Measured:
    """Return the lowest true positive rate divided by the highest; undefined where there is no true positive."""
    return measure_metric(Metric.EQUAL_OPPORTUNITY_RATIO, groups, minimum_rows)


def equalized_odds_difference(groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> Measured:
    """Return the larger of the true and the false positive rate differences (Fairlearn's `worst_case`).

    0.0 means both error rates are equal (Hardt et al. 2016, definition 2.1). Undefined when either part is.
    """
    return measure_metric(Metric.EQUALIZED_ODDS_DIFFERENCE, groups, minimum_rows)


def equalized_odds_ratio(groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> Measured:
    """Return the smaller of the true and the false positive rate ratios; undefined when either part is."""
    return measure_metric(Metric.EQUALIZED_ODDS_RATIO, groups, minimum_rows)


def predictive_parity_difference(groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> Measured:
    """Return the highest precision minus the lowest (Chouldechova 2017, definition 2).

    0.0 means that a favourable decision is right equally often in every group. A group of which nobody was selected
    is left out, not taken for 0.
    """
    return measure_metric(Metric.PREDICTIVE_PARITY_DIFFERENCE, groups, minimum_rows)


def predictive_parity_ratio(groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> Measured:
    """Return the lowest precision divided by the highest; undefined where no favourable decision was right."""
    return measure_metric(Metric.PREDICTIVE_PARITY_RATIO, groups, minimum_rows)


def measure_metric(metric: Metric, groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> Measured:
    """Return any of the metrics by its name."""
    return worst(measure_parts(metric, groups, minimum_rows), ratio=metric.is_ratio)


def measure_parts(metric: Metric, groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> list[Measured]:
    """Return the disparity of each rate that a metric compares."""
    return [between(eligible(rate, groups, minimum_rows), ratio=metric.is_ratio) for rate in metric.rates]


def between(rates: Eligible, *, ratio: bool) -> Measured:
    """Return the difference or the ratio between the extreme groups of one rate; ties go to the first group."""
    if len(rates.names) < 2:
        known = "no group" if not rates.names else "only one group"
        return Measured(None, rates.rate, reason=f"{known} has enough rows for its {rates.rate}; two are needed")
    values = rates.values
    high, low = int(np.argmax(values)), int(np.argmin(values))
    highest, lowest = rates.names[high], rates.names[low]
    if not ratio:
        return Measured(float(values[high] - values[low]), rates.rate, highest, lowest)
    if values[high] == 0:
        return Measured(None, rates.rate, reason=f"the {rates.rate} is 0 in every group, so they have no ratio")
    return Measured(float(values[low] / values[high]), rates.rate, highest, lowest)


def worst(parts: list[Measured], *, ratio: bool) -> Measured:
    """Return the part that is furthest from parity, or the first undefined one: half a criterion is none."""
    for part in parts:
        if part.value is None:
            return part
    return (min if ratio else max)(parts, key=lambda part: part.value or 0.0)
