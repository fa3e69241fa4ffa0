"""Tensors as protobuf messages: every datatype, raw and typed, beside numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bentos.errors import MalformedRequestError
from bentos.grpc_tensors import Answers, parameters_of, parse_tensors, plain_row
from bentos.oip_tensors import parse_outputs
from inference.arrays import Texts
from inference.errors import MalformedColumnsError, SignatureMismatchError
from inference.grpc_messages import ModelInferRequest, ModelInferResponse
from inference.raw_texts import raw_from_texts
from inference.served_model import Predictions
from inference.signature import Column, ColumnType, Signature, Task

TYPED = {
    "BOOL": ("bool_contents", np.bool_),
    "INT8": ("int_contents", np.int8),
    "INT16": ("int_contents", np.int16),
    "INT32": ("int_contents", np.int32),
    "INT64": ("int64_contents", np.int64),
    "UINT8": ("uint_contents", np.uint8),
    "UINT16": ("uint_contents", np.uint16),
    "UINT32": ("uint_contents", np.uint32),
    "UINT64": ("uint64_contents", np.uint64),
    "FP32": ("fp32_contents", np.float32),
    "FP64": ("fp64_contents", np.float64),
}
RAW = {name: dtype for name, (_, dtype) in TYPED.items()} | {"FP16": np.float16}
TEXTS = st.lists(st.text(max_size=12), max_size=30)


def message(*inputs: tuple[str, str, list[int]], raws: Sequence[bytes] = ()) -> Any:
    """Return a request with these names, datatypes and shapes."""
    made = ModelInferRequest(raw_input_contents=raws)
    for name, datatype, shape in inputs:
        made.inputs.add(name=name, datatype=datatype, shape=shape)
    return made


def values_of(tensor: Any) -> np.ndarray:
    values = tensor.values.array() if isinstance(tensor.values, Texts) else tensor.values
    return np.array(values, dtype=object) if isinstance(values, list) else values


@pytest.mark.parametrize("datatype", RAW)
@given(data=st.data())
def test_raw_values_are_what_numpy_wrote(datatype: str, data: st.DataObject) -> None:
    array = data.draw(hnp.arrays(RAW[datatype], st.integers(0, 20)))
    sent = message(("x", datatype, [len(array)]), raws=[array.tobytes()])
    (tensor,) = parse_tensors(ModelInferRequest.FromString(sent.SerializeToString()))
    assert (tensor.name, tensor.datatype, list(tensor.shape)) == ("x", datatype, [len(array)])
    np.testing.assert_array_equal(values_of(tensor), array)


@pytest.mark.parametrize("datatype", TYPED)
@given(data=st.data())
def test_typed_values_are_what_numpy_holds(datatype: str, data: st.DataObject) -> None:
    field, dtype = TYPED[datatype]
    array = data.draw(hnp.arrays(dtype, st.tuples(st.integers(0, 6), st.integers(1, 3))))
    sent = message(("x", datatype, list(array.shape)))
    getattr(sent.inputs[0].contents, field).extend(array.reshape(-1).tolist())
    (tensor,) = parse_tensors(ModelInferRequest.FromString(sent.SerializeToString()))
    assert values_of(tensor).dtype == array.dtype
    np.testing.assert_array_equal(values_of(tensor).reshape(array.shape), array)


@given(texts=TEXTS, typed=st.booleans())
def test_texts_are_what_was_sent(texts: list[str], typed: bool) -> None:
    sent = message(("x", "BYTES", [len(texts)]), raws=[] if typed else [raw_from_texts(texts)])
    if typed:
        sent.inputs[0].contents.bytes_contents.extend(text.encode() for text in texts)
    (tensor,) = parse_tensors(ModelInferRequest.FromString(sent.SerializeToString()))
    assert values_of(tensor).tolist() == texts


@given(
    row=st.dictionaries(
        st.text(min_size=1, max_size=8),
        st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1), st.booleans(), st.text(max_size=9)),
        min_size=1,
        max_size=6,
    ),
    typed=st.booleans(),
    flat=st.booleans(),
)
def test_one_plain_row_is_read_as_the_tensors_would_be(row: dict[str, Any], typed: bool, flat: bool) -> None:
    kinds = {float: "FP64", int: "INT64", bool: "BOOL", str: "BYTES"}
    shape = [1] if flat else [1, 1]
    sent = message(*((name, kinds[type(value)], shape) for name, value in row.items()))
    for tensor, value in zip(sent.inputs, row.values(), strict=True):
        if typed:
            field = {"BYTES": "bytes_contents"}.get(tensor.datatype) or TYPED[tensor.datatype][0]
            getattr(tensor.contents, field).append(value.encode() if type(value) is str else value)
        elif type(value) is str:
            sent.raw_input_contents.append(raw_from_texts([value]))
        else:
            sent.raw_input_contents.append(np.array([value], dtype=RAW[tensor.datatype]).tobytes())
    arrived = ModelInferRequest.FromString(sent.SerializeToString())
    found = plain_row(arrived)
    assert found is not None
    assert {name: type(value) for name, value in found.items()} == {k: type(v) for k, v in row.items()}
    np.testing.assert_equal(found, row)
    for tensor in parse_tensors(arrived):
        np.testing.assert_equal(values_of(tensor).reshape(-1)[0], row[tensor.name])


@pytest.mark.parametrize(
    "sent",
    [
        message(("x", "FP64", [2]), raws=[bytes(16)]),
        message(("x", "FP32", [1]), raws=[bytes(4)]),
        message(("x", "FP64", [1]), raws=[bytes(7)]),
        message(("x", "BOOL", [1]), raws=[b"\2"]),
        message(("x", "BYTES", [1]), raws=[b"\5\0\0\0ab"]),
        message(("x", "BYTES", [1]), raws=[b"\1\0\0\0\xff"]),
        message(("x", "BYTES", [1]), raws=[b"\1"]),
        message(("x", "FP64", [1]), ("x", "FP64", [1]), raws=[bytes(8)] * 2),
        message(("x", "FP64", [1]), raws=[bytes(8)] * 2),
        message(("x", "FP64", [1])),
    ],
)
def test_what_is_not_one_plain_row_is_left_to_the_tensors(sent: Any) -> None:
    assert plain_row(sent) is None


SHAPE_1 = ("x", "FP64", [1])
BAD: dict[str, tuple[Any, str]] = {
    "nothing": (message(), "no inputs"),
    "too few raws": (message(SHAPE_1, ("y", "FP64", [1]), raws=[bytes(8)]), "2 inputs and 1 raw_input_contents"),
    "too many raws": (message(SHAPE_1, raws=[bytes(8)] * 3), "1 inputs and 3 raw_input_contents"),
    "a negative size": (message(("x", "FP64", [-1]), raws=[b""]), "negative size"),
    "no shape": (message(("x", "FP64", []), raws=[bytes(8)]), "must have the shape"),
    "no shape, typed": (message(("x", "FP64", [])), "must have the shape"),
    "three dimensions": (message(("x", "FP64", [1, 1, 1]), raws=[bytes(8)]), "must have the shape"),
    "bytes that do not fit": (message(SHAPE_1, raws=[bytes(7)]), "has 7 bytes, FP64 of shape [1] has 8"),
    "values that are not there": (message(SHAPE_1), "has 0 values in fp64_contents, shape [1] has 1"),
    "no datatype": (message(("x", "", [1]), raws=[b""]), "unknown datatype"),
    "a datatype nobody knows": (message(("x", "BF16", [1])), "unknown datatype BF16"),
    "FP16 as typed": (message(("x", "FP16", [1])), "FP16, which comes in raw_input_contents only"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said(case: str) -> None:
    sent, expected = BAD[case]
    with pytest.raises((MalformedRequestError, MalformedColumnsError)) as refused:
        parse_tensors(sent)
    assert expected in str(refused.value)


def test_values_in_the_field_of_another_datatype_are_refused() -> None:
    sent = message(SHAPE_1)
    sent.inputs[0].contents.fp32_contents.append(1.0)
    with pytest.raises(MalformedColumnsError, match="its values belong into fp64_contents alone"):
        parse_tensors(sent)


def test_contents_beside_raw_ones_are_refused() -> None:
    sent = message(SHAPE_1, raws=[bytes(8)])
    sent.inputs[0].contents.fp64_contents.append(1.0)
    with pytest.raises(MalformedRequestError, match="both contents and raw_input_contents"):
        parse_tensors(sent)


@pytest.mark.parametrize(("datatype", "value"), [("INT8", 128), ("INT16", -32769), ("UINT8", 256)])
def test_a_number_that_its_datatype_cannot_hold_is_refused_by_row(datatype: str, value: int) -> None:
    sent = message(("x", datatype, [2]))
    getattr(sent.inputs[0].contents, TYPED[datatype][0]).extend([1, value])
    with pytest.raises(SignatureMismatchError, match=f"row 1, column 'x': does not fit {datatype}"):
        parse_tensors(sent)


def test_bytes_that_are_no_text_are_refused_by_row() -> None:
    sent = message(("x", "BYTES", [2]))
    sent.inputs[0].contents.bytes_contents.extend([b"ok", b"\xff"])
    with pytest.raises(MalformedColumnsError, match="input 'x', row 1: is not UTF-8"):
        parse_tensors(sent)


def test_base64_is_decoded_where_the_input_says_so() -> None:
    sent = message(("x", "BYTES", [1]), raws=[raw_from_texts(["bnVyc2U="])])
    sent.inputs[0].parameters["content_type"].string_param = "base64"
    assert plain_row(sent) is None
    (tensor,) = parse_tensors(sent)
    assert values_of(tensor).tolist() == ["nurse"]


def test_parameters_are_plain_values_and_one_without_a_value_is_none() -> None:
    sent = ModelInferRequest()
    sent.parameters["flag"].bool_param = False
    sent.parameters["count"].int64_param = -3
    sent.parameters["share"].double_param = 0.5
    sent.parameters["large"].uint64_param = 2**64 - 1
    sent.parameters["name"].string_param = "ä"
    sent.parameters["empty"].SetInParent()
    expected = {"flag": False, "count": -3, "share": 0.5, "large": 2**64 - 1, "name": "ä"}
    assert parameters_of(sent.parameters) == expected


CLASSIFIER = Signature(
    columns=(Column(name="x", type=ColumnType.DOUBLE),), task=Task.MULTICLASS, classes=("a", "b", "ü")
)
NAMES = parse_outputs(None, {}).names


def encoded(predictions: Predictions, signature: Signature = CLASSIFIER, answers: Answers | None = None) -> Any:
    content = (answers or Answers()).encode(
        predictions,
        signature,
        NAMES,
        common=("model", "7", "champion"),
        request_id="01a20347-cf3b-7287-bcf9-e065b2070076",
        given_id="mine",
    )
    return ModelInferResponse.FromString(content)


def test_an_answer_in_two_pieces_is_one_message() -> None:
    answers = Answers()
    for rows in (1, 3, 1):
        probabilities = np.full((rows, 3), 1 / 3)
        labels = np.array(["ü", "a", "b"][:rows], dtype=object)
        answer = encoded(Predictions(labels, probabilities), answers=answers)
        assert (answer.model_name, answer.model_version, answer.id) == ("model", "7", "mine")
        assert parameters_of(answer.parameters) == {
            "fairmind_prediction_id": "01a20347-cf3b-7287-bcf9-e065b2070076",
            "fairmind_variant": "champion",
        }
        prediction, scores = answer.outputs
        assert (prediction.name, prediction.datatype, list(prediction.shape)) == ("prediction", "BYTES", [rows])
        assert (scores.name, scores.datatype, list(scores.shape)) == ("probabilities", "FP64", [rows, 3])
        assert parameters_of(scores.parameters) == {"classes": '["a","b","ü"]'}
        assert list(answer.raw_output_contents) == [raw_from_texts(list(labels)), probabilities.tobytes()]


@given(
    st.one_of(
        hnp.arrays(np.float64, st.integers(1, 9)),
        hnp.arrays(np.int64, st.integers(1, 9)),
        hnp.arrays(np.bool_, st.integers(1, 9)),
        hnp.arrays(np.float32, st.integers(1, 9)),
        hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 3)), fill=st.nothing()),
    )
)
def test_predictions_of_every_kind_come_back_as_they_were(values: np.ndarray) -> None:
    names = tuple(f"y{place}" for place in range(values.shape[1])) if values.ndim == 2 else ()
    signature = Signature(columns=CLASSIFIER.columns, task=Task.REGRESSION, outputs=names)
    answer = encoded(Predictions(values, None), signature)
    (output,) = answer.outputs
    dtype = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}[output.datatype]
    back = np.frombuffer(answer.raw_output_contents[0], dtype=dtype).reshape(tuple(output.shape))
    np.testing.assert_array_equal(back, values)
