"""scikit-learn's tree ensembles as ONNX in float64, node by node.

ONNX Runtime adds the trees in scikit-learn's order and compares in its precision, so the sums are the same numbers,
not numbers close to them. The converters of others compare or add in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from compilation.histogram_trees import histogram_trees
from compilation.tree_graph import Tree, TreeGraph, constant, ensemble_graph
from inference.errors import CompileError
from inference.onnx_output import OnnxOutput

_TREES: Final = frozenset(
    {"DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"}
)
_FORESTS: Final = frozenset(
    {"ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor"}
)
_BOOSTED: Final = frozenset({"GradientBoostingClassifier", "GradientBoostingRegressor"})
_HISTOGRAM: Final = frozenset({"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"})

_HISTOGRAM_LINKS: Final[Mapping[str, OnnxOutput]] = {
    "squared_error": OnnxOutput.VALUE,
    "absolute_error": OnnxOutput.VALUE,
    "quantile": OnnxOutput.VALUE,
    "gamma": OnnxOutput.EXP,
    "poisson": OnnxOutput.EXP,
}
_FIRST_GUESSES: Final = frozenset({"prior", "most_frequent", "constant", "mean", "median", "quantile"})


def tree_graph(estimator: Any) -> TreeGraph:
    """Return the graph of a fitted tree, forest or boosted ensemble of scikit-learn.

    Its features are those that the estimator takes, in their order. A categorical feature of a histogram gradient
    boosting is the category itself where categories are numbers, otherwise its place among the sorted categories
    that the estimator knows, NaN for any other.

    Raises:
        CompileError: The estimator, or one of its options, is not known here.
    """
    kind = type(estimator)
    make = _MAKERS.get(kind.__name__) if kind.__module__.startswith("sklearn.") else None
    if make is None:
        raise CompileError(kind.__name__, "it is no tree ensemble of scikit-learn that is known here")
    if not hasattr(estimator, "n_features_in_"):
        raise CompileError(kind.__name__, "it is not fitted")
    classes = getattr(estimator, "classes_", None)
    if isinstance(classes, list):
        raise CompileError(kind.__name__, "it has more than one output, of which a classifier may have one only")
    if classes is not None and len(classes) < 2:
        raise CompileError(kind.__name__, "it knows one class only")
    return make(estimator, 0 if classes is None else len(classes))


def _forest(estimator: Any, classes: int) -> TreeGraph:
    members = [estimator] if type(estimator).__name__ in _TREES else estimator.estimators_
    features = int(estimator.n_features_in_)
    trees, outputs = [], int(estimator.n_outputs_)
    for member in members:
        values = member.tree_.value
        if classes:
            values = _fractions(values[:, 0, :classes])
            values = values[:, 1] if classes == 2 else values
        else:
            values = values[:, 0, 0] if outputs == 1 else values[:, :, 0]
        trees.append(_grown(member.tree_, values, features))
    if classes:
        output = OnnxOutput.SECOND if classes == 2 else OnnxOutput.ALL
    else:
        output = OnnxOutput.VALUE if outputs == 1 else OnnxOutput.VALUES
    targets = 1 if classes == 2 else classes or outputs
    content = ensemble_graph(trees, features=features, targets=targets, divisor=len(trees))
    return TreeGraph(content, output, single=True, classes=classes, features=features)


def _fractions(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of each class; before scikit-learn 1.3 the leaves hold weights."""
    totals = values.sum(axis=1, keepdims=True)
    if np.all(np.abs(totals - 1.0) < 1e-9):
        return values
    return np.asarray(values / np.where(totals == 0.0, 1.0, totals))


def _boosted(estimator: Any, classes: int) -> TreeGraph:
    name, features = type(estimator).__name__, int(estimator.n_features_in_)
    stages = estimator.estimators_
    targets = stages.shape[1]
    scale, output = 1.0, OnnxOutput.SCORES if classes > 2 else OnnxOutput.LOGIT if classes else OnnxOutput.VALUE
    if classes and estimator.loss == "exponential":
        scale = 2.0  # its probability is the logistic of twice the sum; twice a float is exact
    elif classes and estimator.loss not in {"log_loss", "deviance"}:
        raise CompileError(name, f"loss={estimator.loss!r} has no known link")
    trees = [
        constant(value * scale, target) for target, value in enumerate(_first_guess(estimator)) if value != 0.0
    ]
    for stage in stages:
        for target, member in enumerate(stage):
            values = member.tree_.value[:, 0, 0] * estimator.learning_rate * scale
            trees.append(_grown(member.tree_, values, features, target))
    content = ensemble_graph(trees, features=features, targets=targets)
    return TreeGraph(content, output, single=True, classes=classes, features=features)


def _first_guess(estimator: Any) -> list[float]:
    """Return the score of each target before the first tree."""
    first = estimator.init_
    if isinstance(first, str) and first == "zero":
        return [0.0] * int(estimator.estimators_.shape[1])
    kind = type(first)
    known = kind.__name__ in {"DummyClassifier", "DummyRegressor"} and kind.__module__.startswith("sklearn.")
    if not known or first.strategy not in _FIRST_GUESSES:
        raise CompileError(type(estimator).__name__, "its 'init' is an estimator of its own")
    row = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
    return [float(value) for value in np.ravel(estimator._raw_predict_init(row))]


def _grown(grown: Any, values: NDArray[np.float64], features: int, target: int = 0) -> Tree:
    """Return a tree of sklearn.tree; before scikit-learn 1.3 a missing value has no way to go."""
    if grown.n_features != features:
        raise CompileError("Tree", f"it takes {grown.n_features} features, the estimator {features}")
    missing = getattr(grown, "missing_go_to_left", np.zeros(grown.node_count, dtype=np.uint8))
    return Tree(
        true=grown.children_left,
        false=grown.children_right,
        feature=np.maximum(grown.feature, 0),
        threshold=grown.threshold,
        missing_true=missing,
        values=values,
        target=target,
    )


def _histogram(estimator: Any, classes: int) -> TreeGraph:
    name, loss = type(estimator).__name__, estimator.loss
    if classes:
        output = OnnxOutput.LOGIT if classes == 2 else OnnxOutput.SCORES
        known = isinstance(loss, str) and loss in {
            "log_loss",
            "auto",
            "binary_crossentropy",
            "categorical_crossentropy",
        }
    else:
        known = isinstance(loss, str) and loss in _HISTOGRAM_LINKS
        output = _HISTOGRAM_LINKS[loss] if known else OnnxOutput.VALUE
    if not known:
        raise CompileError(name, f"loss={loss!r} has no known link")
    trees, whole = histogram_trees(estimator)
    bases = np.ravel(estimator._baseline_prediction)
    features = int(estimator.n_features_in_)
    content = ensemble_graph(
        [*(constant(float(base), target) for target, base in enumerate(bases)), *trees],
        features=features,
        targets=len(bases),
        whole=whole,
    )
    return TreeGraph(content, output, single=False, classes=classes, features=features)


_MAKERS: Final[Mapping[str, Callable[[Any, int], TreeGraph]]] = {
    **dict.fromkeys(_TREES | _FORESTS, _forest),
    **dict.fromkeys(_BOOSTED, _boosted),
    **dict.fromkeys(_HISTOGRAM, _histogram),
}
