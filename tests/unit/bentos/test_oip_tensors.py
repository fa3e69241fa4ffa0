"""What a model's inputs and outputs are called, and how answers of every kind are written."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from bentos.oip import model_params
from bentos.oip_tensors import Wanted, describe_inputs, describe_outputs, encode_outputs
from inference.served_model import Predictions
from inference.signature import Column, ColumnType, Signature, Task

X = Column(name="x", type=ColumnType.DOUBLE)
Y = Column(name="y", type=ColumnType.LONG)
OPAQUE = Signature(columns=(X,), task=Task.OPAQUE)
JSON = Wanted(frozenset({"prediction", "probabilities"}), frozenset())
RAW = Wanted(frozenset({"prediction", "probabilities"}), frozenset({"prediction", "probabilities"}))


def answered(values: Any, signature: Signature, wanted: Wanted = JSON) -> dict[str, Any]:
    outputs, raws = encode_outputs(Predictions(np.asarray(values), None), signature, wanted)
    (output,) = orjson.loads(orjson.dumps(outputs, option=orjson.OPT_SERIALIZE_NUMPY))
    assert len(raws) == len(wanted.raw & {"prediction"})
    return dict(output)


def test_a_model_that_takes_one_matrix_says_so() -> None:
    signature = Signature(columns=(X, Y), task=Task.REGRESSION, matrix=True)
    assert describe_inputs(signature) == [{"name": "input", "datatype": "FP64", "shape": [-1, 2]}]
    textual = Signature(columns=(Column(name="0", type=ColumnType.STRING), X), task=Task.REGRESSION, matrix=True)
    assert [tensor["name"] for tensor in describe_inputs(textual)] == ["0", "x"]


def test_several_values_a_row_are_one_output_with_their_names() -> None:
    signature = Signature(columns=(X,), task=Task.REGRESSION, outputs=("low", "high"))
    assert describe_outputs(signature) == [
        {"name": "prediction", "datatype": "FP64", "shape": [-1, 2], "parameters": {"outputs": ["low", "high"]}}
    ]
    output = answered([[1.0, 2.0], [3.0, 4.0]], signature)
    assert (output["datatype"], output["shape"], output["data"]) == ("FP64", [2, 2], [1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("values", "datatype", "data"),
    [
        (np.array([1.5, np.nan]), "FP64", [1.5, None]),
        (np.array([1, 2], dtype=np.int32), "INT64", [1, 2]),
        (np.array([1, 2], dtype=np.float32), "FP64", [1.0, 2.0]),
        (np.array([2**63, 1], dtype=np.uint64), "UINT64", [2**63, 1]),
        (np.array([True, False]), "BOOL", [True, False]),
        (np.array(["a", "ü"]), "BYTES", ["a", "ü"]),
        (np.array(["a", "ü"], dtype=object), "BYTES", ["a", "ü"]),
        (np.array(["2026-01-01"], dtype="datetime64[D]"), "BYTES", ["2026-01-01"]),
    ],
)
def test_opaque_values_of_one_kind_are_sent_as_what_they_are(values: Any, datatype: str, data: list[Any]) -> None:
    output = answered(values, OPAQUE)
    assert (output["datatype"], output["data"], "parameters" in output) == (datatype, data, False)
    raw = answered(values, OPAQUE, RAW)
    assert raw["datatype"] == datatype
    assert set(raw["parameters"]) == {"binary_data_size"}


@pytest.mark.parametrize("wanted", [JSON, RAW])
def test_opaque_values_of_any_other_kind_are_json_text(wanted: Wanted) -> None:
    values = np.empty(4, dtype=object)
    values[:] = [{"label": "a", "score": np.float64(0.5)}, ["b", None], 3, "c"]
    output = answered(values, OPAQUE, wanted)
    assert (output["datatype"], output["shape"], output["parameters"]["content_type"]) == ("BYTES", [4], "json")
    if wanted is JSON:
        assert [orjson.loads(text) for text in output["data"]] == [
            {"label": "a", "score": 0.5},
            ["b", None],
            3,
            "c",
        ]


def test_what_the_protocol_reserves_is_no_parameter_of_the_model() -> None:
    assert model_params({"unit": "u", "binary_data_output": True, "timeout": 5}) is None
    assert model_params({"unit": "u", "temperature": 0.5}) == {"temperature": 0.5}


def test_labels_of_several_kinds_are_strings() -> None:
    signature = Signature(columns=(X,), task=Task.BINARY, classes=("a", 1))
    output = answered(np.array(["a", 1], dtype=object), signature, RAW)
    assert output["datatype"] == describe_outputs(signature)[0]["datatype"] == "BYTES"
