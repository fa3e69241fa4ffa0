"""Open Inference Protocol tensors: every datatype, shape and number of bytes, right and wrong."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.encoded_tensors import json_tensor, raw_tensor
from inference.errors import EmptyBatchError, MalformedColumnsError, SignatureMismatchError
from inference.runtime import EncodedColumns, plain_columns
from inference.signature import Column, ColumnType, Signature, Task
from inference.tensors import (
    columns_from_tensors,
    rows_in,
    tensor_from_json,
    tensor_from_raw,
    with_base64_decoded,
)


def signature(*columns: Column, **changes: Any) -> Signature:
    return Signature(columns=columns, task=Task.REGRESSION, **changes)


def column(kind: ColumnType, name: str = "x", **changes: Any) -> Column:
    return Column(name=name, type=kind, **changes)


def decode(raw: np.ndarray, datatype: str, kind: ColumnType, **changes: Any) -> np.ndarray:
    tensor = tensor_from_raw("x", datatype, [len(raw)], raw.tobytes())
    return plain_columns(columns_from_tensors([tensor], signature(column(kind, **changes))))["x"]


NUMERIC = {
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"FP{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}


@pytest.mark.parametrize("datatype", NUMERIC)
def test_raw_numbers_of_every_width_become_the_columns_own(datatype: str) -> None:
    raw = np.array([0, 1, 100], dtype=NUMERIC[datatype])
    doubles = decode(raw, datatype, ColumnType.DOUBLE)
    assert (doubles.dtype, doubles.tolist()) == (np.dtype(np.float64), [0.0, 1.0, 100.0])
    if "INT" in datatype:
        longs = decode(raw, datatype, ColumnType.LONG)
        assert (longs.dtype, longs.tolist()) == (np.dtype(np.int64), [0, 1, 100])
    anything = decode(raw, datatype, ColumnType.ANY)
    assert anything.tolist() == [0, 1, 100]
    assert {type(value) for value in anything.tolist()} == {float if "FP" in datatype else int}


def test_integers_beyond_a_doubles_precision_stay_exact_in_an_integer_column() -> None:
    raw = np.array([2**53 + 1, -(2**63), 2**63 - 1], dtype="<i8")
    assert decode(raw, "INT64", ColumnType.LONG).tolist() == raw.tolist()


def test_raw_truth_values_are_true_or_false() -> None:
    assert decode(np.array([True, False]), "BOOL", ColumnType.BOOLEAN).tolist() == [True, False]
    assert decode(np.array([True, False]), "BOOL", ColumnType.ANY).tolist() == [True, False]


def test_what_was_decoded_is_aligned_and_outlives_the_body() -> None:
    body = bytearray(b"x" + np.array([1.5, 2.5]).tobytes())
    tensor = tensor_from_raw("x", "FP64", [2], memoryview(body)[1:])
    columns = columns_from_tensors([tensor], signature(column(ColumnType.DOUBLE)))
    body[:] = bytes(len(body))
    assert columns["x"].tolist() == [1.5, 2.5]
    assert columns["x"].flags.aligned
    assert columns["x"].flags.writeable


@pytest.mark.parametrize(
    ("datatype", "raw", "kind", "reason"),
    [
        ("FP64", [1.0, math.inf], ColumnType.DOUBLE, "may not be infinite"),
        ("FP64", [1.0, 1e151], ColumnType.DOUBLE, "is too large for a number"),
        ("FP32", [1.0, math.nan], ColumnType.DOUBLE, "is required and may not be NaN"),
        ("UINT64", [1, 2**63], ColumnType.LONG, "does not fit 64 bits"),
    ],
)
def test_a_raw_number_that_does_not_fit_is_named_by_row(
    datatype: str, raw: list[Any], kind: ColumnType, reason: str
) -> None:
    with pytest.raises(SignatureMismatchError) as refusal:
        decode(np.array(raw, dtype=NUMERIC[datatype]), datatype, kind)
    assert (refusal.value.column, refusal.value.row, refusal.value.reason) == ("x", 1, reason)


def test_raw_nan_is_a_missing_value_where_there_is_an_answer_for_it() -> None:
    assert math.isnan(decode(np.array([math.nan]), "FP64", ColumnType.DOUBLE, nullable=True)[0])


@pytest.mark.parametrize(
    ("kind", "datatype"),
    [
        (ColumnType.LONG, "FP64"),
        (ColumnType.DOUBLE, "BOOL"),
        (ColumnType.BOOLEAN, "UINT8"),
        (ColumnType.STRING, "FP64"),
        (ColumnType.DOUBLE, "BYTES"),
    ],
)
def test_a_datatype_that_would_lose_something_is_refused(kind: ColumnType, datatype: str) -> None:
    raw = b"\x00" * 8 if datatype in {"FP64", "BYTES"} else b"\x00"
    tensor = tensor_from_raw("x", datatype, [2 if datatype == "BYTES" else 1], raw)
    with pytest.raises(MalformedColumnsError, match=f"input 'x' must be .*, not {datatype}"):
        columns_from_tensors([tensor], signature(column(kind)))


@pytest.mark.parametrize(
    ("datatype", "data", "reason"),
    [
        ("INT64", [1, 1.5], "must be an integer"),
        ("INT8", [1, 128], "does not fit INT8"),
        ("UINT16", [1, -1], "does not fit UINT16"),
    ],
)
def test_json_numbers_must_fit_the_datatype_that_they_came_with(
    datatype: str, data: list[Any], reason: str
) -> None:
    tensor = tensor_from_json("x", datatype, [2], data)
    with pytest.raises(SignatureMismatchError, match=f"row 1, column 'x': {reason}"):
        columns_from_tensors([tensor], signature(column(ColumnType.DOUBLE)))


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "words"),
    [
        ("FP64", [2], b"\x00" * 15, "has 15 bytes, FP64 of shape \\[2\\] has 16"),
        ("FP64", [2], b"\x00" * 24, "has 24 bytes"),
        ("FP64", [2**62], b"", "has 0 bytes"),
        ("BOOL", [1], b"\x02", "other than 0 and 1"),
        ("BF16", [1], b"\x00\x00", "unknown datatype BF16"),
        ("BYTES", [2], b"\x01\x00\x00\x00a", "does not hold 2 strings in its 5 bytes"),
        ("BYTES", [1], b"\x02\x00\x00\x00a", "does not hold 1 strings"),
        ("BYTES", [1], b"\x01\x00\x00\x00ab", "does not hold 1 strings"),
        ("BYTES", [1], b"\xff\xff\xff\xffab", "does not hold 1 strings"),
        ("BYTES", [10**9], b"\x00" * 400, "does not hold 1000000000 strings"),
        ("BYTES", [2], b"\x01\x00\x00\x00a\x01\x00\x00\x00\xff", "row 1: is not UTF-8"),
        ("FP64", [1, 1, 1], b"\x00" * 8, "must have the shape"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(datatype: str, shape: list[int], raw: bytes, words: str) -> None:
    with pytest.raises(MalformedColumnsError, match=words):
        tensor_from_raw("x", datatype, shape, raw)


MATRIX = signature(
    column(ColumnType.DOUBLE, "a", nullable=True), column(ColumnType.LONG, "b"), column(ColumnType.DOUBLE, "c")
)
ROWS = [[1.5, 2, 3.0], [None, 5, 6.5]]


@pytest.mark.parametrize("form", ["nested", "flat", "raw"])
def test_one_matrix_of_any_name_holds_all_number_columns_in_order(form: str) -> None:
    if form == "raw":
        tensor = tensor_from_raw("input-0", "FP64", [2, 3], np.array(ROWS, dtype=float).tobytes())
    else:
        data: list[Any] = ROWS if form == "nested" else [value for row in ROWS for value in row]
        tensor = tensor_from_json("input-0", "FP64", [2, 3], data)
    columns = columns_from_tensors([tensor], MATRIX)
    assert columns["b"].dtype == np.int64
    np.testing.assert_array_equal(columns["a"], [1.5, math.nan])
    np.testing.assert_array_equal(columns["b"], [2, 5])
    np.testing.assert_array_equal(columns["c"], [3.0, 6.5])


@pytest.mark.parametrize("raw", [True, False])
def test_a_fraction_in_a_matrix_is_no_integer(raw: bool) -> None:
    values = [[1.0, 2.0, 3.0], [1.0, 2.5, 3.0]]
    tensor = (
        tensor_from_raw("m", "FP64", [2, 3], np.array(values).tobytes())
        if raw
        else tensor_from_json("m", "FP64", [2, 3], values)
    )
    with pytest.raises(SignatureMismatchError, match="row 1, column 'b': must be an integer"):
        columns_from_tensors([tensor], MATRIX)


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "columns", "words"),
    [
        ("FP64", [1, 2], [1, 2], MATRIX, "input 'm' has 2 columns, this model 3"),
        ("BYTES", [1, 3], ["a", "b", "c"], MATRIX, "must be FP64, not BYTES"),
        ("FP64", [1, 2], [1, 2], signature(column(ColumnType.STRING)), "column 'x' is no number"),
        ("FP64", [2, 2], [[1, 2, 3], [4]], MATRIX, "rows that do not have 2 values"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(
    datatype: str, shape: list[int], data: list[Any], columns: Signature, words: str
) -> None:
    with pytest.raises(MalformedColumnsError, match=words):
        columns_from_tensors([tensor_from_json("m", datatype, shape, data)], columns)


def test_tensors_of_no_rows_are_refused() -> None:
    for tensor in (tensor_from_json("x", "FP64", [0], []), tensor_from_raw("x", "FP64", [0], b"")):
        assert rows_in([tensor]) == 0
        with pytest.raises(EmptyBatchError):
            columns_from_tensors([tensor], signature(column(ColumnType.DOUBLE)))


def test_an_optional_column_may_be_absent_and_a_required_one_not() -> None:
    columns = signature(
        column(ColumnType.DOUBLE, "a"),
        column(ColumnType.DOUBLE, "b", nullable=True, optional=True),
        column(ColumnType.STRING, "c", nullable=True, optional=True),
    )
    for count in (1, 2):
        found = columns_from_tensors([tensor_from_json("a", "FP64", [count], [1.0] * count)], columns)
        assert np.isnan(found["b"]).all()
        assert found["c"].tolist() == [None] * count
        assert list(found["b"].shape) == [count]
    with pytest.raises(SignatureMismatchError, match="column 'a': is missing"):
        columns_from_tensors([tensor_from_json("b", "FP64", [1], [1.0])], columns)


def test_base64_stands_for_the_text_it_encodes() -> None:
    data = [base64.b64encode("Köln".encode()).decode()]
    tensor = with_base64_decoded(tensor_from_json("x", "BYTES", [1], data))
    assert columns_from_tensors([tensor], signature(column(ColumnType.STRING)))["x"].tolist() == ["Köln"]
    for wrong in (["no base64!"], [7], [base64.b64encode(b"\xff").decode()]):
        with pytest.raises(MalformedColumnsError, match="row 0: is not base64"):
            with_base64_decoded(tensor_from_json("x", "BYTES", [1], wrong))


ARRAYS = (
    st.lists(st.floats(-1e150, 1e150) | st.just(math.nan), min_size=1).map(np.array)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1).map(lambda values: np.array(values, dtype=np.int64))
    | st.lists(st.booleans(), min_size=1).map(np.array)
    | st.lists(st.text(), min_size=1).map(lambda values: np.array(values, dtype=object))
)
KINDS = {"f": ColumnType.DOUBLE, "i": ColumnType.LONG, "b": ColumnType.BOOLEAN, "O": ColumnType.STRING}


@given(array=ARRAYS)
def test_columns_survive_the_way_to_tensors_and_back(array: np.ndarray) -> None:
    columns = signature(column(KINDS[array.dtype.kind], nullable=array.dtype.kind == "f"))
    json = orjson.loads(orjson.dumps(json_tensor("x", array), option=orjson.OPT_SERIALIZE_NUMPY))
    head, raw = raw_tensor("x", array)
    assert (json["datatype"], json["shape"]) == (head["datatype"], head["shape"])
    assert head["parameters"]["binary_data_size"] == len(raw)
    ways: list[EncodedColumns] = [
        columns_from_tensors([tensor_from_json("x", json["datatype"], json["shape"], json["data"])], columns),
        columns_from_tensors([tensor_from_raw("x", head["datatype"], head["shape"], raw)], columns),
    ]
    for found in map(plain_columns, ways):
        assert found["x"].dtype == array.dtype
        np.testing.assert_array_equal(found["x"], array)


def test_what_no_datatype_holds_travels_as_json_only() -> None:
    mixed = np.array(["a", 1, None, 2**70], dtype=object)
    assert json_tensor("x", mixed)["data"] == ["a", 1, None, 2**70]
    with pytest.raises(SignatureMismatchError, match="row 1, column 'x': is no string"):
        raw_tensor("x", mixed)
    assert json_tensor("x", np.array([2**70], dtype=object))["datatype"] == "BYTES"
