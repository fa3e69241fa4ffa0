"""Rates of one group, each with its interval, or with the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fairness.counts import GroupCounts
from fairness.groups import UNKNOWN
from fairness.intervals import wilson


class RateName(StrEnum):
    """The rates of one group, under Fairlearn's names where it has one. Each is a share of some of the rows."""

    BASE_RATE = "base_rate"
    SELECTION_RATE = "selection_rate"
    TRUE_POSITIVE_RATE = "true_positive_rate"
    FALSE_POSITIVE_RATE = "false_positive_rate"
    TRUE_NEGATIVE_RATE = "true_negative_rate"
    FALSE_NEGATIVE_RATE = "false_negative_rate"
    PRECISION = "precision"
    FALSE_DISCOVERY_RATE = "false_discovery_rate"
    NPV = "npv"
    FALSE_OMISSION_RATE = "false_omission_rate"
    ACCURACY = "accuracy"


@dataclass(frozen=True, slots=True)
class _Definition:
    """`numerator` and `denominator` of one group's counts, or of arrays of counts."""

    numerator: Callable[[Any], Any]
    denominator: Callable[[Any], Any]
    none: str
    """What the group has none of when the denominator is 0."""
    needs_outcomes: bool = True


_DEFINITIONS: Final[Mapping[RateName, _Definition]] = {
    RateName.BASE_RATE: _Definition(lambda g: g.tp + g.fn, lambda g: g.labelled, "rows"),
    RateName.SELECTION_RATE: _Definition(lambda g: g.selected, lambda g: g.rows, "rows", needs_outcomes=False),
    RateName.TRUE_POSITIVE_RATE: _Definition(lambda g: g.tp, lambda g: g.tp + g.fn, "actual positives"),
    RateName.FALSE_POSITIVE_RATE: _Definition(lambda g: g.fp, lambda g: g.fp + g.tn, "actual negatives"),
    RateName.TRUE_NEGATIVE_RATE: _Definition(lambda g: g.tn, lambda g: g.fp + g.tn, "actual negatives"),
    RateName.FALSE_NEGATIVE_RATE: _Definition(lambda g: g.fn, lambda g: g.tp + g.fn, "actual positives"),
    RateName.PRECISION: _Definition(lambda g: g.tp, lambda g: g.tp + g.fp, "selected rows with an outcome"),
    RateName.FALSE_DISCOVERY_RATE: _Definition(
        lambda g: g.fp, lambda g: g.tp + g.fp, "selected rows with an outcome"
    ),
    RateName.NPV: _Definition(lambda g: g.tn, lambda g: g.tn + g.fn, "rejected rows with an outcome"),
    RateName.FALSE_OMISSION_RATE: _Definition(
        lambda g: g.fn, lambda g: g.tn + g.fn, "rejected rows with an outcome"
    ),
    RateName.ACCURACY: _Definition(lambda g: g.tp + g.tn, lambda g: g.labelled, "rows"),
}


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate with its 95 % interval; `value` is None when undefined, and `reason` then says why.

    An undefined rate is never 0: a group without actual positives has no true positive rate, good or bad. The
    interval says how far chance may have moved this one rate; it does not say whether two groups differ (two
    overlapping intervals may, and that is tested). `upper` is None where there is no limit above.
    """

    value: float | None
    lower: float | None
    upper: float | None
    denominator: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Eligible:
    """One rate of the groups that can be compared, and the groups left out with the rows their rate rests on."""

    rate: RateName
    names: tuple[str, ...]
    successes: NDArray[np.float64]
    trials: NDArray[np.float64]
    left_out: Mapping[str, int]

    @property
    def values(self) -> NDArray[np.float64]:
        """The rates, in the order of `names`."""
        return self.successes / self.trials


def rate(name: RateName, group: GroupCounts, confidence: float = 0.95) -> Rate:
    """Return one rate of one group, from 0 to 1, with its Wilson interval.

    Undefined, with the reason, where its denominator is 0: `true_positive_rate` without actual positives,
    `precision` where nobody was selected, `npv` where everybody was, everything but `selection_rate` while no
    outcome is known.
    """
    definition = _DEFINITIONS[name]
    trials = definition.denominator(group)
    if not trials:
        return undefined(group, definition.none, needs_outcomes=definition.needs_outcomes)
    successes = definition.numerator(group)
    lower, upper = wilson(successes, trials, confidence)
    return Rate(successes / trials, float(lower), float(upper), trials)


def undefined(group: GroupCounts, none: str, *, needs_outcomes: bool = True) -> Rate:
    """Return the rate that a group has for want of `none`, with the reason."""
    unlabelled = needs_outcomes and group.rows > 0 and not group.labelled
    return Rate(None, None, None, 0, "no outcomes are known" if unlabelled else f"the group has no {none}")


def parts(name: RateName, counts: Any) -> tuple[Any, Any]:
    """Return numerator and denominator of a rate, of one group's counts or of arrays of counts."""
    definition = _DEFINITIONS[name]
    return definition.numerator(counts), definition.denominator(counts)


def eligible(name: RateName, groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> Eligible:
    """Return one rate of every group whose denominator reaches `minimum_rows`; never of the group "unknown"."""
    definition = _DEFINITIONS[name]
    trials = {group: definition.denominator(counts) for group, counts in groups.items()}
    names = tuple(group for group in groups if group != UNKNOWN and trials[group] >= max(minimum_rows, 1))
    return Eligible(
        rate=name,
        names=names,
        successes=np.array([definition.numerator(groups[group]) for group in names], dtype=np.float64),
        trials=np.array([trials[group] for group in names], dtype=np.float64),
        left_out={group: trials[group] for group in groups if group not in names and group != UNKNOWN},
    )
