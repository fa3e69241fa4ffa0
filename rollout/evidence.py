"""What a rollout's traffic has shown, as additive counts: order-free, mergeable, the same after a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

CHALLENGER, CONTROL, PAIRED = "challenger", "control", "paired"
"""Arms of a comparison. A second challenger's is `challenger-2`, and so on. Of shadow traffic each observation is a
difference, challenger less champion, on the same row: its arm is `paired`."""


class CellKey(NamedTuple):
    """Where an observation of a guardrail is counted.

    `step` is the index of the plan's step; `part` tells true positive rates (`tpr`) from false positive rates
    (`fpr`) where a guardrail has both, else it is empty; `group` is empty where the guardrail compares no groups.
    """

    step: int
    arm: str
    part: str
    group: str


class Cell(NamedTuple):
    """`n` observations with sum `total` and sum of squares `squares`; of yes and no, both sums count the yeses."""

    n: int
    total: float
    squares: float

    def __add__(self, other: object) -> Cell:
        if not isinstance(other, Cell):
            return NotImplemented
        return Cell(self.n + other.n, self.total + other.total, self.squares + other.squares)


Cells = Mapping[CellKey, Cell]


class UnitKey(NamedTuple):
    """Where units are counted: `attribute` and `group` are empty in the counts over all groups."""

    step: int
    arm: str
    attribute: str
    group: str


class UnitCount(NamedTuple):
    """Distinct units: assigned to an arm, answered (or failed with a reason), due for an outcome, and with one."""

    assigned: int = 0
    completed: int = 0
    due: int = 0
    labelled: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that an evaluation looks at. `watermark` is when the last row that is counted was served.

    `crossed` counts units that were seen in two arms of one step, of `units` seen in any.
    """

    cells: Mapping[str, Cells] = field(default_factory=dict)
    """By a guardrail's name."""
    units: Mapping[UnitKey, UnitCount] = field(default_factory=dict)
    crossed: int = 0
    watermark: datetime | None = None
