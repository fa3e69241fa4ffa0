"""Rates of one group, each with its interval, or with the reason why it has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fairness.counts import GroupCounts
from fairness.groups import UNKNOWN
from fairness.intervals import wilson


class RateName(StrEnum):
    """The rates of one group, under Fairlearn's names."""

    BASE_RATE = "base_rate"
    SELECTION_RATE = "selection_rate"
    TRUE_POSITIVE_RATE = "true_positive_rate"
    FALSE_POSITIVE_RATE = "false_positive_rate"
    TRUE_NEGATIVE_RATE = "true_negative_rate"
    FALSE_NEGATIVE_RATE = "false_negative_rate"
    PRECISION = "precision"
    ACCURACY = "accuracy"


@dataclass(frozen=True, slots=True)
class _Definition:
    numerator: Callable[[GroupCounts], int]
    denominator: Callable[[GroupCounts], int]
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
    RateName.ACCURACY: _Definition(lambda g: g.tp + g.tn, lambda g: g.labelled, "rows"),
}


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate with its Wilson interval; `value` is None when undefined, and `reason` then says why.

    An undefined rate is never 0: a group without actual positives has no true positive rate, good or bad.
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
    `precision` where nobody was selected, everything but `selection_rate` while no outcome is known.
    """
    definition = _DEFINITIONS[name]
    trials = definition.denominator(group)
    if not trials:
        unlabelled = definition.needs_outcomes and group.rows > 0 and not group.labelled
        reason = "no outcomes are known" if unlabelled else f"the group has no {definition.none}"
        return Rate(None, None, None, 0, reason)
    successes = definition.numerator(group)
    lower, upper = wilson(successes, trials, confidence)
    return Rate(successes / trials, float(lower), float(upper), trials)


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
