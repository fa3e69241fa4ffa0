"""Decision trees as one graph of the ONNX operator TreeEnsemble (ai.onnx.ml 5).

The operator gives a leaf one weight for one target. Where a leaf holds several values it is given its row in a
table instead, and the graph gathers and adds the rows: one pass over each tree, however many classes there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from inference.onnx_output import OnnxOutput
from inference.onnx_session import MOST_ROWS_KEY

INPUT, ANSWER = "x", "y"

_OPERATORS, _TREE_OPERATORS, _IR = 18, 5, 10
_SUM, _AVERAGE = 1, 0
_GATHERED_AT_ONCE = 1 << 22  # numbers, 32 MB of doubles: what one run may hold beside its answer


class Mode(IntEnum):
    """How a node compares a feature with its threshold, in the operator's numbers."""

    LEQ = 0
    LT = 1
    MEMBER = 6


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree; node 0 is its root.

    `true` and `false` [nodes] are the nodes to go on at, -1 in a leaf; `missing_true` [nodes] says where a missing
    value goes. `values` is [nodes], counted towards `target`, or [nodes, M]; what it holds outside of leaves is not
    read. `members` are the categories of each MEMBER node, whole numbers that fit 32 bits, at least one.
    """

    true: NDArray[np.integer[Any]]
    false: NDArray[np.integer[Any]]
    feature: NDArray[np.integer[Any]]
    threshold: NDArray[np.floating[Any]]
    missing_true: NDArray[Any]
    values: NDArray[np.floating[Any]]
    target: int = 0
    members: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TreeGraph:
    """A tree ensemble as an ONNX graph, from one matrix "x" [N, features] to "y".

    `single` says that the features must be rounded to float32 first; `classes` is 0 for a regressor.
    """

    content: bytes
    output: OnnxOutput
    single: bool
    classes: int
    features: int


def constant(value: float, target: int = 0) -> Tree:
    """Return a tree that adds `value` to a target."""
    none, zero = np.array([-1]), np.array([0])
    return Tree(none, none, zero, np.array([0.0]), zero, np.array([value]), target)


def ensemble_graph(
    trees: Sequence[Tree],
    *,
    features: int,
    targets: int = 1,
    mode: Mode = Mode.LEQ,
    dtype: DTypeLike = np.float64,
    divisor: int = 1,
    whole: Sequence[int] = (),
) -> bytes:
    """Return the serialized graph that adds the trees up in their order.

    Args:
        trees: Either all of one value for a leaf, or all of the same number of values, which is then `targets`.
        features: F.
        targets: How many values the answer has for a row.
        mode: The comparison of every node that has no members.
        dtype: Of the features, thresholds, leaves and answer; float64 where a leaf has several values.
        divisor: What the sums are divided by.
        whole: Places of features of which a value that is no whole number counts as missing: ONNX Runtime would cut
            off its fraction.
    """
    from onnx import helper, numpy_helper

    several = trees[0].values.ndim == 2
    average = divisor == len(trees) > 1 and targets == 1 and not several
    total = "sum" if divisor > 1 and not average else ANSWER
    attributes = _attributes([_with_node(tree) for tree in trees], mode, np.dtype(dtype), several=several)
    steps = _whole_or_missing(whole, features, dtype) if whole else _Steps(INPUT)
    steps.add(
        "TreeEnsemble",
        [steps.last],
        "leaves" if several else total,
        domain="ai.onnx.ml",
        n_targets=len(trees) if several else targets,
        aggregate_function=_AVERAGE if average else _SUM,
        **{
            name: numpy_helper.from_array(value, name) if isinstance(value, np.ndarray) else value
            for name, value in attributes.items()
        },
    )
    if several:
        table = np.concatenate([tree.values[tree.true < 0] for tree in map(_with_node, trees)])
        steps.add("Cast", [steps.last], "rows", to=helper.np_dtype_to_tensor_dtype(np.dtype(np.int64)))
        steps.add("Gather", [steps.constant("table", table.astype(dtype)), steps.last], "gathered", axis=0)
        steps.add("ReduceSum", [steps.last, steps.constant("trees", np.array([1]))], total, keepdims=0)
    if total != ANSWER:
        steps.add("Div", [steps.last, steps.constant("divisor", np.array(divisor, dtype))], ANSWER)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        steps.nodes,
        "trees",
        [helper.make_tensor_value_info(INPUT, kind, [None, features])],
        [helper.make_tensor_value_info(ANSWER, kind, [None, targets])],
        [numpy_helper.from_array(value, name) for name, value in steps.constants.items()],
    )
    operators = [helper.make_opsetid("", _OPERATORS), helper.make_opsetid("ai.onnx.ml", _TREE_OPERATORS)]
    model = helper.make_model(graph, opset_imports=operators, ir_version=_IR)
    if several:
        rows = _GATHERED_AT_ONCE // (len(trees) * (targets + 2))
        helper.set_model_props(model, {MOST_ROWS_KEY: str(min(max(rows, 1), 4096))})
    content: bytes = model.SerializeToString()
    return content


class _Steps:
    """A graph in the making: its nodes in order, its constants, and the name of what came out last."""

    def __init__(self, last: str) -> None:
        self.last, self.nodes, self.constants = last, list[Any](), dict[str, NDArray[Any]]()

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = value
        return name

    def add(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        self.last = output


def _whole_or_missing(places: Sequence[int], features: int, dtype: DTypeLike) -> _Steps:
    """Return the steps that make fractions at these places NaN."""
    others = np.ones(features, dtype=bool)
    others[list(places)] = False
    steps = _Steps(INPUT)
    steps.add("Floor", [INPUT], "floor")
    steps.add("Equal", [INPUT, "floor"], "whole")
    steps.add("Or", ["whole", steps.constant("others", others)], "kept")
    steps.add("Where", ["kept", INPUT, steps.constant("missing", np.array(np.nan, dtype))], "checked")
    return steps


def _attributes(trees: Sequence[Tree], mode: Mode, dtype: np.dtype[Any], *, several: bool) -> dict[str, Any]:
    lists: dict[str, list[NDArray[Any]]] = {}
    roots, nodes, leaves, members = [], 0, 0, list[float]()
    for index, tree in enumerate(trees):
        roots.append(nodes)
        parts = dict(_flat(tree, mode, nodes, leaves))
        weights = parts["leaf_weights"]
        if several:
            parts["leaf_weights"] = np.arange(leaves, leaves + len(weights), dtype=np.float64)
        parts["leaf_targetids"] = np.full(len(weights), index if several else tree.target)
        for name, values in parts.items():
            lists.setdefault(name, []).append(values)
        nodes, leaves = nodes + len(parts["nodes_modes"]), leaves + len(weights)
        for node in sorted(tree.members):
            members += [*np.unique(tree.members[node]).tolist(), np.nan]
    joined: dict[str, Any] = {name: np.concatenate(values) for name, values in lists.items()}
    tensors = {"nodes_splits": dtype, "leaf_weights": dtype, "nodes_modes": np.dtype(np.uint8)}
    attributes = {
        name: values.astype(tensors[name]) if name in tensors else values.astype(np.int64).tolist()
        for name, values in joined.items()
    }
    if not any(attributes["nodes_missing_value_tracks_true"]):
        del attributes["nodes_missing_value_tracks_true"]  # a quicker path in ONNX Runtime, with the same answers
    if members:
        attributes["membership_values"] = np.array(members[:-1], dtype)
    return {"tree_roots": roots, **attributes}


def _flat(tree: Tree, mode: Mode, nodes: int, leaves: int) -> Iterator[tuple[str, NDArray[Any]]]:
    inner = tree.true >= 0
    at = np.flatnonzero(inner)
    places, ends = np.cumsum(inner) - 1 + nodes, np.cumsum(~inner) - 1 + leaves
    modes = np.full(len(tree.true), mode)
    modes[list(tree.members)] = Mode.MEMBER
    for name, children in (("true", tree.true[at]), ("false", tree.false[at])):
        yield f"nodes_{name}nodeids", np.where(inner[children], places[children], ends[children])
        yield f"nodes_{name}leafs", ~inner[children]
    yield "nodes_featureids", tree.feature[at]
    yield "nodes_splits", tree.threshold[at]
    yield "nodes_missing_value_tracks_true", tree.missing_true[at]
    yield "nodes_modes", modes[at]
    yield "leaf_weights", tree.values[~inner]


def _with_node(tree: Tree) -> Tree:
    """Return the tree, or for one that is a leaf the tree of one node with that leaf on both sides.

    The operator knows no tree without a node, and ONNX Runtime mistakes one leaf with two parents for another leaf.
    """
    if tree.true[0] >= 0:
        return tree
    zero = np.zeros(3)
    return replace(
        tree,
        true=np.array([1, -1, -1]),
        false=np.array([2, -1, -1]),
        feature=zero.astype(np.intp),
        threshold=zero,
        missing_true=zero,
        values=tree.values[[0, 0, 0]],
    )
