"""Many number blocks at once: the features of each block, and a row's score whatever its batch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.linear import LinearRuntime, Link
from inference.number_matrix import NumberMatrix, in_runs
from inference.preprocessing import CategoryBlock, NumberBlock, Operation

STEPS = st.sampled_from(
    [
        (),
        ((Operation.SUBTRACT, 40.0), (Operation.DIVIDE, 10.0)),
        ((Operation.SUBTRACT, -0.3), (Operation.DIVIDE, 3.0)),
        ((Operation.MULTIPLY, 1e-3), (Operation.ADD, 0.1)),
    ]
)
NUMBERS = st.floats(-1e150, 1e150) | st.just(float("nan"))


@st.composite
def models(draw: st.DrawFn) -> tuple[list[NumberBlock], dict[str, np.ndarray]]:
    """Return blocks, few or many, and seven rows of their columns."""
    count = draw(st.sampled_from([1, 3, 24, 25, 70]))
    kinds = draw(st.lists(st.tuples(STEPS, st.sampled_from([0.5, float("nan")])), min_size=1, max_size=4))
    pool = draw(st.lists(NUMBERS | st.floats(-100, 100), min_size=5, max_size=30))
    blocks = [NumberBlock(f"c{place}", place, *kinds[place % len(kinds)]) for place in range(count)]
    columns = {block.column: np.resize(np.roll(pool, block.start), 7) for block in blocks}
    return blocks, columns


@given(model=models())
def test_features_are_those_of_each_block(model: tuple[list[NumberBlock], dict[str, np.ndarray]]) -> None:
    blocks, columns = model
    runs = in_runs(blocks)
    assert [place for places, _ in runs for place in range(len(blocks))[places]] == list(range(len(blocks)))
    found = np.concatenate([matrix.features(columns) for _, matrix in runs])
    np.testing.assert_array_equal(found, [block.features(columns[block.column]) for block in blocks])


def test_whole_numbers_and_truth_values_become_floats() -> None:
    matrix = NumberMatrix([NumberBlock("a", 0), NumberBlock("b", 1), NumberBlock("c", 2)])
    columns = {"a": np.array([2**53 + 1, 3]), "b": np.array([True, False]), "c": np.array([0.5, -0.0])}
    assert matrix.features(columns).tolist() == [[2.0**53, 3.0], [1.0, 0.0], [0.5, -0.0]]


def test_blocks_of_other_operations_make_no_matrix() -> None:
    with pytest.raises(ValueError, match="differ in their operations"):
        NumberMatrix([NumberBlock("a", 0), NumberBlock("b", 1, ((Operation.ADD, 1.0),))])


@given(model=models(), outputs=st.integers(1, 3), with_text=st.booleans(), seed=st.integers(0, 1000))
@example(model=([], {}), outputs=1, with_text=True, seed=0)
def test_a_rows_score_is_the_same_alone_in_a_batch_and_among_thousands(
    model: tuple[list[NumberBlock], dict[str, np.ndarray]], outputs: int, with_text: bool, seed: int
) -> None:
    blocks, columns = model
    random = np.random.default_rng(seed)
    texts = CategoryBlock("city", len(blocks), ("Bonn",), random.normal(size=(3, outputs)))
    runtime = LinearRuntime(
        numbers=tuple(blocks),
        weights=random.normal(size=(len(blocks), outputs)),
        categories=(texts,) if with_text else (),
        intercept=random.normal(size=outputs),
        link=Link.IDENTITY,
    )
    columns = columns | {"city": np.array(["Bonn", None, "Ulm"] * 3, dtype=object)[:7]}

    def scores(start: int, rows: int, repeats: int = 1) -> np.ndarray:
        part = {name: np.tile(values[start : start + rows], repeats) for name, values in columns.items()}
        values = runtime.run(part, rows * repeats).values
        assert values is not None
        return values[:rows]

    alone = np.concatenate([scores(row, 1) for row in range(7)])
    np.testing.assert_array_equal(scores(0, 2), alone[:2])
    np.testing.assert_array_equal(scores(0, 7), alone)
    np.testing.assert_array_equal(scores(0, 7, repeats=6_000), alone)
