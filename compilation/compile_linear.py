"""From a fitted linear estimator and the blocks before it to a linear runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import discriminant_analysis, linear_model, multiclass, svm

from inference.errors import CompileError
from inference.linear import LinearRuntime, Link
from inference.preprocessing import Block, CategoryBlock, NumberBlock

_LOGISTIC = (linear_model.LogisticRegression, linear_model.LogisticRegressionCV)
_DISCRIMINANT = (discriminant_analysis.LinearDiscriminantAnalysis,)
_LOGARITHMIC = (linear_model.PoissonRegressor, linear_model.GammaRegressor, linear_model.TweedieRegressor)
_VALUES = (
    linear_model.ARDRegression,
    linear_model.BayesianRidge,
    linear_model.ElasticNet,
    linear_model.ElasticNetCV,
    linear_model.HuberRegressor,
    linear_model.Lars,
    linear_model.LarsCV,
    linear_model.Lasso,
    linear_model.LassoCV,
    linear_model.LassoLars,
    linear_model.LassoLarsCV,
    linear_model.LassoLarsIC,
    linear_model.LinearRegression,
    linear_model.MultiTaskElasticNet,
    linear_model.MultiTaskElasticNetCV,
    linear_model.MultiTaskLasso,
    linear_model.MultiTaskLassoCV,
    linear_model.OrthogonalMatchingPursuit,
    linear_model.OrthogonalMatchingPursuitCV,
    linear_model.QuantileRegressor,
    linear_model.Ridge,
    linear_model.RidgeCV,
    linear_model.SGDRegressor,
    linear_model.TheilSenRegressor,
    svm.LinearSVR,
)
# By name: scikit-learn 1.10 drops it, and this runs beside older ones too.
_NAMED = ("PassiveAggressiveRegressor",)


def is_linear_model(estimator: Any) -> bool:
    """Return whether the estimator is of a kind whose answer is a function of one linear score per output."""
    kinds = (*_LOGISTIC, *_DISCRIMINANT, *_LOGARITHMIC, *_VALUES, linear_model.SGDClassifier)
    return type(estimator) in (*kinds, multiclass.OneVsRestClassifier) or type(estimator).__name__ in _NAMED


def compile_linear(estimator: Any, blocks: Sequence[Block]) -> LinearRuntime:
    """Return the runtime of a fitted linear model whose features `blocks` make.

    Raises:
        CompileError: The estimator is not linear, or its answer is no known function of its score.
    """
    coefficients, intercept, link = _score(estimator)
    outputs = len(coefficients)
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
    return LinearRuntime(numbers=numbers, weights=weights, categories=categories, intercept=intercept, link=link)


def _score(estimator: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], Link]:
    """Return the coefficients [K, F], the intercept [K], and what makes the answer of the score."""
    kind = type(estimator)
    if kind is multiclass.OneVsRestClassifier:
        return _one_vs_rest(estimator)
    link = _link(estimator)
    coefficients = np.atleast_2d(np.asarray(estimator.coef_, dtype=np.float64))
    intercept = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64), (len(coefficients),)).copy()
    if kind in _LOGISTIC and len(coefficients) == 1 and _multi_class(estimator) == "multinomial":
        return 2 * coefficients, 2 * intercept, link  # before 1.7: the softmax of the score and its negative
    return coefficients, intercept, link


def _link(estimator: Any) -> Link:
    kind, name = type(estimator), type(estimator).__name__
    if kind in _VALUES or name in _NAMED:
        return Link.IDENTITY
    if kind in _LOGARITHMIC:
        return Link.EXP if _is_logarithmic(estimator) else Link.IDENTITY
    several = len(getattr(estimator, "classes_", ())) > 2
    if kind in _LOGISTIC:
        separate = _multi_class(estimator) == "ovr" or estimator.solver == "liblinear"
        return (Link.ONE_VS_REST if separate else Link.SOFTMAX) if several else Link.LOGISTIC
    if kind in _DISCRIMINANT:
        return Link.SOFTMAX if several else Link.LOGISTIC
    if kind is linear_model.SGDClassifier and estimator.loss == "log_loss":
        return Link.ONE_VS_REST if several else Link.LOGISTIC
    raise CompileError(name, "it is no linear model whose answer is a known function of its score")


def _is_logarithmic(estimator: Any) -> bool:
    link = getattr(estimator, "link", "log")
    return link == "log" or (link == "auto" and estimator.power > 0)


def _multi_class(estimator: Any) -> str:
    return str(getattr(estimator, "multi_class", ""))  # an option until 1.7


def _one_vs_rest(estimator: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], Link]:
    parts = [_score(member) for member in estimator.estimators_]
    if len(parts) < 3 or any(link is not Link.LOGISTIC for _, _, link in parts):
        raise CompileError(
            "OneVsRestClassifier", "its estimators are not logistic, one for each of three classes or more"
        )
    coefficients = np.concatenate([part for part, _, _ in parts])
    return coefficients, np.concatenate([intercept for _, intercept, _ in parts]), Link.ONE_VS_REST
