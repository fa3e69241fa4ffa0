"""From a fitted estimator and the blocks before it to a runtime; not for workers, it imports scikit-learn."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import ensemble, linear_model, tree

from inference.errors import CompileError
from inference.gtil import Trees
from inference.linear import LinearRuntime, Link
from inference.preprocessing import Block, CategoryBlock, NumberBlock
from inference.trees import TreeOutput, TreeRuntime

_LOGISTIC = (linear_model.LogisticRegression, linear_model.LogisticRegressionCV)
_LINEAR = (
    linear_model.ARDRegression,
    linear_model.BayesianRidge,
    linear_model.ElasticNet,
    linear_model.ElasticNetCV,
    linear_model.HuberRegressor,
    linear_model.Lasso,
    linear_model.LassoCV,
    linear_model.LinearRegression,
    linear_model.Ridge,
    linear_model.RidgeCV,
    linear_model.SGDRegressor,
)
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


def compile_estimator(estimator: Any, blocks: Sequence[Block], features: int) -> LinearRuntime | TreeRuntime:
    """Return the runtime of a fitted estimator that takes `features` features, made by `blocks`.

    Raises:
        CompileError: The estimator, or one of its options, has no compiled form.
    """
    kind = type(estimator)
    if features != estimator.n_features_in_:
        raise CompileError(
            kind.__name__, f"it takes {estimator.n_features_in_} features, the steps make {features}"
        )
    if kind in _LOGISTIC or kind in _LINEAR:
        return _linear(estimator, blocks)
    if kind in _ENSEMBLES or kind in _SHELLS:
        return _trees(estimator, blocks)
    raise CompileError(kind.__name__, "this estimator has no compiled form")


def takes_missing_values(estimator: Any) -> bool:
    """Return whether a missing number may reach the estimator itself."""
    return type(estimator) in _HISTOGRAM


def _linear(estimator: Any, blocks: Sequence[Block]) -> LinearRuntime:
    link = Link.IDENTITY
    if type(estimator) in _LOGISTIC:
        link = Link.LOGISTIC if len(estimator.classes_) == 2 else Link.SOFTMAX
    coefficients = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))
    outputs = len(coefficients)
    if link is Link.IDENTITY and outputs != 1:
        raise CompileError(type(estimator).__name__, "it has more than one output")
    numbers = tuple(block for block in blocks if isinstance(block, NumberBlock))
    weights = np.array([coefficients[:, block.start] for block in numbers]).reshape(len(numbers), outputs)
    categories = tuple(
        CategoryBlock(
            block.column,
            block.start,
            block.categories,
            block.table @ coefficients[:, block.start : block.start + block.table.shape[1]].T,
        )
        for block in blocks
        if isinstance(block, CategoryBlock)
    )
    intercept = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64), (outputs,)).copy()
    return LinearRuntime(numbers=numbers, weights=weights, categories=categories, intercept=intercept, link=link)


def _trees(estimator: Any, blocks: Sequence[Block]) -> TreeRuntime:
    import treelite.sklearn

    name = type(estimator).__name__
    if getattr(estimator, "n_outputs_", 1) != 1:
        raise CompileError(name, "it has more than one output")
    if isinstance(estimator, ensemble.GradientBoostingClassifier) and estimator.loss == "exponential":
        raise CompileError(name, "loss='exponential' has no compiled form")
    try:
        content: bytes = treelite.sklearn.import_model(_as_ensemble(estimator)).serialize_bytes()
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
    """Return the sorted thresholds of a tree model by feature; empty for a linear one."""
    found: dict[int, set[float]] = {}
    for features, values in _splits(estimator):
        for feature, value in zip(features.tolist(), values.tolist(), strict=True):
            found.setdefault(int(feature), set()).add(float(value))
    return {feature: sorted(values) for feature, values in found.items()}


def _splits(estimator: Any) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    if type(estimator) in _HISTOGRAM:
        for stage in estimator._predictors:
            for predictor in stage:
                nodes = predictor.nodes[predictor.nodes["is_leaf"] == 0]
                yield nodes["feature_idx"], nodes["num_threshold"]
    elif type(estimator) in _ENSEMBLES or type(estimator) in _SHELLS:
        members = [estimator] if type(estimator) in _SHELLS else np.ravel(estimator.estimators_)
        for member in members:
            inner = member.tree_.children_left >= 0
            yield member.tree_.feature[inner], member.tree_.threshold[inner]
