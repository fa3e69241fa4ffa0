from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from fairness.errors import LengthMismatchError
from fairness.flips import flips, swap
from fairness.groups import Groups, encode


@given(st.lists(st.sampled_from(["f", "m", "x", None])))
def test_swapping_twice_changes_nothing_and_other_values_stay(values: list[str | None]) -> None:
    once = swap(values, "f", "m")
    assert swap(once, "f", "m") == values
    assert [value for value in once if value in ("x", None)] == [value for value in values if value in ("x", None)]


@given(st.lists(st.tuples(st.sampled_from("fm"), st.integers(0, 1), st.integers(0, 1)), min_size=1))
def test_flips_are_counted_by_direction(table: list[tuple[str, int, int]]) -> None:
    sex, before, after = ([row[i] for row in table] for i in range(3))
    for found in flips(encode("sex", sex), before, after, 1):
        own = [(b, a) for s, b, a in table if s == found.group]
        assert (found.rows, found.gained, found.lost) == (len(own), own.count((0, 1)), own.count((1, 0)))
        assert found.flip_rate.value == (found.gained + found.lost) / found.rows
        changed = found.gained + found.lost
        assert found.p_value == pytest.approx(binomtest(found.gained, changed).pvalue if changed else 1.0)


def test_a_group_without_rows_has_no_flip_rate() -> None:
    found = flips(Groups(encode("g", ["a"]).codes, ("a", "b")), [1], [0], 1)
    assert found[1].flip_rate.value is None
    assert found[1].flip_rate.reason == "the group has no rows"


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(LengthMismatchError, match="decisions after"):
        flips(encode("g", ["a"]), [1], [1, 0], 1)
