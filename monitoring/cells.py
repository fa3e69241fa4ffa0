"""From the columns of a table to counts over the cells of a profile, and to the profile itself; vectorised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.drift_statistics import Counts
from monitoring.number_cells import NumberCells, floats
from monitoring.profile import SCORE_STEPS, CategoryProfile, NumberProfile, ScoreHistogram

EXTRAS: Final = 4
"""What follows the cells in a vector of counts: missing, unseen, below, above."""

_BINS: Final = 20
_MOST_EXACT: Final = 30
_MOST_CATEGORIES: Final = 50
_MOST_NAMED: Final = 1_000
_EDGES: Final = np.arange(SCORE_STEPS + 1) / SCORE_STEPS

Column: TypeAlias = Any
"""A column of a table, as pyarrow has it: in one array, or in chunks."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A vector of counts in parts.

    `cells` are of rows that have a value. `unseen` are rows whose value the reference did not have: of a category
    they are in no cell; of a number with few distinct values they are in the cell below them. `below` and `above`
    are rows outside the reference's range, which are in the first and the last cell.
    """

    cells: Counts
    missing: int
    unseen: int
    below: int
    above: int

    @classmethod
    def of(cls, vector: Counts) -> Tally:
        """Return the parts of a vector as `count_column` makes it."""
        missing, unseen, below, above = (int(value) for value in vector[-EXTRAS:])
        return cls(vector[:-EXTRAS], missing, unseen, below, above)


def count_column(profile: NumberProfile | CategoryProfile, column: Column | None, rows: int) -> Counts:
    """Return [cells + 4] counts of a column of `rows` rows: its cells, then missing, unseen, below and above.

    A column that is not there is missing in each row, and so is a text where the profile has numbers.
    """
    vector = np.zeros(profile.cells + EXTRAS, dtype=np.int64)
    if column is None:
        vector[profile.cells] = rows
    elif isinstance(profile, NumberProfile):
        cells = NumberCells.of(profile)
        for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
            vector += cells.count(floats(chunk))
    else:
        _count_categories(profile, column, vector)
    return vector


def reference_counts(profile: NumberProfile | CategoryProfile) -> Counts:
    """Return the vector that a profile itself is, as `count_column` makes it of other rows."""
    return np.array([*profile.counts, profile.missing, 0, 0, 0], dtype=np.int64)


def column_profile(column: Column) -> NumberProfile | CategoryProfile:
    """Return the profile of a column: of a number with up to 30 distinct values these, of others 20 quantiles."""
    kind = column.type
    is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
    if is_number:
        values = np.concatenate([floats(chunk) for chunk in _chunks(column)] or [np.empty(0)])
        known = np.sort(values[np.isfinite(values)])  # infinity has no place in JSON, nor is it a value of anybody
        if len(known):
            return _number_profile(known, missing=len(values) - len(known))
    return category_profile(column)


def category_profile(column: Column, categories: tuple[str, ...] | None = None) -> CategoryProfile:
    """Return the profile of a column as categories: the 50 most frequent, or those that are given."""
    names, counts = _distinct(column)
    if categories is None:
        order = sorted(range(len(names)), key=lambda place: (-int(counts[place]), names[place]))
        categories = tuple(names[place] for place in order[:_MOST_CATEGORIES])
        others = [names[place] for place in order[_MOST_CATEGORIES:]]
    else:
        others = sorted(set(names) - set(categories))
    found = dict(zip(names, counts.tolist(), strict=True))
    return CategoryProfile(
        categories=categories,
        rest=tuple(others[:_MOST_NAMED]),
        is_open=len(others) > _MOST_NAMED,
        counts=(*(found.get(name, 0) for name in categories), sum(found[name] for name in others)),
        missing=len(column) - int(counts.sum()),
    )


def score_bins(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the bin of each probability, which is no NaN: the comparison that a threshold is."""
    return np.clip(np.searchsorted(_EDGES, scores, side="right") - 1, 0, SCORE_STEPS)


def count_scores(scores: NDArray[np.float64], is_second: NDArray[np.bool_]) -> Counts:
    """Return [2, 1001] rows by what was decided and by bin; rows without a score are left out."""
    known = ~np.isnan(scores)
    cell = is_second[known] * (SCORE_STEPS + 1) + score_bins(scores[known])
    return np.bincount(cell, minlength=2 * (SCORE_STEPS + 1)).reshape(2, SCORE_STEPS + 1)


def sparse(counts: Counts) -> ScoreHistogram:
    """Return the bins that hold rows."""
    return {int(place): int(counts[place]) for place in np.flatnonzero(counts)}


def dense(pair: tuple[ScoreHistogram, ScoreHistogram]) -> Counts:
    """Return [2, 1001] counts of a pair of histograms."""
    counts = np.zeros((2, SCORE_STEPS + 1), dtype=np.int64)
    for row, histogram in enumerate(pair):
        for place, rows in histogram.items():
            counts[row, place] = rows
    return counts


def _number_profile(known: NDArray[np.float64], missing: int) -> NumberProfile:
    """Return the profile of ascending values."""
    starts = np.flatnonzero(np.concatenate([[True], known[1:] != known[:-1]]))
    values: tuple[float, ...] | None = None
    if len(starts) <= _MOST_EXACT:
        values = tuple(known[starts].tolist())
        edges = known[starts][1:]
    else:
        # A quantile that is itself a value, so that no value changes sides by rounding.
        inner = known[(np.arange(1, _BINS) * len(known)) // _BINS]
        edges = np.unique(inner[inner > known[0]])
    counts = np.diff(np.concatenate([[0], np.searchsorted(known, edges, side="left"), [len(known)]]))
    return NumberProfile(
        edges=tuple(edges.tolist()),
        values=values,
        counts=tuple(counts.tolist()),
        missing=missing,
        minimum=float(known[0]),
        maximum=float(known[-1]),
    )


def _count_categories(profile: CategoryProfile, column: Column, vector: Counts) -> None:
    names, counts = _distinct(column)
    places = {name: place for place, name in enumerate(profile.categories)}
    last = len(profile.categories)
    places |= dict.fromkeys(profile.rest, last)
    elsewhere = last if profile.is_open else profile.cells + 1
    for name, rows in zip(names, counts.tolist(), strict=True):
        vector[places.get(name, elsewhere)] += rows
    vector[profile.cells] += len(column) - int(counts.sum())


def _distinct(column: Column) -> tuple[list[str], Counts]:
    """Return the distinct values of a column as texts, and how many rows have each; those without are left out."""
    if not pa.types.is_dictionary(column.type):
        found = pc.value_counts(column)
        names, counts = found.field("values"), found.field("counts").to_numpy()
    else:
        chunked = pa.chunked_array(_chunks(column), type=column.type).unify_dictionaries()
        names = chunked.chunk(0).dictionary if chunked.num_chunks else pa.array([], type=column.type.value_type)
        counts = np.zeros(len(names), dtype=np.int64)
        for chunk in chunked.chunks:
            indices = chunk.indices.drop_null().to_numpy(zero_copy_only=False)
            counts += np.bincount(indices, minlength=len(names))
    texts = [None if name is None else _text(name) for name in names.to_pylist()]
    merged: dict[str, int] = {}
    for text, rows in zip(texts, counts.tolist(), strict=True):
        if text is not None and rows:
            merged[text] = merged.get(text, 0) + rows
    return list(merged), np.array(list(merged.values()), dtype=np.int64)


def _text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return None if value != value else f"{value:.15g}"  # noqa: PLR0124 - NaN
    return str(value)


def _chunks(column: Column) -> list[pa.Array]:
    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]
