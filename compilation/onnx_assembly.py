"""An ONNX graph put together in float64, node by node and from graphs of its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import CompileError
from inference.onnx_session import MOST_ROWS_KEY

INPUT, OUTPUT = "x", "y"
_OPSETS = {"": 18, "ai.onnx.ml": 5}
_IR = 10


class Assembly:
    """Nodes and constants under names of their own, from one matrix `x` [N, F] to one answer `y` [N, M]."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._tensors: list[Any] = []
        self._names = 0
        self._most_rows: int | None = None

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node of one output and return the output's name."""
        from onnx import helper

        name = self._name()
        self._nodes.append(helper.make_node(operator, list(inputs), [name], domain=domain, **attributes))
        return name

    def constant(self, value: Any) -> str:
        """Add an array, of float64 or int64, and return its name."""
        from onnx import numpy_helper

        name = self._name()
        self._tensors.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def splice(self, content: bytes, source: str) -> str:
        """Add the nodes of a graph of one input and one output, fed by `source`, and return its output's name.

        Raises:
            CompileError: The graph has nodes that hold graphs.
        """
        import onnx

        model = onnx.load_model_from_string(content)
        graph, names = model.graph, {model.graph.input[0].name: source, "": ""}
        for tensor in graph.initializer:
            names[tensor.name] = tensor.name = self._name()
            self._tensors.append(tensor)
        for node in graph.node:
            if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
                raise CompileError(node.op_type, "a graph within a graph cannot be part of another one")
            names |= {name: self._name() for name in node.output if name}
        for node in graph.node:
            node.input[:] = [names[name] for name in node.input]
            node.output[:] = [names[name] for name in node.output]
            node.name = ""
            self._nodes.append(node)
        note = {prop.key: prop.value for prop in model.metadata_props}.get(MOST_ROWS_KEY)
        if note is not None:
            self.limit_rows(int(note))
        return names[graph.output[0].name]

    def limit_rows(self, rows: int) -> None:
        """Note that the graph may be given so many rows at once, for what it holds in memory for each."""
        self._most_rows = max(1, min(rows, self._most_rows or rows))

    def finish(self, answer: str, features: int) -> bytes:
        """Return the serialized graph whose answer is `answer`."""
        from onnx import TensorProto, helper

        self._nodes.append(helper.make_node("Identity", [answer], [OUTPUT]))
        graph = helper.make_graph(
            self._nodes,
            "assembly",
            [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, [None, features])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, None)],
            self._tensors,
        )
        operators = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items()]
        model = helper.make_model(graph, opset_imports=operators, ir_version=_IR)
        if self._most_rows is not None:
            helper.set_model_props(model, {MOST_ROWS_KEY: str(self._most_rows)})
        content: bytes = model.SerializeToString()
        return content

    def columns(self, source: str, places: NDArray[np.integer[Any]] | list[int]) -> str:
        """Return some columns of a matrix."""
        return self.node("Gather", source, self.constant(np.asarray(places, dtype=np.int64)), axis=1)

    def as_single(self, source: str) -> str:
        """Return a matrix rounded to float32, in float64 again."""
        from onnx import TensorProto

        return self.as_double(self.node("Cast", source, to=TensorProto.FLOAT))

    def as_double(self, source: str) -> str:
        """Return a matrix in float64; what is so already stays as it is."""
        from onnx import TensorProto

        return self.node("Cast", source, to=TensorProto.DOUBLE)

    def as_integer(self, source: str) -> str:
        """Return a matrix of truth values as zeros and ones."""
        from onnx import TensorProto

        return self.node("Cast", source, to=TensorProto.INT64)

    def mean(self, parts: list[str], weights: list[float] | None = None) -> str:
        """Return the weighted mean of matrices of one shape."""
        if weights is not None:
            weighted = zip(parts, weights, strict=True)
            parts = [self.node("Mul", part, self.constant(weight)) for part, weight in weighted]
        total = self.node("Sum", *parts) if len(parts) > 1 else parts[0]
        return self.node("Div", total, self.constant(float(len(parts) if weights is None else np.sum(weights))))

    def two(self, second: str) -> str:
        """Return the probabilities [N, 2] of the second one's [N, 1]."""
        return self.node("Concat", self.node("Sub", self.constant(1.0), second), second, axis=1)

    def _name(self) -> str:
        self._names += 1
        return f"v{self._names}"
