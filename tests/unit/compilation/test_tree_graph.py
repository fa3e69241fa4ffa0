"""Trees as a graph: every comparison, set of categories, missing value and sum as a walk over the nodes has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compilation.tree_graph import Mode, Tree, constant, ensemble_graph
from inference.onnx_session import OnnxSession

FEATURES = 3
CATEGORIES = [-2.0, 0.0, 1.0, 29.0, 30.0, 31.0, 64.0, 255.0, 70_000.0]
VALUES = [*CATEGORIES, -0.0, 2.0, 1e30, np.nan]
MATRIX = np.array(np.meshgrid(VALUES, VALUES, [0.0, np.nan])).reshape(FEATURES, -1).T.copy()


@st.composite
def trees(draw, width: int | None = None, targets: int = 1) -> Tree:
    true, false, feature, threshold, missing, members = [-1], [-1], [0], [0.0], [0], {}
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.sampled_from([node for node, child in enumerate(true) if child < 0]))
        true[at], false[at] = len(true), len(true) + 1
        feature[at], missing[at] = draw(st.integers(0, FEATURES - 1)), draw(st.integers(0, 1))
        if draw(st.booleans()):
            few = draw(st.lists(st.sampled_from(CATEGORIES), min_size=1))
            found = few + ([*range(40)] if draw(st.booleans()) else [])
            members[at] = np.array(found, dtype=np.float64)
        else:
            threshold[at] = draw(st.sampled_from(VALUES[:-1]))
        for grown in (true, false):
            grown += [-1, -1]
        for grown in (feature, missing):
            grown += [0, 0]
        threshold += [0.0, 0.0]
    size = (len(true),) if width is None else (len(true), width)
    values = np.random.default_rng(draw(st.integers(0, 99))).normal(size=size)
    arrays = [np.array(part) for part in (true, false, feature, threshold, missing)]
    return Tree(*arrays, values, draw(st.integers(0, targets - 1)), members)


def walked(tree: Tree, row: np.ndarray, mode: Mode) -> np.ndarray:
    node = 0
    while tree.true[node] >= 0:
        value = row[tree.feature[node]]
        if np.isnan(value):
            holds = bool(tree.missing_true[node])
        elif node in tree.members:
            holds = value in tree.members[node]
        else:
            holds = value <= tree.threshold[node] if mode is Mode.LEQ else value < tree.threshold[node]
        node = tree.true[node] if holds else tree.false[node]
    return tree.values[node]


def answers(content: bytes, matrix: np.ndarray) -> np.ndarray:
    return OnnxSession(content, "y").run({"x": matrix}, len(matrix))


@given(st.lists(trees(targets=2), min_size=1, max_size=3), st.sampled_from([Mode.LEQ, Mode.LT]))
def test_each_target_is_the_sum_of_its_trees_in_their_order(forest: list[Tree], mode: Mode) -> None:
    expected = np.zeros((len(MATRIX), 2))
    for tree in forest:
        expected[:, tree.target] += [walked(tree, row, mode) for row in MATRIX]
    content = ensemble_graph(forest, features=FEATURES, targets=2, mode=mode)
    np.testing.assert_array_equal(answers(content, MATRIX), expected)


@given(st.lists(trees(), min_size=1, max_size=3), st.sampled_from([1, 2, 3]))
def test_one_value_is_the_sum_divided(forest: list[Tree], divisor: int) -> None:
    expected = sum(np.array([walked(tree, row, Mode.LEQ) for row in MATRIX]) for tree in forest) / divisor
    content = ensemble_graph(forest, features=FEATURES, divisor=divisor)
    np.testing.assert_array_equal(answers(content, MATRIX)[:, 0], expected)


@given(st.lists(trees(width=4), min_size=1, max_size=3))
def test_leaves_of_several_values_are_added_value_by_value(forest: list[Tree]) -> None:
    expected = sum(np.array([walked(tree, row, Mode.LEQ) for row in MATRIX]) for tree in forest) / len(forest)
    content = ensemble_graph(forest, features=FEATURES, targets=4, divisor=len(forest))
    np.testing.assert_allclose(answers(content, MATRIX), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("members", [[1.0, 2.0], [1.0, 40.0], list(range(35)), [-3.0, 1.0]])
def test_a_fraction_is_in_no_set_of_categories(members: list[float]) -> None:
    tree = Tree(
        *(np.array(part) for part in ([1, -1, -1], [2, -1, -1], [1, 0, 0], [0.0, 0.0, 0.0], [0, 0, 0])),
        np.array([0.0, 1.0, -1.0]),
        members={0: np.array(members, dtype=np.float64)},
    )
    matrix = np.array([[0.5, value, 0.5] for value in (1.0, 1.5, -3.5, 1.0000001, -0.5, np.nan, np.inf)])
    content = ensemble_graph([tree], features=FEATURES, whole=[1])
    assert answers(content, matrix)[:, 0].tolist() == [1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]


def test_features_that_are_no_categories_keep_their_fractions() -> None:
    tree = Tree(
        *(np.array(part) for part in ([1, -1, -1], [2, -1, -1], [0, 0, 0], [0.25, 0.0, 0.0], [0, 0, 0])),
        np.array([0.0, 1.0, -1.0]),
    )
    content = ensemble_graph([tree], features=2, whole=[1])
    assert answers(content, np.array([[0.2, 1.5], [0.3, 1.5]]))[:, 0].tolist() == [1.0, -1.0]


@pytest.mark.parametrize("values", [np.array([5.25]), np.array([[5.25, 1.0]])])
def test_a_tree_of_one_leaf_gives_that_leaf(values: np.ndarray) -> None:
    forest = [replace(constant(0.0), values=values * times) for times in (1, 2)]
    targets = 1 if values.ndim == 1 else 2
    got = answers(ensemble_graph(forest, features=1, targets=targets), np.array([[1.0], [-1.0], [np.nan]]))
    np.testing.assert_array_equal(got, np.broadcast_to(values.reshape(1, -1) * 3, (3, targets)))


def test_a_wide_forest_notes_how_many_rows_it_takes_at_once() -> None:
    forest = [replace(constant(0.0), values=np.ones((1, 1000)))] * 50
    content = ensemble_graph(forest, features=1, targets=1000)
    noted = onnxruntime.InferenceSession(content).get_modelmeta().custom_metadata_map
    assert 50 * 1000 * int(noted["fairmind.most_rows"]) * 8 <= 32 * 2**20
    assert answers(content, np.zeros((200, 1))).tolist() == [[50.0] * 1000] * 200
