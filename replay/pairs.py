"""Pairs of answers to the same row, added up: counts of those that are alike, and sums of losses. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fairness.groups import UNKNOWN
from monitoring.logged_rows import Attributes
from replay.rescoring import NO_LABEL, Answers, Labels
from rollout.evidence import Cell
from rollout.guardrail import Metric
from rollout.observations import OTHER

MOST_GROUPS: Final = 100
"""Groups of one attribute that are told apart, as in a rollout."""
ALL: Final = ("", "")
"""The attribute and group of all rows."""
_LEAST_PROBABILITY: Final = 1e-6


class Alike(NamedTuple):
    """What pairs have in common: codes of labels, -1 for none."""

    is_due: bool
    against: int
    challenger: int
    outcome: int


@dataclass(slots=True)
class Pairs:
    """What has been seen of both versions, additive.

    `counts` are by attribute and group, `ALL` over all; the attributes of a row that has none of that name are not
    in it, see `groups`. `losses` are differences, challenger less the other, of log loss and Brier score where the
    outcome and both scores are known.
    """

    labels: Labels = field(default_factory=Labels)
    counts: defaultdict[tuple[str, str], Counter[Alike]] = field(default_factory=lambda: defaultdict(Counter))
    losses: dict[tuple[Metric, int], Cell] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many pairs there are."""
        return self.counts[ALL].total()

    @property
    def attributes(self) -> tuple[str, ...]:
        """The protected attributes that any row has."""
        return tuple(sorted({attribute for attribute, _ in self.counts if attribute}))

    def groups(self, attribute: str) -> Mapping[str, Counter[Alike]]:
        """Return the counts of each group of an attribute; rows that have none are the group `unknown`."""
        found = {group: counts for (name, group), counts in self.counts.items() if name == attribute}
        unknown = Counter(self.counts[ALL])
        for counts in found.values():
            unknown.subtract(counts)
        rest = +unknown
        if rest:
            found[UNKNOWN] = found.get(UNKNOWN, Counter()) + rest
        return found

    def add(
        self,
        against: Answers,
        challenger: Answers,
        *,
        is_due: NDArray[np.bool_],
        outcomes: NDArray[np.int64],
        attributes: Sequence[Attributes],
    ) -> None:
        """Count pairs; `outcomes` are codes of labels."""
        base = len(self.labels.names) + 1
        keys = (challenger.labels + 1) * base + outcomes + 1
        keys = ((against.labels + 1) * base * base + keys) * 2 + is_due
        self.counts[ALL].update(_counted(keys, base))
        for name in dict.fromkeys(name for own in attributes for name in own):
            values = [own.get(name) for own in attributes]
            for group, places in self._places(name, values):
                self.counts[name, group].update(_counted(keys[places], base))

    def add_losses(
        self,
        against: Answers,
        challenger: Answers,
        *,
        is_due: NDArray[np.bool_],
        outcomes: NDArray[np.int64],
        positive: Any,
    ) -> None:
        """Add the differences of losses, with scores taken for probabilities of the label `positive`."""
        code = self.labels.code(positive)
        have = is_due & (outcomes != NO_LABEL) & ~challenger.refused & ~against.refused
        have &= _is_probability(against.scores) & _is_probability(challenger.scores)
        truth, ours, theirs = outcomes[have] == code, challenger.scores[have], against.scores[have]
        for metric, loss in ((Metric.BRIER, _brier), (Metric.LOG_LOSS, _log_loss)):
            found = loss(ours, truth) - loss(theirs, truth)
            cell = Cell(len(found), float(found.sum()), float((found**2).sum()))
            self.losses[metric, code] = self.losses.get((metric, code), Cell(0, 0.0, 0.0)) + cell

    def label(self, code: int) -> Any:
        """Return the label of a code; None for none."""
        return None if code == NO_LABEL else self.labels.names[code]

    def _places(self, name: str, values: Sequence[str | None]) -> Iterable[tuple[str, NDArray[np.intp]]]:
        kept = {group for attribute, group in self.counts if attribute == name}
        codes: dict[str, int] = {}
        found = np.empty(len(values), np.int64)
        for place, value in enumerate(values):
            group = value or UNKNOWN
            if group not in kept and group != UNKNOWN:
                if len(kept) >= MOST_GROUPS:
                    group = OTHER
                else:
                    kept.add(group)
            found[place] = codes.setdefault(group, len(codes))
        for group, code in codes.items():
            if group != UNKNOWN:
                yield group, np.flatnonzero(found == code)


def _counted(keys: NDArray[np.int64], base: int) -> dict[Alike, int]:
    found = {}
    for key, count in zip(*(part.tolist() for part in np.unique(keys, return_counts=True)), strict=True):
        rest, is_due = divmod(key, 2)
        rest, outcome = divmod(rest, base)
        against, challenger = divmod(rest, base)
        found[Alike(bool(is_due), against + NO_LABEL, challenger + NO_LABEL, outcome + NO_LABEL)] = count
    return found


def _is_probability(scores: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (scores >= 0) & (scores <= 1)


def _brier(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray((scores - truth) ** 2)


def _log_loss(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    cut = np.clip(scores, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    return np.asarray(-np.log(np.where(truth, cut, 1 - cut)))
