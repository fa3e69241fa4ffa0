"""scikit-learn's trees as ONNX: the same numbers as its own, at thresholds and far from the training data too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import ensemble, tree
from sklearn._loss.loss import HalfSquaredError
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from compilation.compile_trees import thresholds
from compilation.onnx_trees import tree_graph
from compilation.tree_graph import Tree, TreeGraph, ensemble_graph
from inference.errors import CompileError
from inference.onnx_runtime import OnnxRuntime
from inference.onnx_session import OnnxSession
from inference.preprocessing import NumberBlock

FEATURES = 5
RANDOM = np.random.default_rng(7)
X = np.column_stack([RANDOM.normal(size=(600, 3)), RANDOM.integers(0, 8, 600), RANDOM.integers(-3, 40, 600)])
SCORE = X[:, 0] + X[:, 1] * X[:, 2] + np.sin(X[:, 3]) + np.cos(X[:, 4])
HOLES = np.where(RANDOM.random(X.shape) < 0.1, np.nan, X)
TARGETS = {
    "two": np.where(SCORE > 0, "yes", "no"),
    "four": np.digitize(SCORE, [-1.0, 0.0, 1.0]),
    "value": SCORE * 1000.0,
    "positive": np.exp(SCORE),
    "values": np.column_stack([SCORE, -SCORE, X[:, 0]]),
    "constant": np.full(600, 2.5),
}
FEW = {"n_estimators": 12, "random_state": 0}
HISTOGRAM = {"max_iter": 12, "random_state": 0}
CASES = {
    "tree": (tree.DecisionTreeClassifier(max_depth=6, random_state=0), "two", HOLES),
    "tree of four classes": (tree.ExtraTreeClassifier(random_state=0), "four", HOLES),
    "regression tree": (tree.DecisionTreeRegressor(random_state=0), "value", HOLES),
    "extra tree of several values": (tree.ExtraTreeRegressor(random_state=0), "values", X),
    "a tree of one leaf": (tree.DecisionTreeRegressor(), "constant", X),
    "one leaf, four classes": (tree.DecisionTreeClassifier(min_samples_leaf=500), "four", X),
    "forest": (ensemble.RandomForestClassifier(**FEW), "two", HOLES),
    "forest with weights": (ensemble.RandomForestClassifier(**FEW, class_weight="balanced"), "two", HOLES),
    "forest of four classes": (ensemble.RandomForestClassifier(**FEW), "four", HOLES),
    "extra trees": (ensemble.ExtraTreesClassifier(**FEW), "four", HOLES),
    "extra trees for a value": (ensemble.ExtraTreesRegressor(**FEW), "value", X),
    "forest of several values": (ensemble.RandomForestRegressor(**FEW), "values", HOLES),
    "boosting": (ensemble.GradientBoostingClassifier(**FEW), "two", X),
    "boosting of four classes": (ensemble.GradientBoostingClassifier(**FEW), "four", X),
    "boosting from zero": (ensemble.GradientBoostingClassifier(**FEW, init="zero"), "four", X),
    "boosting from a constant": (
        ensemble.GradientBoostingClassifier(**FEW, init=DummyClassifier(strategy="most_frequent")),
        "two",
        X,
    ),
    "exponential loss": (ensemble.GradientBoostingClassifier(**FEW, loss="exponential"), "two", X),
    "boosting for a value": (ensemble.GradientBoostingRegressor(**FEW), "value", X),
    "huber": (ensemble.GradientBoostingRegressor(**FEW, loss="huber"), "value", X),
    "histogram": (ensemble.HistGradientBoostingClassifier(**HISTOGRAM), "two", HOLES),
    "histogram of four classes": (ensemble.HistGradientBoostingClassifier(**HISTOGRAM), "four", HOLES),
    "few categories": (
        ensemble.HistGradientBoostingClassifier(**HISTOGRAM, categorical_features=[3]),
        "two",
        HOLES,
    ),
    "many categories": (
        ensemble.HistGradientBoostingClassifier(**HISTOGRAM, categorical_features=[3, 4]),
        "four",
        HOLES,
    ),
    "categories, none missing": (
        ensemble.HistGradientBoostingRegressor(**HISTOGRAM, categorical_features=[3, 4]),
        "value",
        X,
    ),
    "poisson": (ensemble.HistGradientBoostingRegressor(**HISTOGRAM, loss="poisson"), "positive", HOLES),
    "gamma": (ensemble.HistGradientBoostingRegressor(**HISTOGRAM, loss="gamma"), "positive", HOLES),
    "quantile": (ensemble.HistGradientBoostingRegressor(**HISTOGRAM, loss="quantile", quantile=0.3), "value", X),
    "histogram of one leaf": (ensemble.HistGradientBoostingRegressor(min_samples_leaf=500), "value", X),
}


def answers(graph: TreeGraph, rows: np.ndarray, *, at_once: int | None = None) -> np.ndarray:
    blocks = tuple(NumberBlock(f"x{place}", place) for place in range(graph.features))
    runtime = OnnxRuntime(
        blocks=blocks, graph=graph.content, output=graph.output, single=graph.single, classes=graph.classes
    )
    found = []
    for start in range(0, len(rows), at_once or len(rows)):
        part = rows[start : start + (at_once or len(rows))]
        scores = runtime.run({f"x{place}": part[:, place] for place in range(graph.features)}, len(part))
        found.append(scores.values if scores.probabilities is None else scores.probabilities)
    return found[0] if len(found) == 1 else np.concatenate(found)


def expected(model, rows: np.ndarray) -> np.ndarray:
    return model.predict_proba(rows) if hasattr(model, "predict_proba") else model.predict(rows)


def odd_rows(model, rows: np.ndarray) -> np.ndarray:
    """The rows, and such where one feature is at or beside a threshold, huge, a zero of either sign, or unknown."""
    odd = [rows, rows + 0.5, -rows]
    for place, edges in thresholds(model).items():
        edge = np.array([value for value in edges if np.isfinite(value)])
        near = [edge, *(np.nextafter(edge, way) for way in (-np.inf, np.inf)), np.float32(edge).astype(float)]
        near += [np.nextafter(np.float32(edge), np.float32(way)).astype(float) for way in (-np.inf, np.inf)]
        near.append(np.array([0.0, -0.0, 1e30, -1e30, 1e-45, -5.0, 2.5, 300.0]))
        changed = rows[np.resize(np.arange(len(rows)), sum(map(len, near)))].copy()
        changed[:, place] = np.concatenate(near)
        odd.append(changed)
    return np.concatenate(odd)


@pytest.mark.parametrize("name", CASES)
def test_the_graph_answers_what_the_estimator_answers(name: str) -> None:
    estimator, target, rows = CASES[name]
    model = estimator.fit(rows, TARGETS[target])
    graph = tree_graph(model)
    assert (graph.features, graph.classes) == (FEATURES, len(getattr(model, "classes_", [])))
    odd = odd_rows(model, rows)
    truth = expected(model, odd)
    got = answers(graph, odd)
    np.testing.assert_allclose(got, truth, rtol=1e-15, atol=5e-16)
    assert got.flags.c_contiguous
    assert got.dtype == np.float64
    np.testing.assert_array_equal(answers(graph, odd[:20], at_once=1), got[:20])


PARAMETERS = st.fixed_dictionaries(
    {"max_depth": st.integers(1, 7), "min_samples_leaf": st.integers(1, 40), "random_state": st.integers(0, 9)}
)
KINDS = [
    ensemble.ExtraTreesClassifier,
    ensemble.GradientBoostingClassifier,
    ensemble.HistGradientBoostingClassifier,
    ensemble.RandomForestClassifier,
]


@settings(max_examples=25)
@given(st.sampled_from(KINDS), PARAMETERS, st.integers(1, 4), st.integers(2, 4), st.integers(20, 300))
def test_no_parameters_make_a_difference(kind, parameters, size: int, classes: int, rows: int) -> None:
    histogram = kind is ensemble.HistGradientBoostingClassifier
    count = {"max_iter": size, "early_stopping": False} if histogram else {"n_estimators": size}
    inputs = X if kind is ensemble.GradientBoostingClassifier else HOLES
    labels = np.arange(rows) % classes
    model = kind(**parameters, **count).fit(inputs[:rows], labels)
    np.testing.assert_allclose(answers(tree_graph(model), inputs), expected(model, inputs), rtol=0, atol=5e-16)


@pytest.mark.parametrize("values", [["c", "a", "b"], [3.0, -70_000.0, 12.0], [True, False, True]])
def test_a_category_is_its_number_or_its_place_among_the_sorted_ones(values: list) -> None:
    codes = RANDOM.integers(0, 3, 300)
    raw = np.array(values, dtype=object)[codes]
    frame = pd.DataFrame({"a": X[:300, 0], "kind": pd.Categorical(raw)})
    frame.loc[::9, "kind"] = None
    model = ensemble.HistGradientBoostingClassifier(**HISTOGRAM, categorical_features="from_dtype")
    model.fit(frame, (SCORE[:300] + codes > 1).astype(int))
    known = sorted(set(values))
    numbers = {value: known.index(value) if isinstance(value, str) else float(value) for value in known}
    rows = np.column_stack([frame["a"], frame["kind"].map(numbers).astype(float)])
    np.testing.assert_allclose(answers(tree_graph(model), rows), expected(model, frame), rtol=0, atol=5e-16)


def test_the_categories_of_an_estimator_without_an_encoder_are_its_own_numbers() -> None:
    # scikit-learn before 1.4 has no encoder: the trees know the numbers, here 0 to 4, and no other.
    rows = np.column_stack([RANDOM.integers(0, 5, 400), X[:400, 0]])
    model = ensemble.HistGradientBoostingClassifier(**HISTOGRAM, categorical_features=[0])
    model.fit(rows, (np.sin(rows[:, 0]) + rows[:, 1] > 0).astype(int))
    rows = np.concatenate([rows, rows + np.array([3.0, 0.0])])
    truth = expected(model, rows)
    model._preprocessor = None
    np.testing.assert_allclose(answers(tree_graph(model), rows), truth, rtol=0, atol=5e-16)


def test_leaves_that_hold_weights_become_shares() -> None:
    # scikit-learn before 1.3 keeps the weight of each class in a leaf, and divides when it predicts.
    model = ensemble.RandomForestClassifier(**FEW).fit(X, TARGETS["four"])
    truth = expected(model, X)
    for member in model.estimators_:
        member.tree_.value[...] *= 17.0
    np.testing.assert_allclose(answers(tree_graph(model), X), truth, rtol=0, atol=1e-15)


def test_a_forest_in_single_precision_would_not_do() -> None:
    model = tree.DecisionTreeRegressor(random_state=0).fit(X, TARGETS["value"])
    grown = model.tree_
    nodes = Tree(
        grown.children_left,
        grown.children_right,
        np.maximum(grown.feature, 0),
        grown.threshold,
        grown.missing_go_to_left,
        grown.value[:, 0, 0],
    )
    rows = odd_rows(model, X).astype(np.float32)
    truth = model.predict(rows)
    double = OnnxSession(ensemble_graph([nodes], features=FEATURES), "y")
    np.testing.assert_array_equal(double.run({"x": rows.astype(float)}, len(rows))[:, 0], truth)
    single = OnnxSession(ensemble_graph([nodes], features=FEATURES, dtype=np.float32), "y")
    assert np.abs(single.run({"x": rows}, len(rows))[:, 0] - truth).max() > 1.0


class Own(ensemble.RandomForestClassifier):
    """An estimator that may predict in a way of its own."""


FRACTIONS = ensemble.HistGradientBoostingClassifier(max_iter=2, categorical_features=[3])
REFUSED = {
    "no tree": (LinearRegression(), X, TARGETS["value"], "no tree ensemble"),
    "a class of their own": (Own(**FEW), X, TARGETS["two"], "no tree ensemble"),
    "several labels": (
        ensemble.RandomForestClassifier(**FEW),
        X,
        np.c_[SCORE > 0, SCORE > 1],
        "more than one output",
    ),
    "one class": (ensemble.RandomForestClassifier(**FEW), X, np.zeros(600), "one class only"),
    "a first model": (
        ensemble.GradientBoostingClassifier(**FEW, init=LogisticRegression(max_iter=1000)),
        X,
        TARGETS["two"],
        "estimator of its own",
    ),
    "a random first guess": (
        ensemble.GradientBoostingClassifier(**FEW, init=DummyClassifier(strategy="uniform")),
        X,
        TARGETS["two"],
        "estimator of its own",
    ),
    "a loss of their own": (
        ensemble.HistGradientBoostingRegressor(max_iter=2, loss=HalfSquaredError()),
        X,
        TARGETS["value"],
        "no known link",
    ),
    "categories with a fraction": (FRACTIONS, X / [1, 1, 1, 2, 1], TARGETS["two"], "with a fraction"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_refused_with_the_reason(name: str) -> None:
    estimator, rows, target, reason = REFUSED[name]
    model = estimator.fit(rows, target)
    with pytest.raises(CompileError, match=reason):
        tree_graph(model)


def test_an_unfitted_estimator_is_refused() -> None:
    with pytest.raises(CompileError, match="not fitted"):
        tree_graph(ensemble.RandomForestClassifier())
