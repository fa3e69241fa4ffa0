"""ONNX behind blocks and on whole columns: every output, every batch size, stored and refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, load_model_from_string, numpy_helper
from scipy.special import expit, softmax

from inference.feature_matrix import FeatureMatrix
from inference.onnx_output import OnnxOutput
from inference.onnx_pipeline_runtime import OnnxPipelineRuntime
from inference.onnx_runtime import OnnxRuntime
from inference.onnx_session import OnnxSession
from inference.preprocessing import CategoryBlock, NumberBlock, Operation
from inference.stored import read_stored, write_stored

TABLE = np.array([[1.0, 0.1], [2.0, 0.2], [3.0, 0.3], [4.0, 0.4]])
BLOCKS = (
    NumberBlock("age", 2, ((Operation.DIVIDE, 10.0),), missing=0.5),
    CategoryBlock("city", 0, ("Bonn", "Ulm"), TABLE),
    NumberBlock("height", 3),
)
AGES, CITIES = [50.0, np.nan, -3.0], ["Bonn", "Jena", None]
COLUMNS = {"age": np.array(AGES), "city": np.array(CITIES, dtype=object), "height": np.array([1.5, -0.0, 3.0])}
MATRIX = np.array([[1.0, 0.1, 5.0, 1.5], [3.0, 0.3, 0.5, -0.0], [4.0, 0.4, -0.3, 3.0]])
KINDS = {np.float64: TensorProto.DOUBLE, np.float32: TensorProto.FLOAT}
SCALAR, EACH = {"value": 0, "exp": 0, "sigmoid": 0, "second": 2, "logit": 2}, {"all": 3, "scores": 3, "values": 0}


def model(nodes, inputs, outputs, constants=()) -> bytes:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    operators = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=operators, ir_version=10).SerializeToString()


def product(factors: np.ndarray, *, features: int | None = 4) -> bytes:
    """The graph of x @ factors."""
    kind = KINDS[factors.dtype.type]
    return model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [helper.make_tensor_value_info("x", kind, [None, features])],
        [helper.make_tensor_value_info("y", kind, [None, factors.shape[1]])],
        [numpy_helper.from_array(factors, "w")],
    )


def weights(output: OnnxOutput, dtype: type) -> np.ndarray:
    rows = [[0.5, -1.0, 0.25], [1.0, 0.0, 2.0], [0.5, 1.0, 0.1], [-1.0, 0.3, 0.2]]
    return np.array(rows, dtype)[:, : 1 if output in SCALAR else 3].copy()


def runtime(output: OnnxOutput, dtype: type = np.float64, **changes) -> OnnxRuntime:
    classes = {**SCALAR, **EACH}[output]
    options = {"blocks": BLOCKS, "graph": product(weights(output, dtype)), "single": False, "classes": classes}
    return OnnxRuntime(output=output, **(options | changes))


def repeated(rows: int) -> dict[str, np.ndarray]:
    return {name: np.resize(values, rows) for name, values in COLUMNS.items()}


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("output", OnnxOutput)
def test_every_output_is_what_its_name_says(output: OnnxOutput, dtype: type) -> None:
    scores = runtime(output, dtype).run(COLUMNS, 3)
    raw = MATRIX.astype(dtype) @ weights(output, dtype)
    second = {OnnxOutput.SECOND: raw[:, 0], OnnxOutput.LOGIT: expit(raw[:, 0].astype(float))}.get(output)
    truth = {
        OnnxOutput.VALUE: lambda: raw[:, 0],
        OnnxOutput.EXP: lambda: np.exp(raw[:, 0].astype(float)),
        OnnxOutput.SIGMOID: lambda: expit(raw[:, 0].astype(float)),
        OnnxOutput.SCORES: lambda: softmax(raw.astype(float), axis=1),
        OnnxOutput.SECOND: lambda: np.column_stack([1.0 - second.astype(float), second]),
        OnnxOutput.LOGIT: lambda: np.column_stack([1.0 - second, second]),
    }.get(output, lambda: raw)()
    got = scores.values if output in {"value", "values", "exp", "sigmoid"} else scores.probabilities
    assert (scores.values is None) == (scores.probabilities is not None)
    np.testing.assert_allclose(got, truth, rtol=1e-12 if dtype is np.float64 else 1e-5)
    assert got.dtype == np.float64
    assert got.flags.c_contiguous


@pytest.mark.parametrize("output", OnnxOutput)
def test_batches_of_every_size_agree_and_none_overwrites_another(output: OnnxOutput) -> None:
    made = runtime(output)
    kept = {rows: made.run(repeated(rows), rows) for rows in (9000, 1, 3, 4096, 2)}
    whole = kept[9000].values if kept[9000].probabilities is None else kept[9000].probabilities
    for rows, scores in kept.items():
        got = scores.values if scores.probabilities is None else scores.probabilities
        np.testing.assert_allclose(got, whole[:rows], rtol=1e-14)


@given(st.floats(-1e308, 1e308) | st.just(float("nan")), st.sampled_from(["Bonn", "Ulm", "", None]), st.booleans())
def test_the_features_of_a_row_are_the_same_alone_and_among_others(age, city, single: bool) -> None:
    columns = {"age": np.array([age]), "city": np.array([city], dtype=object), "height": np.array([7])}
    matrix = FeatureMatrix(BLOCKS, 4, single=single)
    alone = matrix.fill(columns, 1).copy()
    among = matrix.fill({name: values.repeat(3) for name, values in columns.items()}, 3)
    np.testing.assert_array_equal(among, alone.repeat(3, axis=0))
    if single:
        np.testing.assert_array_equal(alone, FeatureMatrix(BLOCKS, 4, dtype=np.float32).fill(columns, 1))


def test_a_stored_runtime_comes_back_as_it_was(tmp_path) -> None:
    for output in OnnxOutput:
        made = runtime(output)
        write_stored(made.stored(), tmp_path)
        back = OnnxRuntime.from_stored(read_stored(tmp_path))
        assert (repr(back.blocks), back.classes) == (repr(made.blocks), made.classes)
        assert repr(back.run(COLUMNS, 3)) == repr(made.run(COLUMNS, 3))


def test_a_damaged_graph_is_refused_quietly(capfd) -> None:
    graph = product(np.ones((4, 1)))
    for damaged in (b"", b"nothing of the kind", graph[:-20], graph.replace(b"MatMul", b"MatMol")):
        with pytest.raises(ValueError, match="graph"):
            runtime(OnnxOutput.VALUE, graph=damaged)
    assert capfd.readouterr() == ("", "")


def test_parts_that_do_not_fit_are_refused() -> None:
    for changes, reason in (
        ({"blocks": BLOCKS[:2]}, "do not cover"),
        ({"graph": product(np.ones((4, 1)), features=None)}, "known width"),
        ({"graph": product(np.ones((4, 2)))}, "2 values for a row where 1 belong"),
        ({"classes": 2}, "does not go with 2 classes"),
        ({"answer": "z"}, "no output 'z'"),
        ({"output": OnnxOutput.ALL, "classes": 1}, "does not go with 1 classes"),
    ):
        with pytest.raises(ValueError, match=reason):
            runtime(**({"output": OnnxOutput.VALUE} | changes))
    with pytest.raises(ValueError, match="no graph"):
        OnnxRuntime.from_stored(replace(runtime(OnnxOutput.VALUE).stored(), blob=None))


def test_a_graph_of_two_inputs_or_of_whole_numbers_is_no_matrix() -> None:
    matrix = helper.make_tensor_value_info("x", TensorProto.DOUBLE, [None, 4])
    other = helper.make_tensor_value_info("z", TensorProto.DOUBLE, [None, 4])
    whole = helper.make_tensor_value_info("x", TensorProto.INT64, [None, 4])
    answer = helper.make_tensor_value_info("y", TensorProto.DOUBLE, [None, 4])
    two = model([helper.make_node("Add", ["x", "z"], ["y"])], [matrix, other], [answer])
    with pytest.raises(ValueError, match="2 inputs"):
        runtime(OnnxOutput.VALUES, graph=two)
    cast = model([helper.make_node("Cast", ["x"], ["y"], to=TensorProto.DOUBLE)], [whole], [answer])
    with pytest.raises(ValueError, match="no matrix"):
        runtime(OnnxOutput.VALUES, graph=cast)


def test_more_rows_than_a_graph_takes_at_once_are_given_in_parts() -> None:
    noted = load_model_from_string(product(np.eye(4)))
    helper.set_model_props(noted, {"fairmind.most_rows": "3"})
    rows = np.arange(44.0).reshape(11, 4)
    np.testing.assert_array_equal(OnnxSession(noted.SerializeToString(), "y").run({"x": rows}, 11), rows)


# ---- whole columns ----

COLUMN_KINDS = {
    "age": TensorProto.DOUBLE,
    "children": TensorProto.INT64,
    "member": TensorProto.BOOL,
    "weight": TensorProto.FLOAT,
    "city": TensorProto.STRING,
}
PEOPLE = {
    "age": np.array([50.0, np.nan]),
    "children": np.array([2, 2**53 + 1]),
    "member": np.array([True, False]),
    "weight": np.array([80.0, 1e300]),
    "city": np.array(["Ulm", None], dtype=object),
}


def pipeline(**changes) -> OnnxPipelineRuntime:
    """Each column as a number, beside each other; the city 'Ulm' is 1, the empty one 0, any other -1."""
    names = [name for name in COLUMN_KINDS if name != "city"]
    lookup = {"keys_strings": ["Ulm", ""], "values_floats": [1.0, 0.0], "default_float": -1.0}
    nodes = [helper.make_node("LabelEncoder", ["city in"], ["city float"], domain="ai.onnx.ml", **lookup)]
    nodes += [helper.make_node("Cast", [f"{n} in"], [f"{n} out"], to=TensorProto.DOUBLE) for n in names]
    nodes.append(helper.make_node("Cast", ["city float"], ["city out"], to=TensorProto.DOUBLE))
    nodes.append(helper.make_node("Concat", [f"{name} out" for name in COLUMN_KINDS], ["numbers"], axis=1))
    inputs = [helper.make_tensor_value_info(f"{name} in", kind, [None, 1]) for name, kind in COLUMN_KINDS.items()]
    outputs = [helper.make_tensor_value_info("numbers", TensorProto.DOUBLE, [None, 5])]
    options = {"inputs": {f"{name} in": name for name in COLUMN_KINDS}, "output": OnnxOutput.VALUES}
    options |= {"graph": model(nodes, inputs, outputs), "classes": 0, "answer": "numbers"}
    return OnnxPipelineRuntime(**(options | changes))


def test_each_column_reaches_its_input_in_the_type_of_the_graph() -> None:
    expected = [[50.0, 2.0, 1.0, 80.0, 1.0], [np.nan, 2.0**53, 0.0, np.inf, 0.0]]
    made = pipeline()
    assert (made.blocks, made.columns, made.classes) == ((), frozenset(COLUMN_KINDS), 0)
    np.testing.assert_array_equal(made.run(PEOPLE, 2).values, expected)
    one = {name: values[1:] for name, values in PEOPLE.items()}
    np.testing.assert_array_equal(made.run(one, 1).values, expected[1:])


def test_a_stored_pipeline_comes_back_as_it_was(tmp_path) -> None:
    write_stored(pipeline().stored(), tmp_path)
    back = OnnxPipelineRuntime.from_stored(read_stored(tmp_path))
    assert back.columns == frozenset(COLUMN_KINDS)
    assert repr(back.run(PEOPLE, 2)) == repr(pipeline().run(PEOPLE, 2))


def test_a_pipeline_whose_parts_do_not_fit_is_refused() -> None:
    for changes, reason in (
        ({"inputs": {"age in": "age"}}, "not those of the graph"),
        ({"output": OnnxOutput.VALUE}, "5 values for a row"),
        ({"graph": product(np.ones((4, 1))), "inputs": {"x": "age"}, "answer": "y"}, "no column"),
    ):
        with pytest.raises(ValueError, match=reason):
            pipeline(**changes)
    with pytest.raises(ValueError, match="no graph"):
        OnnxPipelineRuntime.from_stored(replace(pipeline().stored(), blob=None))


def test_a_process_that_runs_a_graph_imports_no_library_of_training(tmp_path) -> None:
    write_stored(runtime(OnnxOutput.LOGIT).stored(), tmp_path)
    program = (
        "import sys; from pathlib import Path; from inference.onnx_runtime import OnnxRuntime;"
        "from inference.stored import read_stored; OnnxRuntime.from_stored(read_stored(Path(sys.argv[1])));"
        "print(sorted({'onnx', 'pandas', 'scipy', 'skl2onnx', 'sklearn', 'sympy', 'treelite'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
