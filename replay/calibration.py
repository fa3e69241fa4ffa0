"""How well the scores of two versions tell the share of positive outcomes: additive counts per tenth. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 10


def _zeros() -> NDArray[np.float64]:
    return np.zeros((BINS, 3))


@dataclass(slots=True)
class Calibration:
    """Rows with a known outcome by tenth of the score: [tenth, (rows, sum of scores, positive outcomes)]."""

    sums: NDArray[np.float64] = field(default_factory=_zeros)

    def add(self, scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> None:
        """Count rows; those whose score is no probability are left out."""
        valid = (scores >= 0) & (scores <= 1)
        scores, positive = scores[valid], positive[valid]
        tenth = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
        for place, weights in enumerate((None, scores, positive)):
            self.sums[:, place] += np.bincount(tenth, weights, minlength=BINS)

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        return int(self.sums[:, 0].sum())

    def error(self) -> float | None:
        """Return the expected calibration error: the mean distance of score and share over tenths of the score.

        Weighted by rows; 0 is perfect, 1 the worst there is; None of no rows (Naeini et al., AAAI 2015).
        """
        if not self.rows:
            return None
        return float(np.abs(self.sums[:, 1] - self.sums[:, 2]).sum() / self.rows)

    def bias(self) -> float | None:
        """Return the mean score less the share of positive outcomes; above 0 scores promise too much."""
        if not self.rows:
            return None
        return float((self.sums[:, 1] - self.sums[:, 2]).sum() / self.rows)
