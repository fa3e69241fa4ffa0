"""The trees of scikit-learn's histogram gradient boosting, native categories included.

A category that the estimator does not know counts as missing. A categorical node therefore asks for the categories
of the side where missing values do not go, so that the missing and the unknown fall on the other one by themselves.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from compilation.tree_graph import Tree
from inference.errors import CompileError

_SMALL_SET = 30  # in sets of at most so many numbers, none above it, ONNX Runtime compares fractions too
_MOST = 2**31 - 1


class Histogram(NamedTuple):
    """The trees, stage by stage, and the categorical features of which a fraction must count as missing."""

    trees: list[Tree]
    whole: list[int]


def histogram_trees(estimator: Any) -> Histogram:
    """Return the trees of a fitted HistGradientBoosting, without the score they start from.

    Raises:
        CompileError: A category is a number that is no whole number, or does not fit 32 bits.
    """
    order, categories = _features(estimator)
    trees = [
        _tree(predictor, target, order, categories)
        for stage in estimator._predictors
        for target, predictor in enumerate(stage)
    ]
    found = sorted(categories)
    if all(values.min(initial=0) >= 0 and values.max(initial=0) < _SMALL_SET for values in categories.values()):
        found = []
    return Histogram(trees, found)


def _features(estimator: Any) -> tuple[NDArray[np.intp], dict[int, NDArray[np.float64]]]:
    """Return the place of each feature of the trees among the estimator's, and the categories by that place.

    What a tree calls category c is at place c among them; NaN is a number that the tree does not know.
    """
    categorical = estimator.is_categorical_
    if categorical is None:
        return np.arange(estimator.n_features_in_), {}
    if getattr(estimator, "_preprocessor", None) is None:  # before scikit-learn 1.4 a category is its own number
        known = estimator._bin_mapper.bin_thresholds_
        own = {int(place): np.asarray(known[place], dtype=np.float64) for place in np.flatnonzero(categorical)}
        return np.arange(estimator.n_features_in_), {place: _own_numbers(found) for place, found in own.items()}
    order = np.concatenate([np.flatnonzero(categorical), np.flatnonzero(~categorical)])
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    places = np.flatnonzero(categorical).tolist()
    return order, {place: _numbers(found) for place, found in zip(places, encoder.categories_, strict=True)}


def _own_numbers(known: NDArray[np.float64]) -> NDArray[np.float64]:
    numbers = np.full(int(known.max(initial=-1)) + 1, np.nan)
    numbers[known.astype(np.intp)] = known
    return numbers


def _numbers(categories: NDArray[Any]) -> NDArray[np.float64]:
    present = [value for value in categories.tolist() if not _is_missing(value)]
    if not all(isinstance(value, int | float) for value in present):
        return np.arange(len(present), dtype=np.float64)
    numbers = np.array(present, dtype=np.float64)
    if np.any(numbers != np.floor(numbers)) or np.any(np.abs(numbers) > _MOST):
        reason = "a category is a number with a fraction or beyond 32 bits; encode the categories first"
        raise CompileError("HistGradientBoosting", reason)
    return numbers


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _tree(predictor: Any, target: int, order: NDArray[np.intp], categories: dict[int, NDArray[np.float64]]) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    true = np.where(leaf, -1, nodes["left"].astype(np.int64))
    false = np.where(leaf, -1, nodes["right"].astype(np.int64))
    missing = nodes["missing_go_to_left"].astype(np.int64)
    feature = order[nodes["feature_idx"].astype(np.intp)]
    members: dict[int, NDArray[np.float64]] = {}
    for node in np.flatnonzero(~leaf & (nodes["is_categorical"] != 0)).tolist():
        known = categories[int(feature[node])]
        in_left = _bits(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]])[: len(known)]
        there = ~np.isnan(known)
        if missing[node]:
            asked = known[there & ~in_left]
            true[node], false[node], missing[node] = false[node], true[node], 0
        else:
            asked = known[there & in_left]
        if not len(asked):
            raise CompileError("HistGradientBoosting", "a split of categories has none on one side")
        members[node] = asked
    return Tree(
        true=true,
        false=false,
        feature=feature,
        threshold=nodes["num_threshold"],
        missing_true=missing,
        values=nodes["value"],
        target=target,
        members=members,
    )


def _bits(words: NDArray[np.uint32]) -> NDArray[np.bool_]:
    return np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little").astype(bool)
