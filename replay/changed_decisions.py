"""Decisions that would change: how many, of whom, in which direction, and where the score changes most. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from replay.pairs import ALL, Alike, Pairs
from replay.rescoring import NO_LABEL, Answers

SHOWN: Final = 20
"""Rows with the largest changes that are named."""


@dataclass(frozen=True, slots=True)
class Changed:
    """`rows` of the `of` rows of a group (all, without names) that change from one label to another."""

    attribute: str
    group: str
    before: Any
    after: Any
    rows: int
    of: int


@dataclass(frozen=True, slots=True)
class Change:
    """One row whose score changes, from `before` to `after`; its features are looked at elsewhere, by its id."""

    prediction_id: str
    before: Any
    after: Any
    score_before: float
    score_after: float


@dataclass(slots=True)
class LargestChanges:
    """The rows whose scores change most, of all that were added; of equal changes the first ones."""

    shown: int = SHOWN
    found: list[Change] = field(default_factory=list)

    def add(self, ids: Sequence[str], against: Answers, challenger: Answers, labels: Sequence[Any]) -> None:
        """Look at some rows; `labels` are the names of codes."""
        change = np.abs(challenger.scores - against.scores)
        places = _largest(np.nan_to_num(change, nan=-1.0), self.shown)
        for place in places:
            if change[place] > 0 and not challenger.refused[place]:
                before, after = int(against.labels[place]), int(challenger.labels[place])
                scores = float(against.scores[place]), float(challenger.scores[place])
                self.found.append(Change(ids[place], labels[before], labels[after], *scores))
        self.found.sort(key=lambda one: -abs(one.score_after - one.score_before))
        del self.found[self.shown :]


def changed_decisions(pairs: Pairs) -> list[Changed]:
    """Return how often decisions change, over all and by group of each attribute, the most frequent change first.

    Rows that the challenger refuses have no decision of its own and are in none.
    """
    found = list(_of(pairs, *ALL, pairs.counts[ALL]))
    for attribute in pairs.attributes:
        for group, counts in sorted(pairs.groups(attribute).items()):
            found += _of(pairs, attribute, group, counts)
    return found


def _of(pairs: Pairs, attribute: str, group: str, counts: Counter[Alike]) -> Iterator[Changed]:
    changed: Counter[tuple[int, int]] = Counter()
    for alike, rows in counts.items():
        if NO_LABEL not in (alike.against, alike.challenger) and alike.against != alike.challenger:
            changed[alike.against, alike.challenger] += rows
    of = counts.total()
    for (before, after), rows in sorted(changed.items(), key=lambda item: (-item[1], item[0])):
        yield Changed(attribute, group, pairs.label(before), pairs.label(after), rows, of)


def _largest(values: NDArray[np.float64], shown: int) -> NDArray[np.intp]:
    some = np.arange(len(values))
    if len(values) > shown:
        some = np.sort(np.argpartition(-values, shown)[:shown])
    return some[np.argsort(-values[some], kind="stable")]
