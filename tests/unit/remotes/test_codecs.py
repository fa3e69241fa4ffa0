"""Rows arrive as they were sent, whichever protocol carries them: the decoders of our own server read them."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.grpc_tensors import parse_tensors
from bentos.oip_tensors import parse_inputs
from inference.runtime import plain_columns
from inference.scoring_tables import scoring_table
from inference.signature import Column, ColumnType, Signature, Task
from inference.tensors import columns_from_tensors
from remotes import oip_grpc, oip_rest
from remotes.definition import RemoteDefinition, RemoteModel
from remotes.errors import RemoteRefusedError
from remotes.json_rows import encode_instances, encode_mlflow

SIGNATURE = Signature(
    columns=(
        Column(name="amount", type=ColumnType.DOUBLE, nullable=True),
        Column(name="count", type=ColumnType.LONG),
        Column(name="member", type=ColumnType.BOOLEAN),
        Column(name="job", type=ColumnType.STRING),
    ),
    task=Task.OPAQUE,
)
NUMBERS = Signature(
    columns=tuple(Column(name=name, type=ColumnType.DOUBLE) for name in "abc"), task=Task.OPAQUE, matrix=True
)
ROWS = st.lists(
    st.tuples(
        st.floats(-1e100, 1e100) | st.just(float("nan")),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
        st.text(st.characters(codec="utf-8"), max_size=8),
    ),
    min_size=1,
    max_size=20,
)


def remote(protocol: str, signature: Signature = SIGNATURE, **more: Any) -> RemoteModel:
    url = "grpc://there:1" if protocol == "oip-grpc" else "http://there"
    definition = RemoteDefinition.model_validate(
        {
            "url": url,
            "protocol": protocol,
            "model": None if protocol == "mlflow" else "m",
            "outputs": [{"reading": "value"}],
            "layout": "matrix" if signature.matrix else "columns",
            **more,
        }
    )
    return RemoteModel(definition=definition, signature=signature)


def columns_of(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    amounts, counts, members, jobs = zip(*rows, strict=True)
    texts = np.empty(len(rows), dtype=object)
    texts[:] = jobs
    return {
        "amount": np.array(amounts),
        "count": np.array(counts, dtype=np.int64),
        "member": np.array(members),
        "job": texts,
    }


def same(found: Any, expected: dict[str, Any]) -> bool:
    arrays = plain_columns(found)
    return arrays.keys() == expected.keys() and all(
        arrays[name].dtype == values.dtype
        and np.array_equal(arrays[name], values, equal_nan=values.dtype.kind == "f")
        for name, values in expected.items()
    )


@given(ROWS, st.booleans())
def test_rows_arrive_as_json_tensors(rows: list[tuple[Any, ...]], is_tall: bool) -> None:
    columns = columns_of(rows)
    sent = orjson.loads(oip_rest.encode_request(remote("oip", is_tall=is_tall), columns, len(rows)))
    assert same(columns_from_tensors(parse_inputs(sent["inputs"]), SIGNATURE), columns)


@given(ROWS, st.booleans())
def test_rows_arrive_as_raw_tensors(rows: list[tuple[Any, ...]], is_tall: bool) -> None:
    columns = columns_of(rows)
    sent = oip_grpc.encode_request(remote("oip-grpc", is_tall=is_tall), columns, len(rows))
    assert same(columns_from_tensors(parse_tensors(sent), SIGNATURE), columns)


@given(ROWS)
def test_rows_arrive_as_a_table_of_mlflow_s(rows: list[tuple[Any, ...]]) -> None:
    columns = columns_of(rows)
    body = orjson.loads(encode_mlflow(remote("mlflow"), columns, len(rows)))
    assert same(scoring_table(body).columns(SIGNATURE, None), columns)


@given(ROWS)
def test_rows_arrive_as_instances(rows: list[tuple[Any, ...]]) -> None:
    columns = columns_of(rows)
    body = orjson.loads(encode_instances(remote("kserve-v1"), columns))
    assert same(scoring_table(body).columns(SIGNATURE, None), columns)


@given(st.lists(st.tuples(*[st.floats(-1e100, 1e100)] * 3), min_size=1, max_size=20))
def test_a_matrix_arrives_as_one(rows: list[tuple[float, ...]]) -> None:
    columns = {name: np.array(values) for name, values in zip("abc", zip(*rows, strict=True), strict=True)}
    sent = oip_rest.encode_request(remote("oip", NUMBERS), columns, len(rows))
    assert same(columns_from_tensors(parse_inputs(orjson.loads(sent)["inputs"]), NUMBERS), columns)
    raw = oip_grpc.encode_request(remote("oip-grpc", NUMBERS), columns, len(rows))
    assert same(columns_from_tensors(parse_tensors(raw), NUMBERS), columns)
    expected = [list(row) for row in rows]
    assert orjson.loads(encode_mlflow(remote("mlflow", NUMBERS), columns, len(rows))) == {"inputs": expected}
    assert orjson.loads(encode_instances(remote("kserve-v1", NUMBERS), columns)) == {"instances": expected}


@pytest.mark.parametrize(
    ("column", "value", "datatype"),
    [
        ("count", 300, "UINT8"),
        ("count", -1, "UINT64"),
        ("amount", float("nan"), "INT64"),
        ("amount", 1.5, "INT32"),
        ("job", "nurse", "FP64"),
    ],
)
def test_what_a_server_s_datatype_cannot_hold_is_refused_and_never_bent(
    column: str, value: Any, datatype: str
) -> None:
    columns = columns_of([(1.0, 1, True, "nurse")])
    columns[column] = np.array([value], dtype=columns[column].dtype)
    with pytest.raises(RemoteRefusedError, match=column):
        oip_rest.encode_request(remote("oip", datatypes={column: datatype}), columns, 1)


def test_a_missing_text_is_null_in_json_and_refused_where_there_is_no_null() -> None:
    columns = columns_of([(1.0, 1, True, "nurse")])
    columns["job"][0] = None
    sent = orjson.loads(oip_rest.encode_request(remote("oip"), columns, 1))
    assert sent["inputs"][3]["data"] == [None]
    with pytest.raises(RemoteRefusedError, match="job"):
        oip_grpc.encode_request(remote("oip-grpc"), columns, 1)
