"""From a fitted estimator, or a whole pipeline, to an ONNX graph by skl2onnx."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from inference.errors import CompileError
from inference.onnx_output import OnnxOutput
from inference.signature import ColumnType, Signature

INPUT, OUTPUT = "x", "y"
# The newest that skl2onnx writes for both and every onnxruntime since 1.15 runs.
_OPSETS = {"": 18, "ai.onnx.ml": 3}
_LARGEST_NODES = 200_000


@dataclass(frozen=True, slots=True)
class ConvertedGraph:
    """An ONNX graph of one output `y`, what that holds, and by its inputs' names the columns that they take."""

    content: bytes
    output: OnnxOutput
    inputs: Mapping[str, str]


def estimator_graph(estimator: Any, features: int, signature: Signature, *, double: bool) -> ConvertedGraph:
    """Return the graph of an estimator that takes one matrix `x` [N, features].

    Args:
        estimator: Fitted; without its preprocessing.
        features: How many features it takes.
        signature: What it answers.
        double: Compute in float64, otherwise in float32.

    Raises:
        CompileError: skl2onnx does not convert it.
        ImportError: skl2onnx is not installed.
    """
    name = type(estimator).__name__
    nodes = _tree_nodes(estimator)
    if nodes > _LARGEST_NODES:
        raise CompileError(
            name, f"its {nodes:,} nodes take skl2onnx minutes; the tree runtimes are exact and quicker"
        )
    types = _types()
    matrix = types.DoubleTensorType if double else types.FloatTensorType
    return _convert(estimator, [(INPUT, matrix([None, features]))], signature)


def part_graph(part: Any, features: int) -> tuple[bytes, int]:
    """Return the float64 graph of a part of a model, from `x` [N, features] to `y`, and how wide its answer is.

    The answer is the probabilities of a classifier, the values of a regressor, or a transformer's features.

    Raises:
        CompileError: skl2onnx does not convert it.
        ImportError: skl2onnx is not installed.
    """
    types = _types()
    content = _graph(part, [(INPUT, types.DoubleTensorType([None, features]))], probabilities=is_classifier(part))
    return content.SerializeToString(), _width(part, features)


def _width(part: Any, features: int) -> int:
    """Return how many features a transformer makes of zeros; of anything else, nobody asks."""
    if not hasattr(part, "transform"):
        return 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return int(part.transform(np.zeros((1, features))).shape[1])


def pipeline_graph(model: Any, signature: Signature, *, double: bool) -> ConvertedGraph:
    """Return the graph of a whole pipeline that takes one input [N, 1] per column, of the column's name.

    Raises:
        CompileError: skl2onnx does not convert every step.
        ImportError: skl2onnx is not installed.
    """
    types = _types()
    number = types.DoubleTensorType if double else types.FloatTensorType
    kinds = {
        ColumnType.DOUBLE: number,
        ColumnType.LONG: types.Int64TensorType,
        ColumnType.BOOLEAN: types.BooleanTensorType,
        ColumnType.STRING: types.StringTensorType,
    }
    return _convert(
        model, [(column.name, kinds[column.type]([None, 1])) for column in signature.columns], signature
    )


def _types() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about versions beside it
        from skl2onnx.common import data_types
    return data_types


def _convert(model: Any, inputs: list[Any], signature: Signature) -> ConvertedGraph:
    graph = _graph(model, inputs, probabilities=bool(signature.classes))
    output = OnnxOutput.VALUES if signature.outputs else OnnxOutput.VALUE
    taken = {part.name: part.name for part in graph.graph.input}
    return ConvertedGraph(graph.SerializeToString(), OnnxOutput.ALL if signature.classes else output, taken)


def _graph(model: Any, inputs: list[Any], *, probabilities: bool) -> Any:
    from skl2onnx import convert_sklearn

    # Their own default is a locale that few machines have; in this one, letters beyond ASCII keep their case.
    options: dict[Any, dict[str, Any]] = {kind: {"locale": "C"} for kind in (CountVectorizer, TfidfVectorizer)}
    if probabilities:
        options[id(model)] = {"zipmap": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            converted = convert_sklearn(model, initial_types=inputs, options=options, target_opset=_OPSETS)
            _keep_one_output(converted)
    # Its converters are many, by many hands, and raise whatever an unexpected attribute or shape makes them raise.
    except Exception as error:
        raise CompileError(type(model).__name__, f"skl2onnx does not convert it ({first_line(error)})") from error
    return converted


def _keep_one_output(model: Any) -> None:
    """Leave the graph its last output, beside which a classifier has its labels, as the only one, `y`."""
    from onnx import helper

    graph = model.graph
    chosen = graph.output[-1]
    kind = chosen.type.tensor_type.elem_type
    # A cast, because some converters compute in float32 and declare float64.
    graph.node.append(helper.make_node("Cast", [chosen.name], [OUTPUT], name="answer", to=kind))
    del graph.output[:]
    # Without a shape: skl2onnx declares a wrong one for some.
    graph.output.append(helper.make_tensor_value_info(OUTPUT, kind, None))


def _tree_nodes(estimator: Any) -> int:
    members = getattr(estimator, "estimators_", None)
    if members is None or isinstance(members, dict):
        return 0
    nodes = 0
    for member in getattr(members, "ravel", lambda: members)():
        nodes += int(getattr(getattr(member, "tree_", None), "node_count", 0))
    return nodes


def first_line(error: BaseException) -> str:
    """Return what an error of a library says, in one short line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines[0] else type(error).__name__
