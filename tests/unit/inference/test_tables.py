"""MLflow's shapes, CSV and Arrow: what they may leave out, what they cast, and what is wrong with them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from inference.arrow import columns_from_arrow
from inference.delimited import columns_from_csv
from inference.errors import EmptyBatchError, MalformedColumnsError, SignatureMismatchError
from inference.frames import columns_from_frame, columns_from_scoring
from inference.signature import Column, ColumnType, Signature, Task

SIGNATURE = Signature(
    columns=(
        Column(name="age", type=ColumnType.DOUBLE, nullable=True),
        Column(name="rooms", type=ColumnType.LONG),
        Column(name="job", type=ColumnType.STRING, nullable=True, optional=True),
    ),
    task=Task.REGRESSION,
)
ONE = Signature(columns=(Column(name="x", type=ColumnType.DOUBLE),), task=Task.REGRESSION)
ANY = Signature(columns=(Column(name="x", type=ColumnType.ANY, nullable=True),), task=Task.OPAQUE)


def scored(shape: str, value: Any, signature: Signature = SIGNATURE) -> dict[str, list[Any]]:
    columns, rows = columns_from_scoring({shape: value}, signature)
    assert all(len(values) == rows for values in columns.values())
    return {name: values.tolist() for name, values in columns.items()}


@pytest.mark.parametrize(
    ("shape", "value"),
    [
        ("dataframe_split", {"columns": ["job", "rooms", "age"], "index": [5], "data": [["nurse", 3, 41]]}),
        ("dataframe_split", {"data": [[41, 3, "nurse"]]}),
        ("dataframe_split", {"columns": ["age", "rooms", "job", "label"], "data": [[41, 3.0, "nurse", 1]]}),
        ("dataframe_records", [{"age": 41, "rooms": 3.0, "job": "nurse", "label": 1}]),
        ("instances", [{"age": 41, "rooms": 3, "job": "nurse"}]),
        ("instances", [[41, 3, "nurse"]]),
        ("inputs", {"age": [41], "rooms": [3], "job": ["nurse"], "label": [1]}),
        ("inputs", {"age": [[41]], "rooms": [[3]], "job": [["nurse"]]}),
        ("inputs", [{"age": 41, "rooms": 3, "job": "nurse"}]),
    ],
)
def test_each_of_mlflows_shapes_is_cast_by_the_signature(shape: str, value: Any) -> None:
    assert scored(shape, value) == {"age": [41.0], "rooms": [3], "job": ["nurse"]}


def test_what_a_record_leaves_out_is_missing_in_its_row() -> None:
    found = scored("dataframe_records", [{"rooms": 1, "age": 2}, {"rooms": 2}])
    assert (found["age"][0], math.isnan(found["age"][1])) == (2.0, True)
    assert found["job"] == [None, None]


def test_single_values_are_the_rows_of_a_model_with_one_column() -> None:
    assert scored("instances", [1, 2.5], ONE) == {"x": [1.0, 2.5]}
    assert scored("inputs", [[1], [2.5]], ONE) == {"x": [1.0, 2.5]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "exactly one of dataframe_split, dataframe_records, instances, inputs"),
        ({"instances": [], "inputs": []}, "exactly one of"),
        ({"dataframe_split": [1]}, "'dataframe_split' must be an object"),
        ({"dataframe_split": {"columns": "age", "data": []}}, "'columns' must be a list of names"),
        ({"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}}, "column 'age' is there twice"),
        ({"dataframe_split": {"columns": ["age"], "data": [[1], [1, 2]]}}, "'data', row 1: must be a list of 1"),
        ({"dataframe_split": {"columns": ["age"], "data": [1]}}, "'data', row 0: must be a list"),
        ({"dataframe_records": {"age": 1}}, "records must be a list of objects"),
        ({"instances": 7}, "'instances' must be a list"),
        ({"instances": [[1, 2, "a"], 3]}, "'instances' mixes"),
        ({"instances": [[1, 2]]}, "'instances', row 0: must be a list of 3 values"),
        ({"inputs": {"age": 1}}, "must hold a list for every column"),
        ({"inputs": {"age": [[1, 2]], "rooms": [1]}}, "column 'age' must have the shape"),
        ({"inputs": {"age": [[1], 2], "rooms": [1, 2]}}, "column 'age' must have the shape"),
    ],
)
def test_a_body_of_another_shape_is_refused(body: dict[str, Any], words: str) -> None:
    with pytest.raises(MalformedColumnsError, match=words):
        columns_from_scoring(body, SIGNATURE)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"age": 1, "rooms": 1.5}, "row 0, column 'rooms': must be an integer, not a number"),
        ({"age": "1", "rooms": 1}, "row 0, column 'age': must be a number, not a string"),
        ({"age": True, "rooms": 1}, "row 0, column 'age': must be a number, not true/false"),
        ({"age": 1, "rooms": 1, "job": 7}, "row 0, column 'job': must be a string"),
        ({"age": 1}, "column 'rooms': is missing"),
        ({"age": 1, "rooms": None}, "row 0, column 'rooms': is required"),
    ],
)
def test_a_cast_that_would_lose_something_is_refused(row: dict[str, Any], words: str) -> None:
    with pytest.raises(SignatureMismatchError, match=words):
        columns_from_scoring({"dataframe_records": [row]}, SIGNATURE)


@pytest.mark.parametrize("body", [{"dataframe_split": {"data": []}}, {"instances": []}, {"dataframe_records": []}])
def test_no_rows_are_told(body: dict[str, Any]) -> None:
    with pytest.raises(EmptyBatchError):
        columns_from_scoring(body, SIGNATURE)


def csv(text: str, signature: Signature = SIGNATURE) -> dict[str, list[Any]]:
    return {name: values.tolist() for name, values in columns_from_csv(text.encode(), signature)[0].items()}


def test_csv_cells_are_read_by_the_type_of_their_column() -> None:
    text = '\ufeffrooms,job,label,age\r\n3,"nurse, ""retired""\r\nsince",1,1e3\r\n4.0,,0,-2\r\n\r\n\r\n'
    assert csv(text) == {"age": [1000.0, -2.0], "rooms": [3, 4], "job": ['nurse, "retired"\r\nsince', None]}


def test_an_empty_cell_is_a_missing_value() -> None:
    found = csv("age,rooms\n,1\nNaN,2\n")
    assert all(math.isnan(age) for age in found["age"])


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2.5"], [1.0, 2.5]),
        (["true", "False"], [True, False]),
        (["1", "b"], ["1", "b"]),
        (['""', "1"], [None, 1]),
    ],
)
def test_cells_of_a_column_of_any_type_are_what_all_of_them_are(cells: list[str], values: list[Any]) -> None:
    found = csv("x\n" + "\n".join(cells), ANY)["x"]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"", MalformedColumnsError, "no header line"),
        (b"\n\n", MalformedColumnsError, "no header line"),
        (b"age,\xff\n1,2", MalformedColumnsError, "not UTF-8"),
        (b'age,rooms\n"1,2\n', MalformedColumnsError, "no.* CSV"),
        (b"age,rooms\n1,2,3\n", MalformedColumnsError, "row 0 has 3 cells, the header has 2"),
        (b"age,age\n1,2\n", MalformedColumnsError, "column 'age' is there twice"),
        (b"age,rooms\n", EmptyBatchError, "no rows"),
        (b"age\n1\n", SignatureMismatchError, "column 'rooms': is missing"),
        (b"age,rooms\n1,2\nold,2\n", SignatureMismatchError, "row 1, column 'age': must be a number"),
        (b"age,rooms\n1_0,2\n", SignatureMismatchError, "row 0, column 'age': must be a number"),
        (b"age,rooms\n1,2.5\n", SignatureMismatchError, "row 0, column 'rooms': must be an integer"),
        (b"age,rooms\n1,inf\n", SignatureMismatchError, "row 0, column 'rooms': must be an integer"),
        (b"age,rooms\ninf,2\n", SignatureMismatchError, "row 0, column 'age': may not be infinite"),
        (b"age,rooms\n1,\n", SignatureMismatchError, "row 0, column 'rooms': is required"),
    ],
)
def test_csv_that_is_wrong_is_named(content: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        columns_from_csv(content, SIGNATURE)


def stream(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def test_arrow_columns_of_narrow_or_encoded_types_are_taken() -> None:
    table = pa.table(
        {
            "age": pa.array([1, None], pa.int8()),
            "rooms": pa.array([3.0, 4.0], pa.float32()),
            "job": pa.array(["nurse", None]).dictionary_encode(),
            "label": pa.array([[1], [2]]),
        }
    )
    columns, rows = columns_from_arrow(stream(table), SIGNATURE)
    assert (rows, columns["rooms"].tolist(), columns["job"].tolist()) == (2, [3, 4], ["nurse", None])
    assert (columns["age"][0], math.isnan(columns["age"][1])) == (1.0, True)


@pytest.mark.parametrize(
    ("columns", "error", "words"),
    [
        ({"age": pa.array([1.0])}, SignatureMismatchError, "column 'rooms': is missing"),
        ({"age": pa.array([1.0]), "rooms": pa.array([None], pa.int64())}, SignatureMismatchError, "row 0, column"),
        ({"age": pa.array([1.0]), "rooms": pa.array([1.5])}, SignatureMismatchError, "must be an integer"),
        (
            {"age": pa.array(["a"]), "rooms": pa.array([1])},
            SignatureMismatchError,
            "must be a number, not a string",
        ),
        ({"age": pa.array([True]), "rooms": pa.array([1])}, SignatureMismatchError, "not true/false"),
        ({"age": pa.array([[1.0]]), "rooms": pa.array([1])}, MalformedColumnsError, "column 'age' is neither"),
        ({"age": pa.array([], pa.float64()), "rooms": pa.array([], pa.int64())}, EmptyBatchError, "no rows"),
    ],
)
def test_arrow_that_does_not_fit_is_named(columns: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        columns_from_arrow(stream(pa.table(columns)), SIGNATURE)


def test_bytes_that_are_no_arrow_stream_are_refused() -> None:
    whole = stream(pa.table({"age": [1.0], "rooms": [1]}))
    for content in (b"", b"not arrow", whole[:100], whole[:-20]):
        with pytest.raises(MalformedColumnsError, match="no Arrow stream"):
            columns_from_arrow(content, SIGNATURE)


def test_a_frame_with_gaps_in_its_integers_is_taken_where_they_are_none() -> None:
    frame = pd.DataFrame({"age": [1, None], "rooms": [3.0, 4.0], "job": [None, "nurse"], "label": [0, 1]})
    columns, rows = columns_from_frame(frame, SIGNATURE)
    assert (rows, columns["rooms"].tolist(), columns["job"].tolist()) == (2, [3, 4], [None, "nurse"])
    with pytest.raises(SignatureMismatchError, match="row 1, column 'rooms': is required"):
        columns_from_frame(frame.assign(rooms=[1.0, None]), SIGNATURE)
