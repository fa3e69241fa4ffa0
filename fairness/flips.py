"""Does the decision change when nothing but the protected attribute does?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import bdtr

from fairness.counts import GroupCounts
from fairness.errors import LengthMismatchError
from fairness.groups import Groups
from fairness.intervals import wilson
from fairness.labels import Labels, is_favourable
from fairness.rates import Rate, undefined


@dataclass(frozen=True, slots=True)
class Flips:
    """What a swap of the attribute did to the rows of one group.

    `gained` rows became favourable, `lost` ones stopped to be. `p_value` is of the exact test that both happen
    equally often (McNemar): small where the attribute pulls in one direction, 1.0 where nothing changed.
    """

    group: str
    rows: int
    gained: int
    lost: int
    flip_rate: Rate
    p_value: float


def swap(values: Sequence[Any], one: Any, other: Any) -> list[Any]:
    """Return the column with `one` and `other` exchanged; every other value stays.

    >>> swap(["f", "m", None, "x"], "f", "m")
    ['m', 'f', None, 'x']
    """
    return [other if value == one else one if value == other else value for value in values]


def flips(groups: Groups, before: Labels, after: Labels, favourable: Any) -> tuple[Flips, ...]:
    """Return, for each group as it was, how many decisions changed with the attribute.

    `before` and `after` are [N] decisions on the same rows, without and with the swap. `flip_rate` is the share
    of rows whose decision changed, with its Wilson interval: 0 to 1, 0 is best.

    A model that does not read the attribute never flips, however unequal its decisions are: what it learns
    through other columns stays as it is. So 0 does not show that groups are treated alike, and a flip shows that
    the attribute itself decided.

    Raises:
        LengthMismatchError: The columns are not of one length.
    """
    for name, column in (("decisions before", before), ("decisions after", after)):
        if len(column) != len(groups.codes):
            raise LengthMismatchError(name, len(column), len(groups.codes))
    was, now = is_favourable(before, favourable), is_favourable(after, favourable)
    size = len(groups.names)
    counts = zip(
        groups.names,
        np.bincount(groups.codes, minlength=size).tolist(),
        np.bincount(groups.codes[~was & now], minlength=size).tolist(),
        np.bincount(groups.codes[was & ~now], minlength=size).tolist(),
        strict=True,
    )
    return tuple(_flips(name, rows, gained, lost) for name, rows, gained, lost in counts)


def _flips(name: str, rows: int, gained: int, lost: int) -> Flips:
    changed = gained + lost
    p_value = min(1.0, 2 * float(bdtr(min(gained, lost), changed, 0.5))) if changed else 1.0
    if not rows:
        return Flips(name, 0, 0, 0, undefined(GroupCounts(), "rows"), p_value)
    low, high = wilson(changed, rows)
    return Flips(name, rows, gained, lost, Rate(changed / rows, float(low), float(high), rows), p_value)
