"""Two runtimes of a model: the number of rows picks one."""

from __future__ import annotations

import numpy as np
import pytest

from inference.crossover import CrossoverRuntime
from inference.runtime import Columns, Scores


class Named:
    """Answers with its own number."""

    def __init__(self, number: float) -> None:
        self._number = number

    def run(self, columns: Columns, rows: int) -> Scores:
        return Scores(values=np.full(rows, self._number))


@pytest.mark.parametrize(("rows", "number"), [(1, 0.0), (199, 0.0), (200, 1.0), (10_000, 1.0)])
def test_the_number_of_rows_picks_the_runtime(rows: int, number: float) -> None:
    runtime = CrossoverRuntime([Named(0.0), Named(1.0)], [1, 200])
    assert runtime.run({}, rows).values.tolist() == [number] * rows


@pytest.mark.parametrize("from_rows", [[], [1], [2, 3], [1, 1], [1, 0], [1, 2, 3]])
def test_runtimes_that_do_not_follow_each_other_are_refused(from_rows: list[int]) -> None:
    with pytest.raises(ValueError, match="do not follow"):
        CrossoverRuntime([Named(0.0), Named(1.0)], from_rows)
