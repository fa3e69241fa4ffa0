"""From a fitted tree ensemble and the blocks before it to a treelite runtime."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import ensemble, tree

from compilation.compile_boosters import booster_splits, is_booster
from inference.errors import CompileError
from inference.gtil import Trees
from inference.preprocessing import Block
from inference.trees import TreeOutput, TreeRuntime

_SHELLS = {
    tree.DecisionTreeClassifier: ensemble.RandomForestClassifier,
    tree.ExtraTreeClassifier: ensemble.RandomForestClassifier,
    tree.DecisionTreeRegressor: ensemble.RandomForestRegressor,
    tree.ExtraTreeRegressor: ensemble.RandomForestRegressor,
}
_HISTOGRAM = (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)
_ENSEMBLES = (
    *_HISTOGRAM,
    ensemble.ExtraTreesClassifier,
    ensemble.ExtraTreesRegressor,
    ensemble.GradientBoostingClassifier,
    ensemble.GradientBoostingRegressor,
    ensemble.RandomForestClassifier,
    ensemble.RandomForestRegressor,
)


def compile_trees(estimator: Any, blocks: Sequence[Block]) -> TreeRuntime:
    """Return the treelite runtime of a fitted tree ensemble or single tree.

    Raises:
        CompileError: It is none, treelite does not take it, or one of its options.
    """
    name = type(estimator).__name__
    if not is_tree_model(estimator):
        raise CompileError(name, "it is no tree ensemble")
    import treelite.sklearn

    if getattr(estimator, "n_outputs_", 1) != 1:
        raise CompileError(name, "it has more than one output")
    if isinstance(estimator, ensemble.GradientBoostingClassifier) and estimator.loss == "exponential":
        raise CompileError(name, "loss='exponential' has no compiled form")
    ensemble_of_trees = _as_ensemble(estimator)
    try:
        content: bytes = treelite.sklearn.import_model(ensemble_of_trees).serialize_bytes()
    # All the ways in which treelite's importer says that it does not know an estimator or a version of it.
    except (treelite.TreeliteError, NotImplementedError, AssertionError, RuntimeError) as error:
        raise CompileError(name, f"treelite does not take it ({error})") from error
    output = TreeOutput.VALUE
    if hasattr(estimator, "classes_"):
        boosted = "GradientBoosting" in name
        several = TreeOutput.SCORES if boosted else TreeOutput.ALL
        output = TreeOutput.SECOND if Trees(content).outputs == 1 else several
    # Forests and plain gradient boosting compare float32 features, histogram gradient boosting float64 ones.
    single = type(estimator) not in _HISTOGRAM
    try:
        return TreeRuntime(blocks=tuple(blocks), trees=content, output=output, single=single)
    except ValueError as error:
        raise CompileError(name, str(error)) from error


def is_tree_model(estimator: Any) -> bool:
    """Return whether the estimator is one of scikit-learn's trees or tree ensembles."""
    return type(estimator) in _ENSEMBLES or type(estimator) in _SHELLS


def _as_ensemble(estimator: Any) -> Any:
    """Return `estimator`, or for a single tree the forest of that one tree."""
    shell = _SHELLS.get(type(estimator))
    if shell is None:
        return estimator
    forest = shell(n_estimators=1)
    forest.estimators_ = [copy.copy(estimator)]
    for attribute in ("n_features_in_", "n_outputs_", "classes_", "n_classes_"):
        if hasattr(estimator, attribute):
            setattr(forest, attribute, getattr(estimator, attribute))
    return forest


def thresholds(estimator: Any) -> dict[int, list[float]]:
    """Return the sorted thresholds of a tree model by feature; empty for any other."""
    found: dict[int, set[float]] = {}
    if is_booster(estimator):
        for feature, value in booster_splits(estimator):
            found.setdefault(feature, set()).add(value)
    for features, values in _splits(estimator):
        for feature, value in zip(features.tolist(), values.tolist(), strict=True):
            found.setdefault(int(feature), set()).add(float(value))
    return {feature: sorted(values) for feature, values in found.items()}


def _splits(estimator: Any) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    if type(estimator) in _HISTOGRAM:
        for stage in estimator._predictors:
            for predictor in stage:
                nodes = predictor.nodes[
                    (predictor.nodes["is_leaf"] == 0) & (predictor.nodes["is_categorical"] == 0)
                ]
                yield _places(estimator)[nodes["feature_idx"]], nodes["num_threshold"]
    elif is_tree_model(estimator):
        members = [estimator] if type(estimator) in _SHELLS else np.ravel(estimator.estimators_)
        for member in members:
            inner = member.tree_.children_left >= 0
            yield member.tree_.feature[inner], member.tree_.threshold[inner]


def _places(estimator: Any) -> NDArray[Any]:
    """Return where each feature of the trees stands in what the estimator is given: its categories go first."""
    categorical = getattr(estimator, "is_categorical_", None)
    if categorical is None or getattr(estimator, "_preprocessor", None) is None:
        return np.arange(estimator.n_features_in_)
    return np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
