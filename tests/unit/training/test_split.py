from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import Split
from training.errors import DataError
from training.labels import Labels, read_labels
from training.split import split_rows


def _labels(values: object) -> Labels:
    return read_labels(pd.Series(values, name="y"))[0]


@given(
    st.lists(st.sampled_from("abc"), min_size=30, max_size=90).filter(
        lambda drawn: all(drawn.count(label) > 4 for label in "abc")
    ),
    st.integers(0, 99),
)
def test_the_parts_share_no_row_and_keep_the_classes_shares(values: list[str], seed: int) -> None:
    labels = _labels(values)
    rows = split_rows(labels, Split(test_fraction=0.3, seed=seed))

    assert sorted([*rows.train.tolist(), *rows.test.tolist()]) == list(range(len(values)))
    for label in labels.classes:
        share = np.mean(labels.values == label)
        assert abs(np.sum(labels.values[rows.test] == label) - share * len(rows.test)) <= 1.0
    again = split_rows(labels, Split(test_fraction=0.3, seed=seed))
    assert np.array_equal(again.test, rows.test)


def test_another_seed_holds_out_other_rows() -> None:
    labels = _labels([0, 1] * 50)

    assert split_rows(labels, Split(seed=1)).test.tolist() != split_rows(labels, Split(seed=2)).test.tolist()


def test_quantities_are_split_without_classes() -> None:
    rows = split_rows(_labels(np.arange(40) + 0.5), Split(test_fraction=0.25))

    assert (len(rows.train), len(rows.test)) == (30, 10)


def test_too_few_rows_for_every_class_is_an_error() -> None:
    with pytest.raises(DataError, match="leaves a part without every class"):
        split_rows(_labels([0, 0, 1, 1]), Split(test_fraction=0.1))
