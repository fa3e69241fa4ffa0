"""Counts over the cells of a profile."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.cells import (
    Tally,
    category_profile,
    column_profile,
    count_column,
    count_scores,
    dense,
    reference_counts,
    sparse,
)
from monitoring.profile import CategoryProfile, NumberProfile

NUMBERS = st.lists(st.floats(allow_nan=True, allow_infinity=False) | st.integers(-5, 5).map(float), max_size=120)


def number(values: list[float]) -> NumberProfile:
    found = column_profile(pa.array([0.0, *values]))
    assert isinstance(found, NumberProfile)
    return found


@given(NUMBERS)
def test_the_rows_a_profile_was_made_of_are_counted_as_the_profile_says(values: list[float]) -> None:
    column = pa.array([0.0, *values])
    profile = column_profile(column)
    assert count_column(profile, column, len(column)).tolist() == reference_counts(profile).tolist()


@given(NUMBERS, NUMBERS)
def test_other_numbers_fall_where_a_search_puts_them(values: list[float], others: list[float]) -> None:
    profile = number(values)
    tally = Tally.of(count_column(profile, pa.array(others, type=pa.float64()), len(others)))
    known = np.array([value for value in others if value == value])
    places = np.searchsorted(np.array(profile.edges), known, side="right")
    assert tally.cells.tolist() == np.bincount(places.astype(int), minlength=profile.cells).tolist()
    assert tally.missing == len(others) - len(known)
    assert tally.below == sum(value < profile.minimum for value in known)
    assert tally.above == sum(value > profile.maximum for value in known)
    if profile.values is not None:
        assert tally.unseen == sum(value not in profile.values for value in known)


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=40), st.integers(0, 40))
def test_counts_of_parts_add_up_to_those_of_the_whole(values: list[str | None], cut: int) -> None:
    profile = category_profile(pa.array(["a", "b"]))
    whole, parts = pa.array(values, type=pa.string()), (values[:cut], values[cut:])
    added = sum(count_column(profile, pa.array(part, type=pa.string()), len(part)) for part in parts)
    assert np.asarray(added).tolist() == count_column(profile, whole, len(values)).tolist()


@pytest.mark.parametrize("scale", [1e-290, 1.0, 1e290])
def test_edges_very_near_and_very_far_are_kept_apart(scale: float) -> None:
    values = np.array([*np.arange(40) * 1e-9, 1e9]) * scale
    profile = number(values.tolist())
    found = Tally.of(count_column(profile, pa.array(values), len(values)))
    places = np.searchsorted(np.array(profile.edges), values, side="right")
    assert found.cells.tolist() == np.bincount(places, minlength=profile.cells).tolist()


def test_infinity_is_counted_at_its_end_and_out_of_range() -> None:
    tally = Tally.of(count_column(number([float(i) for i in range(50)]), pa.array([np.inf, -np.inf, np.inf]), 3))
    assert (tally.cells[0], tally.cells[-1], tally.below, tally.above) == (1, 2, 1, 2)


@pytest.mark.parametrize("encoded", [False, True])
def test_categories_are_counted_as_text_or_dictionary_in_chunks(encoded: bool) -> None:
    profile = category_profile(pa.array(["x", "y", None, "x"]))
    chunks = [pa.array(["x", "new", None]), pa.array(["y", "y"])]
    if encoded:
        chunks = [chunk.dictionary_encode() for chunk in chunks]
    tally = Tally.of(count_column(profile, pa.chunked_array(chunks), 5))
    assert profile.categories == ("x", "y")
    assert tally.cells.tolist() == [1, 2, 0]
    assert (tally.missing, tally.unseen) == (1, 1)


def test_rare_categories_share_a_cell_and_are_known_by_name() -> None:
    often, rarely = [f"often {i}" for i in range(50)], [f"rarely {i}" for i in range(10)]
    profile = category_profile(pa.array([*often, *often, *rarely]))
    tally = Tally.of(count_column(profile, pa.array(["rarely 3", "never", "often 7"]), 3))
    assert (profile.cells, profile.counts[-1], len(profile.rest)) == (51, 10, 10)
    assert (tally.cells[-1], tally.unseen) == (1, 1)


def test_where_there_are_too_many_to_name_a_new_category_is_one_of_the_rest() -> None:
    profile = category_profile(pa.array([f"id {i}" for i in range(2_000)]))
    tally = Tally.of(count_column(profile, pa.array(["id 1999", "never"]), 2))
    assert profile.is_open
    assert (int(tally.cells.sum()), tally.unseen) == (2, 0)


def test_a_column_that_is_not_there_or_is_no_number_is_missing_in_each_row() -> None:
    for column in (None, pa.array(["a", "b"]), pa.array([None, None])):
        tally = Tally.of(count_column(number([1.0, 2.0]), column, 2))
        assert (int(tally.cells.sum()), tally.missing) == (0, 2)


def test_truth_values_and_whole_numbers_are_read_as_the_profile_says() -> None:
    flags = category_profile(pa.array([True, False, True]))
    assert flags.categories == ("true", "false")
    assert Tally.of(count_column(flags, pa.array([False, None]), 2)).cells.tolist() == [0, 1, 0]
    assert Tally.of(count_column(number([0.0, 1.0]), pa.array([True, False]), 2)).cells.tolist() == [1, 1]
    codes = category_profile(pa.array(["1", "2"]))
    assert Tally.of(count_column(codes, pa.array([1, 2, 3]), 3)).unseen == 1
    assert Tally.of(count_column(codes, pa.array([1.0, 2.0]), 2)).unseen == 0


def test_a_column_without_any_value_is_a_category_without_names() -> None:
    profile = column_profile(pa.array([None, None], type=pa.float64()))
    assert isinstance(profile, CategoryProfile)
    assert (profile.categories, profile.missing) == ((), 2)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=50))
def test_scores_are_counted_by_what_was_decided_and_by_thousandths(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([score for score, _ in rows], dtype=np.float64)
    second = np.array([decided for _, decided in rows], dtype=np.bool_)
    counts = count_scores(scores, second)
    for threshold in (0, 1, 250, 333, 999, 1000):
        assert counts[1, threshold:].sum() == sum(s >= threshold / 1000 and d for s, d in rows)
    assert (dense((sparse(counts[0]), sparse(counts[1]))) == counts).all()
