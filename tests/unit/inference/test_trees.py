"""Tree runtimes: every batch size, thresholds met exactly, and the native library kept at bay."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import treelite
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from compilation.compile_trees import compile_trees, thresholds
from inference.gtil import TreeLibraryError, Trees
from inference.preprocessing import NumberBlock
from inference.trees import TreeOutput, TreeRuntime


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame(random.normal(size=(300, 3)).round(2), columns=["a", "b", "c"])


@pytest.fixture(
    scope="module", params=[RandomForestClassifier(9), HistGradientBoostingClassifier(max_iter=9)], ids=str
)
def model(request, frame: pd.DataFrame):
    return request.param.fit(frame, (frame["a"] + frame["b"] ** 2 > 0.5).astype(int))


def compiled(model) -> TreeRuntime:
    return compile_trees(model, [NumberBlock(name, place) for place, name in enumerate("abc")])


def columns(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    return {name: frame[name].to_numpy() for name in frame}


def test_batches_of_every_size_agree_in_any_order(model, frame: pd.DataFrame) -> None:
    runtime = compiled(model)
    expected = model.predict_proba(frame)
    for rows in (1, 300, 2, 64, 1):
        got = runtime.run(columns(frame.head(rows)), rows).probabilities
        np.testing.assert_allclose(got, expected[:rows], rtol=0, atol=1e-12)


def test_an_earlier_answer_is_not_overwritten_by_a_later_one(model, frame: pd.DataFrame) -> None:
    runtime = compiled(model)
    first = runtime.run(columns(frame.head(5)), 5).probabilities
    kept = first.copy()
    runtime.run(columns(frame.tail(5)), 5)
    np.testing.assert_array_equal(first, kept)


def test_values_at_and_beside_a_threshold_fall_on_the_right_side(model, frame: pd.DataFrame) -> None:
    for feature, values in thresholds(model).items():
        edge = np.array(values)
        near = np.concatenate([edge, np.nextafter(edge, -np.inf), np.nextafter(edge, np.inf)])
        rows = frame.iloc[np.resize(np.arange(300), len(near))].reset_index(drop=True)
        rows.iloc[:, feature] = near
        got = compiled(model).run(columns(rows), len(rows)).probabilities
        np.testing.assert_allclose(got, model.predict_proba(rows), rtol=0, atol=1e-12)


def content(model) -> bytes:
    return treelite.sklearn.import_model(model).serialize_bytes()


def test_blocks_must_cover_every_feature_once(model) -> None:
    for places in ((0, 1), (0, 1, 1), (0, 1, 3)):
        blocks = tuple(NumberBlock("a", place) for place in places)
        with pytest.raises(ValueError, match="cover the 3 features"):
            TreeRuntime(blocks=blocks, trees=content(model), output=TreeOutput.ALL, single=True)


def test_bytes_that_are_no_trees_are_refused() -> None:
    with pytest.raises(TreeLibraryError):
        Trees(b"nothing of the kind")


def test_a_matrix_of_the_wrong_shape_never_reaches_the_native_library(model) -> None:
    trees = Trees(content(model))
    for matrix in (np.zeros((2, 2)), np.zeros((3, 3)).T[:, ::-1]):
        with pytest.raises(ValueError, match="C-ordered"):
            trees.predict(matrix)
