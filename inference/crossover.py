"""Two runtimes of one model: one that is quick for few rows, one that is quick for many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from inference.runtime import EncodedColumns, Runtime, Scores, run_encoded


class CrossoverRuntime:
    """The same model in several runtimes, of which the number of rows picks one.

    Args:
        runtimes: Each proven equal to the model; the quickest for one row first.
        from_rows: For each, the number of rows from which it is the quickest; rising, the first is 1.
    """

    takes_texts = True

    def __init__(self, runtimes: Sequence[Runtime], from_rows: Sequence[int]) -> None:
        starts = tuple(from_rows)
        if len(runtimes) != len(starts) or starts[:1] != (1,) or starts != tuple(sorted(set(starts))):
            raise ValueError("the runtimes do not follow each other from one row on")
        self.runtimes, self.from_rows = tuple(runtimes), starts

    def run(self, columns: EncodedColumns, rows: int) -> Scores:
        """Return the scores of `rows` rows."""
        return run_encoded(self.runtimes[bisect_right(self.from_rows, rows) - 1], columns, rows)
