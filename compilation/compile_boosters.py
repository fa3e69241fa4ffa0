"""From a fitted XGBoost or LightGBM estimator to the graph of its trees; imports neither."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

from compilation.booster_trees import lightgbm_graph, xgboost_graph
from compilation.tree_graph import TreeGraph
from inference.errors import CompileError

_XGBOOST: Final = ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor")
_LIGHTGBM: Final = ("LGBMClassifier", "LGBMRegressor")


def is_booster(estimator: Any) -> bool:
    """Return whether the estimator is one of XGBoost's or LightGBM's."""
    kinds = {"xgboost": _XGBOOST, "lightgbm": _LIGHTGBM}
    return type(estimator).__name__ in kinds.get(type(estimator).__module__.partition(".")[0], ())


def booster_graph(estimator: Any) -> TreeGraph:
    """Return the graph of the estimator's trees, as many of them as its `predict` uses.

    Raises:
        CompileError: The estimator, or one of its options, has no graph.
    """
    if type(estimator).__name__ in _LIGHTGBM:
        return lightgbm_graph(estimator.booster_.model_to_string())
    missing = getattr(estimator, "missing", None)
    if missing is not None and not math.isnan(missing):
        raise CompileError(
            type(estimator).__name__, f"missing={missing:g} stands for a missing value; only NaN may"
        )
    booster = estimator.get_booster()
    best = booster.attributes().get("best_iteration")
    return xgboost_graph(bytes(booster.save_raw("json")), iterations=None if best is None else int(best) + 1)


def booster_splits(estimator: Any) -> Iterator[tuple[int, float]]:
    """Yield the feature and the threshold of each split of the estimator's trees."""
    from onnx import load_model_from_string, numpy_helper

    for node in load_model_from_string(booster_graph(estimator).content).graph.node:
        if node.op_type == "TreeEnsemble":
            values = {attribute.name: attribute for attribute in node.attribute}
            splits = numpy_helper.to_array(values["nodes_splits"].t).tolist()
            yield from zip(values["nodes_featureids"].ints, splits, strict=True)
