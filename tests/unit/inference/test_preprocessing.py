"""Blocks: one column in, its features out, the same for one value and for many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.preprocessing import CategoryBlock, NumberBlock, Operation, describe, restore

STEPS = st.lists(st.tuples(st.sampled_from(Operation), st.floats(0.1, 1e3)), max_size=4).map(tuple)


@given(STEPS, st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), min_size=1))
def test_a_number_has_the_same_feature_alone_and_among_others(steps, values) -> None:
    block = NumberBlock("age", 0, steps, missing=7.0)
    many = block.features(np.array(values))
    assert many.tolist() == [block.feature(value) for value in values]
    assert all(feature == 7.0 for feature, value in zip(many, values, strict=True) if np.isnan(value))


def test_missing_numbers_stay_missing_where_the_model_takes_them() -> None:
    block = NumberBlock("age", 0, ((Operation.SUBTRACT, 1.0),))
    assert np.isnan(block.features(np.array([np.nan]))).all()


def test_a_number_block_leaves_its_input_alone() -> None:
    values = np.array([1.0, 2.0])
    NumberBlock("age", 0, ((Operation.SUBTRACT, 1.0),)).features(values)
    assert values.tolist() == [1.0, 2.0]


def test_known_unknown_and_missing_categories_have_rows_of_their_own() -> None:
    block = CategoryBlock("city", 0, ("Bonn", "Ulm"), np.arange(8.0).reshape(4, 2))
    values = np.array(["Ulm", "Jena", None, "Bonn"], dtype=object)
    assert block.features(values).tolist() == [[2, 3], [4, 5], [6, 7], [0, 1]]
    assert [block.row(value).tolist() for value in values] == block.features(values).tolist()


def test_not_a_number_is_a_missing_category() -> None:
    block = CategoryBlock("code", 0, (1.0, 2.5), np.arange(4.0).reshape(4, 1))
    assert block.features(np.array([2.5, np.nan, 9.0])).ravel().tolist() == [1, 3, 2]


def test_blocks_survive_being_described() -> None:
    blocks = (
        NumberBlock("age", 0, ((Operation.SUBTRACT, 0.1), (Operation.DIVIDE, 1 / 3)), missing=-0.7),
        CategoryBlock("city", 1, ("Bonn", "Ulm", ""), np.random.default_rng(0).normal(size=(5, 3))),
        NumberBlock("income", 4),
    )
    values, arrays = describe(blocks)
    again = restore(values, arrays)
    assert again[0] == blocks[0]
    np.testing.assert_array_equal(again[1].table, blocks[1].table)
    assert np.isnan(again[2].missing)


@pytest.mark.parametrize("table", [np.ones((2, 1)), np.ones(3), np.ones((3, 1), dtype=np.float32)])
def test_a_table_that_does_not_fit_its_categories_is_refused(table) -> None:
    with pytest.raises(ValueError, match="column 'city'"):
        restore([{"column": "city", "start": 0, "categories": ["Bonn"]}], {"table_0": table})
