"""What a worker runs: a model version reduced to columns in, scores out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]
"""One 1-D array per signature column, all of one length; dtypes as in `inference.signature.ColumnType`."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What a runtime computes for N rows.

    `values` is [N] float64 for a regressor; `probabilities` is [N, K] float64 in the order of the signature's
    classes for a classifier. Exactly one of the two is there.
    """

    values: NDArray[np.float64] | None = None
    probabilities: NDArray[np.float64] | None = None


class Runtime(Protocol):
    """A loaded model version. Stateless between calls, safe to call from one thread at a time."""

    def run(self, columns: Columns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        ...
