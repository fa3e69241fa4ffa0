"""Every way into the columns gives the same columns, and with them scikit-learn's predictions."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from compilation.compile import compile_model
from inference.arrow import columns_from_arrow
from inference.columns import columns_from_lists, columns_from_rows, concatenate
from inference.delimited import columns_from_csv
from inference.encoded_tensors import json_tensor, raw_tensor
from inference.errors import EmptyBatchError, MalformedColumnsError, SignatureMismatchError
from inference.frames import columns_from_frame, columns_from_scoring, rows_from_columns
from inference.runtime import Columns, plain_columns
from inference.signature import Column, ColumnType, Signature, Task
from inference.tensors import columns_from_tensors, tensor_from_json, tensor_from_raw
from tests.fakes.pipelines import fitted, labels, people

SIGNATURE = Signature(
    columns=(
        Column(name="age", type=ColumnType.DOUBLE, nullable=True),
        Column(name="income", type=ColumnType.DOUBLE),
        Column(name="job", type=ColumnType.STRING, nullable=True),
        Column(name='städt, "b"', type=ColumnType.STRING),
        Column(name="rooms", type=ColumnType.LONG),
        Column(name="owner", type=ColumnType.BOOLEAN),
        Column(name="note", type=ColumnType.STRING, nullable=True, optional=True),
    ),
    task=Task.BINARY,
    classes=(0, 1),
)
NAMES = [column.name for column in SIGNATURE.columns]
TYPES = {column.name: column.type for column in SIGNATURE.columns}
Lists = dict[str, list[Any]]

numbers = st.floats(-1e150, 1e150)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "age": numbers | st.none(),
    "income": numbers,
    "job": st.text(max_size=12) | st.none(),
    NAMES[3]: st.text(max_size=40) | st.sampled_from(["", "a", "a\0", "\0\0\0\0", "Köln", "x" * 32]),
    "rooms": st.integers(-(2**63), 2**63 - 1),
    "owner": st.booleans(),
    "note": st.text(max_size=3) | st.none(),
}


@st.composite
def tables(draw: st.DrawFn) -> Lists:
    rows = draw(st.integers(1, 8))
    table = {name: draw(st.lists(values, min_size=rows, max_size=rows)) for name, values in VALUES.items()}
    repeats = draw(st.sampled_from([1, 1, 1, 20]))  # long enough for what is done to many rows at once
    table = {name: values * repeats for name, values in table.items()}
    if draw(st.booleans()):
        del table["note"]
    return table


def as_rows(table: Lists) -> list[dict[str, Any]]:
    return [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]


def by_rows(table: Lists) -> Columns:
    return columns_from_rows(as_rows(table), SIGNATURE)


def by_lists(table: Lists) -> Columns:
    return columns_from_lists(table, SIGNATURE)[0]


def by_json_tensors(table: Lists) -> Columns:
    tensors = []
    columns = by_rows(table)
    for name, values in table.items():
        json = json_tensor(name, columns[name])
        tensors.append(tensor_from_json(name, json["datatype"], [len(values), 1], [[value] for value in values]))
    return plain_columns(columns_from_tensors(tensors, SIGNATURE))


def by_raw_tensors(table: Lists) -> Columns:
    """Nothing is missing in raw strings: those tensors travel as JSON."""
    tensors = []
    for name, array in by_rows(table).items():
        if name not in table:
            continue
        if None in array.tolist():
            tensors.append(tensor_from_json(name, "BYTES", [len(array)], table[name]))
        else:
            head, raw = raw_tensor(name, array)
            tensors.append(tensor_from_raw(name, head["datatype"], head["shape"], raw))
    return plain_columns(columns_from_tensors(tensors, SIGNATURE))


def by_frame(table: Lists) -> Columns:
    frame = pd.DataFrame(
        {
            name: pd.Series(values, dtype=object if TYPES[name] is ColumnType.STRING else None)
            for name, values in table.items()
        }
    ).astype({"age": float})
    return columns_from_frame(frame, SIGNATURE)[0]


def scoring(shape: str) -> Callable[[Lists], Columns]:
    def decode(table: Lists) -> Columns:
        rows = as_rows(table)
        bodies: dict[str, Any] = {
            "dataframe_split": {"columns": list(table), "data": [list(row.values()) for row in rows]},
            "dataframe_records": rows,
            "instances": rows,
            "inputs": table,
        }
        return columns_from_scoring({shape: bodies[shape], "params": None}, SIGNATURE)[0]

    return decode


def by_positions(table: Lists) -> Columns:
    rows = [[row.get(name) for name in NAMES] for row in as_rows(table)]
    return columns_from_scoring({"instances": rows}, SIGNATURE)[0]


def without_what_csv_cannot_say(table: Lists) -> Lists:
    """An empty cell and an empty string are one in CSV, and pandas writes a NUL that no reader takes."""
    return {
        name: [(value.replace("\0", "") or "-") if isinstance(value, str) else value for value in values]
        for name, values in table.items()
    }


def by_csv(table: Lists) -> Columns:
    stream = io.StringIO()
    frame = pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in table.items()})
    frame.to_csv(stream, index=False, lineterminator="\r\n")
    return columns_from_csv(stream.getvalue().encode(), SIGNATURE)[0]


def by_arrow(table: Lists) -> Columns:
    types = {
        ColumnType.DOUBLE: pa.float64(),
        ColumnType.STRING: pa.string(),
        ColumnType.LONG: pa.int64(),
        ColumnType.BOOLEAN: pa.bool_(),
    }
    arrays = {name: pa.array(values, types[TYPES[name]]) for name, values in table.items()}
    return columns_from_arrow(arrow_stream(pa.table(arrays)), SIGNATURE)[0]


def arrow_stream(table: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)
    return bytes(sink.getvalue())


DECODERS: dict[str, Callable[[Lists], Columns]] = {
    "lists": by_lists,
    "JSON tensors": by_json_tensors,
    "raw tensors": by_raw_tensors,
    "frame": by_frame,
    "dataframe_split": scoring("dataframe_split"),
    "dataframe_records": scoring("dataframe_records"),
    "instances": scoring("instances"),
    "instances by position": by_positions,
    "inputs": scoring("inputs"),
    "Arrow": by_arrow,
}


def assert_equal(found: Columns, expected: Columns) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("decoder", DECODERS)
@given(table=tables())
def test_every_decoder_gives_the_columns_that_rows_give(decoder: str, table: Lists) -> None:
    expected = by_rows(table)
    found = DECODERS[decoder](table)
    assert_equal(found, expected)
    assert all(array.flags.writeable and array.flags.aligned for array in found.values())


@given(table=tables().map(without_what_csv_cannot_say))
def test_csv_gives_the_columns_that_rows_give(table: Lists) -> None:
    assert_equal(by_csv(table), by_rows(table))


@given(table=tables())
def test_columns_become_the_rows_they_came_from(table: Lists) -> None:
    columns = by_rows(table)
    assert_equal(columns_from_rows(rows_from_columns(columns), SIGNATURE), columns)


ENOUGH = people(rows=150, seed=3)
FRAMES = st.integers(0, 10_000).map(lambda seed: people(rows=9, seed=seed))


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return fitted(LogisticRegression(), ENOUGH, labels(ENOUGH))


@pytest.fixture(scope="module")
def compiled(pipeline: Any) -> Any:
    return compile_model(pipeline, ENOUGH)


@given(frame=FRAMES)
def test_whatever_the_decoder_the_answer_is_scikit_learns(
    pipeline: Any, compiled: Any, frame: pd.DataFrame
) -> None:
    signature = compiled.signature
    lists = {name: frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in frame}
    lists = {column.name: lists[column.name] for column in signature.columns}
    rows = as_rows(lists)
    datatypes = {"age": "FP64", "income": "FP64", "member": "BOOL"}
    tensors = [
        tensor_from_json(name, datatypes.get(name, "BYTES"), [len(frame)], values) for name, values in lists.items()
    ]
    stream = io.StringIO()
    frame.to_csv(stream, index=False)
    expected = pipeline.predict_proba(frame)
    for columns in (
        columns_from_rows(rows, signature),
        columns_from_tensors(tensors, signature),
        columns_from_frame(frame, signature)[0],
        columns_from_scoring({"dataframe_records": rows}, signature)[0],
        columns_from_csv(stream.getvalue().encode(), signature)[0],
        columns_from_arrow(arrow_stream(pa.Table.from_pandas(frame, preserve_index=False)), signature)[0],
    ):
        answer = compiled.served().predict(columns, len(frame))
        np.testing.assert_allclose(answer.probabilities, expected, rtol=0, atol=1e-9)


@given(tables=st.lists(tables(), min_size=1, max_size=4), mixed=st.booleans())
def test_requests_that_are_joined_are_their_rows_in_order(tables: list[Lists], mixed: bool) -> None:
    rows = [row for table in tables for row in as_rows(table)]
    parts: list[Columns] = [columns_from_rows([row], SIGNATURE) for row in rows]
    if mixed:  # several rows of one request among the single ones
        parts += [by_lists(table) for table in tables]
        rows += [row for table in tables for row in as_rows(table)]
    joined = plain_columns(concatenate(parts))
    assert_equal(joined, columns_from_rows(rows, SIGNATURE))
    assert_equal(plain_columns(concatenate([joined, joined])), columns_from_rows([*rows, *rows], SIGNATURE))


@given(content=st.binary(max_size=200))
def test_no_bytes_upset_a_decoder(content: bytes) -> None:
    for decode in (columns_from_csv, columns_from_arrow):
        with pytest.raises((MalformedColumnsError, SignatureMismatchError, EmptyBatchError)):
            decode(content, SIGNATURE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "data", "columns"]), inner)
    ),
    max_leaves=12,
)


@given(body=st.dictionaries(st.sampled_from(["dataframe_split", "instances", "inputs"]), json_values, max_size=2))
def test_no_scoring_body_upsets_the_decoder(body: dict[str, Any]) -> None:
    with pytest.raises((MalformedColumnsError, SignatureMismatchError, EmptyBatchError)):
        columns_from_scoring(body, SIGNATURE)


@given(
    datatype=st.sampled_from(["BOOL", "INT8", "UINT64", "FP16", "FP32", "FP64", "BYTES", "BF16"]),
    shape=st.lists(st.integers(0, 5), max_size=3),
    raw=st.binary(max_size=64),
    name=st.sampled_from(["age", "job", "owner", "matrix"]),
)
def test_no_raw_tensor_upsets_the_decoder(datatype: str, shape: list[int], raw: bytes, name: str) -> None:
    with pytest.raises((MalformedColumnsError, SignatureMismatchError, EmptyBatchError)):
        columns_from_tensors([tensor_from_raw(name, datatype, shape, raw)], SIGNATURE)
