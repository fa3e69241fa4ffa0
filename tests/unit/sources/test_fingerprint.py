from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.fingerprint import fingerprint

ROWS = st.lists(st.tuples(st.integers(-5, 5), st.sampled_from(["a", "b", None])), min_size=1, max_size=8)


def _frame(rows: list[tuple[int, str | None]]) -> pd.DataFrame:
    return pd.DataFrame({"n": [n for n, _ in rows], "t": pd.Series([t for _, t in rows], dtype="str")})


@given(ROWS, ROWS)
def test_fingerprints_agree_exactly_when_the_tables_do(
    left: list[tuple[int, str | None]], right: list[tuple[int, str | None]]
) -> None:
    assert (fingerprint(_frame(left)).digest == fingerprint(_frame(right)).digest) == (left == right)


@pytest.mark.parametrize(
    "other",
    [
        pd.DataFrame({"b": [1, 2], "c": ["x", "y"]}),
        pd.DataFrame({"c": ["x", "y"], "a": [1, 2]}),
        pd.DataFrame({"a": [1.0, 2.0], "c": ["x", "y"]}),
        pd.DataFrame({"a": [2, 1], "c": ["y", "x"]}),
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"a": [1, 2], "c": ["x", None]}),
    ],
)
def test_a_name_a_type_an_order_or_a_gap_changes_it(other: pd.DataFrame) -> None:
    frame = pd.DataFrame({"a": [1, 2], "c": ["x", "y"]})

    assert fingerprint(other).digest != fingerprint(frame).digest


def test_row_labels_are_no_part_of_it() -> None:
    frame = pd.DataFrame({"a": [1, 2]})

    assert fingerprint(frame.set_axis([7, 9])) == fingerprint(frame)
    assert (fingerprint(frame).rows, fingerprint(frame).columns) == (2, 1)
    assert str(fingerprint(frame)).startswith("sha256:")
