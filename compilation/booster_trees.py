"""XGBoost's and LightGBM's models as ONNX, from what they store, without their packages.

XGBoost compares and adds float32, and so does the graph; LightGBM compares and adds float64. In both a categorical
feature is the category's code, a whole number: a fraction would be cut off by these libraries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from compilation.tree_graph import Mode, Tree, TreeGraph, constant, ensemble_graph
from compilation.ubjson import read_ubjson
from inference.errors import CompileError
from inference.onnx_output import OnnxOutput

XGBOOST, LIGHTGBM = "XGBoost model", "LightGBM model"

_XGBOOST_OUTPUTS: Final[Mapping[str, OnnxOutput]] = {
    "binary:logistic": OnnxOutput.LOGIT,
    "multi:softprob": OnnxOutput.SCORES,
    "reg:absoluteerror": OnnxOutput.VALUE,
    "reg:linear": OnnxOutput.VALUE,
    "reg:pseudohubererror": OnnxOutput.VALUE,
    "reg:quantileerror": OnnxOutput.VALUE,
    "reg:squarederror": OnnxOutput.VALUE,
    "reg:logistic": OnnxOutput.SIGMOID,
    "count:poisson": OnnxOutput.EXP,
    "reg:gamma": OnnxOutput.EXP,
    "reg:tweedie": OnnxOutput.EXP,
}
_LIGHTGBM_OUTPUTS: Final[Mapping[str, OnnxOutput]] = {
    "binary": OnnxOutput.LOGIT,
    "multiclass": OnnxOutput.SCORES,
    "fair": OnnxOutput.VALUE,
    "huber": OnnxOutput.VALUE,
    "mape": OnnxOutput.VALUE,
    "quantile": OnnxOutput.VALUE,
    "regression": OnnxOutput.VALUE,
    "regression_l1": OnnxOutput.VALUE,
    "cross_entropy": OnnxOutput.SIGMOID,
    "gamma": OnnxOutput.EXP,
    "poisson": OnnxOutput.EXP,
    "tweedie": OnnxOutput.EXP,
}
_CATEGORICAL, _DEFAULT_LEFT = 1, 2  # LightGBM's decision_type: two flags, then how a value may be missing
_NEVER, _ZERO, _NAN = 0, 1, 2


def xgboost_graph(model: bytes, *, iterations: int | None = None) -> TreeGraph:
    """Return the graph of a model as XGBoost stores it (`save_model`, `save_raw`), in JSON or in UBJSON.

    `iterations` is the number of rounds that count, all without: `XGBClassifier.predict` uses `best_iteration + 1`.

    Raises:
        CompileError: The model is damaged or of a kind that has no graph here.
    """
    try:
        text = model.lstrip()[1:].lstrip().startswith(b'"')  # in UBJSON a name has no quotes
        found = json.loads(model) if text else read_ubjson(model)
        return _xgboost(found["learner"], iterations)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise CompileError(XGBOOST, "it is damaged, or of a version of XGBoost unknown here") from error


def _xgboost(learner: Mapping[str, Any], iterations: int | None) -> TreeGraph:
    booster, parameters = learner["gradient_booster"], learner["learner_model_param"]
    if booster["name"] != "gbtree":
        raise CompileError(XGBOOST, f"booster={booster['name']!r} has no graph")
    objective = str(learner["objective"]["name"])
    output = _XGBOOST_OUTPUTS.get(objective)
    if output is None:
        raise CompileError(XGBOOST, f"objective={objective!r} has no known link")
    classes, features = int(parameters["num_class"]), int(parameters["num_feature"])
    targets = max(1, classes, int(parameters.get("num_target", 1)))
    if targets > 1 and output is OnnxOutput.VALUE:
        output = OnnxOutput.VALUES
    if targets > 1 and output not in {OnnxOutput.SCORES, OnnxOutput.VALUES}:
        raise CompileError(XGBOOST, f"objective={objective!r} with {targets} outputs has no graph")
    model = booster["model"]
    trees, ends = model["trees"], model.get("iteration_indptr")
    if iterations is not None:
        if ends is None or not 0 < iterations < len(ends):
            raise CompileError(XGBOOST, f"it does not say which trees {iterations} rounds are")
        trees = trees[: int(ends[iterations])]
    bases = _xgboost_bases(str(parameters["base_score"]), output, targets)
    grown = [_xgboost_tree(tree, int(target)) for tree, target in zip(trees, model["tree_info"], strict=False)]
    content = ensemble_graph([*bases, *grown], features=features, targets=targets, mode=Mode.LT, dtype=np.float32)
    known = classes if output is OnnxOutput.SCORES else 2 if output is OnnxOutput.LOGIT else 0
    return TreeGraph(content, output, single=True, classes=known, features=features)


def _xgboost_bases(text: str, output: OnnxOutput, targets: int) -> Iterator[Tree]:
    """Yield the scores that the trees are added to; the model has them in the space of its answers."""
    bases = np.array(text.strip("[]").split(","), dtype=np.float32)
    one = np.float32(1.0)
    if output in {OnnxOutput.LOGIT, OnnxOutput.SIGMOID}:
        bases = -np.log(one / bases - one)
    elif output is OnnxOutput.EXP:
        bases = np.log(bases)
    for target, base in enumerate(np.broadcast_to(bases, (targets,))):
        yield constant(float(base), target)


def _xgboost_tree(tree: Mapping[str, Any], target: int) -> Tree:
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise CompileError(XGBOOST, "its leaves are vectors (multi_strategy='multi_output_tree')")
    left, right = (
        np.asarray(tree["left_children"], dtype=np.int64),
        np.asarray(tree["right_children"], dtype=np.int64),
    )
    values = np.asarray(tree["split_conditions"], dtype=np.float32)
    true, false = left.copy(), right.copy()
    missing = np.asarray(tree["default_left"], dtype=np.int64)
    members: dict[int, NDArray[np.float64]] = {}
    categories = np.asarray(tree.get("categories", ()), dtype=np.float64)
    parts = (
        tree.get("categories_nodes", ()),
        tree.get("categories_segments", ()),
        tree.get("categories_sizes", ()),
    )
    for node, start, size in zip(*parts, strict=True):
        members[int(node)] = categories[int(start) : int(start) + int(size)]
        # The categories that are named go right.
        true[node], false[node], missing[node] = right[node], left[node], 1 - missing[node]
    feature = np.asarray(tree["split_indices"], dtype=np.int64)
    return Tree(true, false, feature, values, missing, values, target, members)


def lightgbm_graph(model: str) -> TreeGraph:
    """Return the graph of a model as LightGBM stores it (`save_model`, `model_to_string`).

    Raises:
        CompileError: The model is damaged or of a kind that has no graph here.
    """
    try:
        head, *trees = _lightgbm_sections(model)
        return _lightgbm(head, trees)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise CompileError(LIGHTGBM, "it is damaged, or of a version of LightGBM unknown here") from error


def _lightgbm_sections(model: str) -> Iterator[dict[str, str]]:
    section: dict[str, str] = {}
    for line in model.splitlines():
        name, _, value = line.partition("=")
        if name == "end of trees":
            break
        if name == "Tree":
            yield section
            section = {}
        section[name] = value
    else:
        raise ValueError("it has no end of trees")
    yield section


def _lightgbm(head: Mapping[str, str], trees: Sequence[Mapping[str, str]]) -> TreeGraph:
    objective, *options = head.get("objective", "").split()
    output = _LIGHTGBM_OUTPUTS.get(objective)
    if "tree" not in head or output is None or "sqrt" in options:
        raise CompileError(LIGHTGBM, f"objective={' '.join([objective, *options])!r} has no known link")
    settings = dict(option.split(":", 1) for option in options if ":" in option)
    scale = float(settings["sigmoid"]) if output is OnnxOutput.LOGIT else 1.0
    targets, features = int(head["num_tree_per_iteration"]), int(head["max_feature_idx"]) + 1
    classes = int(settings["num_class"]) if output is OnnxOutput.SCORES else 2 if output is OnnxOutput.LOGIT else 0
    if targets != (classes if output is OnnxOutput.SCORES else 1) or len(trees) % targets or not trees:
        raise CompileError(LIGHTGBM, f"it has {len(trees)} trees, {targets} in an iteration")
    grown = [_lightgbm_tree(tree, index % targets, scale) for index, tree in enumerate(trees)]
    divisor = len(trees) // targets if "average_output" in head else 1
    content = ensemble_graph(grown, features=features, targets=targets, divisor=divisor)
    return TreeGraph(content, output, single=False, classes=classes, features=features)


def _lightgbm_tree(tree: Mapping[str, str], target: int, scale: float) -> Tree:
    if int(tree.get("is_linear", "0")):
        raise CompileError(LIGHTGBM, "its leaves are linear models (linear_tree=true)")
    leaves = np.array(tree["leaf_value"].split(), dtype=np.float64) * scale
    if int(tree["num_leaves"]) == 1:
        return constant(float(leaves[0]), target)
    threshold = np.array(tree["threshold"].split(), dtype=np.float64)
    kinds = np.array(tree["decision_type"].split(), dtype=np.int64)
    inner, none = len(threshold), np.full(len(leaves), -1)
    if len(leaves) != inner + 1:
        raise ValueError("nodes and leaves do not fit")
    # A leaf is the complement of its number; here it follows the nodes.
    left, right = (np.array(tree[f"{side}_child"].split(), dtype=np.int64) for side in ("left", "right"))
    left, right = (np.where(child < 0, inner + ~child, child) for child in (left, right))
    missing = np.zeros(inner, dtype=np.int64)
    members: dict[int, NDArray[np.float64]] = {}
    for node, kind in enumerate(kinds.tolist()):
        if kind & _CATEGORICAL:
            members[node] = _lightgbm_categories(tree, int(threshold[node]))  # missing ones go right
        else:
            missing[node] = _missing_goes_left(kind, float(threshold[node]))
    empty = np.zeros(len(leaves))
    return Tree(
        true=np.concatenate([left, none]),
        false=np.concatenate([right, none]),
        feature=np.concatenate([np.array(tree["split_feature"].split(), dtype=np.int64), empty.astype(np.int64)]),
        threshold=np.concatenate([threshold, empty]),
        missing_true=np.concatenate([missing, empty.astype(np.int64)]),
        values=np.concatenate([np.zeros(inner), leaves]),
        target=target,
        members=members,
    )


def _missing_goes_left(kind: int, threshold: float) -> bool:
    """Return whether NaN goes left in a comparison with `threshold`."""
    default_left, way = bool(kind & _DEFAULT_LEFT), kind >> 2
    if way == _NAN:
        return default_left
    if way == _ZERO:
        raise CompileError(LIGHTGBM, "zeros count as missing (zero_as_missing=true)")
    if way != _NEVER:
        raise ValueError("a way of missing that is unknown")
    return threshold >= 0.0  # NaN counts as zero


def _lightgbm_categories(tree: Mapping[str, str], index: int) -> NDArray[np.float64]:
    bounds = [int(bound) for bound in tree["cat_boundaries"].split()]
    words = np.array(tree["cat_threshold"].split()[bounds[index] : bounds[index + 1]], dtype="<u4")
    found = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
    if not len(found):
        raise ValueError("a split of categories has none on one side")
    return found.astype(np.float64)
