"""Evidently is the oracle of how far two columns are apart, from an environment of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from monitoring.cells import EXTRAS, category_profile, column_profile, count_column, reference_counts
from monitoring.drift_statistics import (
    Counts,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
)
from tests import environments

pytestmark = pytest.mark.long

EVIDENTLY = Path(__file__).with_name("evidently")
JOBS = ["baker", "clerk", "poet", "smith"]


def columns() -> list[dict[str, Any]]:
    """Return pairs of samples, from none to much apart."""
    draw = np.random.default_rng(5)
    made = []
    for shift in (0.0, 0.05, 0.2, 0.5, 1.0):
        made.append(
            {
                "kind": "number",
                "reference": draw.normal(0, 1, 4_000).tolist(),
                "current": draw.normal(shift, 1 + shift / 4, 3_000).tolist(),
            }
        )
        before = np.array([0.4, 0.3, 0.2, 0.1])
        after = before + shift * np.array([-0.1, -0.05, 0.1, 0.05])
        made.append(
            {
                "kind": "category",
                "reference": draw.choice(JOBS, 4_000, p=before).tolist(),
                "current": draw.choice(JOBS, 3_000, p=after).tolist(),
            }
        )
    return made


COLUMNS = columns()
NUMBERS = [place for place, column in enumerate(COLUMNS) if column["kind"] == "number"]


@pytest.fixture(scope="module")
def said() -> Any:
    """What Evidently says of each column."""
    return environments.asked(EVIDENTLY, COLUMNS)


def counted(column: dict[str, Any]) -> tuple[Counts, Counts]:
    """Return both sides over our own cells."""
    reference, current = (pa.array(column[side]) for side in ("reference", "current"))
    profile = category_profile(reference) if column["kind"] == "category" else column_profile(reference)
    return (
        reference_counts(profile)[:-EXTRAS],
        count_column(profile, current, len(current))[:-EXTRAS],
    )


def histograms(column: dict[str, Any], edges: list[float]) -> tuple[Counts, Counts]:
    """Return both sides over Evidently's cells."""
    one, other = (np.histogram(column[side], edges)[0].astype(np.int64) for side in ("reference", "current"))
    return one, other


@pytest.mark.parametrize("place", range(len(COLUMNS)))
def test_over_the_same_cells_both_say_the_same(said: Any, place: int) -> None:
    column, theirs = COLUMNS[place], said[place]
    both = counted(column) if column["kind"] == "category" else histograms(column, theirs["edges"])
    # Theirs is to base e. What both put into an empty cell is a choice: it is compared where there is none.
    if all(each[both[0] + both[1] > 0].all() for each in both):
        assert population_stability_index(*both, empty_share=0.0) == pytest.approx(theirs["psi"], abs=1e-9)
    assert jensen_shannon_distance(*both) * np.sqrt(np.log(2)) == pytest.approx(theirs["jensen_shannon"], abs=1e-6)


@pytest.mark.parametrize("place", NUMBERS)
def test_over_quantiles_the_size_of_a_change_is_much_the_same(said: Any, place: int) -> None:
    found = population_stability_index(*counted(COLUMNS[place]))
    # Equal widths and quantiles see the tails differently.
    assert found == pytest.approx(said[place]["psi"], rel=0.25, abs=0.02)


@pytest.mark.parametrize("place", NUMBERS)
def test_our_p_value_is_no_smaller_and_finds_what_theirs_finds(said: Any, place: int) -> None:
    found = kolmogorov_smirnov(*counted(COLUMNS[place])).p_value
    assert found is not None
    assert found >= said[place]["ks_p"] * 0.99
    if said[place]["ks_p"] < 1e-4:
        assert found < 0.01
