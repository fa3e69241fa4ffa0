"""The bulk form of the log: raw bytes in the segment, and the same rows in the database as digits would give."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from database.engine import reading
from inference.arrays import Texts
from inference.columns import columns_from_rows
from inference.signature import Column, ColumnType, Signature, Task
from monitoring.bulk import bulk_positions, bulk_repeated, bulk_values, plain_positions, plain_values
from monitoring.bulk_blocks import read_bulk_blocks
from monitoring.feature_table import feature_tables_of
from monitoring.predictions import BULK_ROWS, PredictionRecord, SegmentWriter, encode_record
from monitoring.rows import decode
from monitoring.shipper import Shipper
from monitoring.tables import PREDICTION

ROWS = BULK_ROWS + 1
NUMBERS = np.linspace(0, 1, ROWS)


def values(rows: int) -> dict[str, Any]:
    return {
        "positions": range(rows),
        "predictions": np.arange(rows) % 2,
        "scores": NUMBERS[:rows],
        "features": {
            "age": np.where(np.arange(rows) == 1, math.nan, NUMBERS[:rows]),
            "rooms": np.arange(rows),
            "owner": np.arange(rows) % 2 == 0,
            "job": np.array(["nurse", None] * rows, dtype=object)[:rows],
            "city": Texts(np.array(["Bonn", None, "Köln"], dtype=object), np.arange(rows) % 3),
        },
        "unit_hashes": ["u"] * rows,
        "cohorts": [None] * rows,
    }


def as_lists(given: dict[str, Any]) -> dict[str, Any]:
    """Return the same values as a request of few rows would have them."""
    return {
        "positions": list(given["positions"]),
        "predictions": given["predictions"].tolist(),
        "scores": given["scores"].tolist(),
        "features": {
            name: (values.array() if isinstance(values, Texts) else values).tolist()
            for name, values in given["features"].items()
        },
        "unit_hashes": given["unit_hashes"],
        "cohorts": given["cohorts"],
    }


def test_many_rows_are_written_as_raw_bytes_and_each_string_once(new_record: Any) -> None:
    line = orjson.loads(encode_record(new_record("a", **values(ROWS))))
    assert line["positions"] == {"range": [0, ROWS]}
    assert set(line["scores"]) == {"dtype", "base64"}
    assert line["features"]["age"]["dtype"] == "<f8"
    assert line["features"]["job"][:2] == ["nurse", None]
    assert line["features"]["city"]["distinct"] == ["Bonn", None, "Köln"]
    assert line["features"]["city"]["codes"]["dtype"] == "|u1"
    assert line["unit_hashes"]["distinct"] == ["u"]
    assert list(line)[:2] == ["request_id", "served_at"]  # where the shipper looks for the oldest one


@pytest.mark.parametrize("rows", [1, BULK_ROWS, ROWS])
def test_arrays_and_lists_ship_as_the_same_rows(new_record: Any, rows: int) -> None:
    of_arrays = decode(encode_record(new_record("a", **values(rows))))
    of_lists = decode(encode_record(new_record("a", **as_lists(values(rows)))))
    assert of_arrays.rows is not None
    assert of_lists.rows is not None
    assert of_arrays.rows.predictions == of_lists.rows.predictions
    assert len(of_arrays.rows.predictions) == rows
    assert of_arrays.rows.is_bulk is of_lists.rows.is_bulk is (rows > BULK_ROWS)
    tables = [
        feature_tables_of([encode_record(new_record("a", **form))])[0]
        for form in (values(rows), as_lists(values(rows)))
    ]
    assert tables[0] == tables[1]


def test_the_columns_of_a_single_row_are_logged_as_that_row(new_record: Any) -> None:
    row = {"age": 40.5, "job": "nurse", "rooms": 3}
    types = {"age": ColumnType.DOUBLE, "job": ColumnType.STRING, "rooms": ColumnType.LONG}
    columns = tuple(Column(name=name, type=kind) for name, kind in types.items())
    features = columns_from_rows([row], Signature(columns=columns, task=Task.REGRESSION))
    line = encode_record(new_record("a", features=features)).rstrip()
    (table,) = feature_tables_of([line])[0].values()
    assert table.select(list(row)).to_pylist() == [row]


def test_a_bulk_record_is_in_the_database_once(tmp_path: Path, engine: Engine, new_record: Any) -> None:
    spool = tmp_path / "spool"
    writer = SegmentWriter(spool, segment_bytes=10_000_000, spool_bytes=100_000_000)
    writer.append([new_record("a", **values(ROWS)), new_record("b")])
    assert Shipper(spool, engine).ship().rows == ROWS + 1
    assert Shipper(spool, engine).ship().rows == 0
    with reading(engine) as connection:
        assert connection.execute(select(PREDICTION.c.request_id)).scalars().all() == ["b"]
        (block,) = read_bulk_blocks(connection, ["a", "b", "c"])["a"]
    assert block.prediction_ids() == [f"a-{index}" for index in range(ROWS)]
    assert block.predictions == [index % 2 for index in range(ROWS)]
    assert block.scores == NUMBERS.tolist()
    assert block.unit_hashes == ["u"] * ROWS
    assert (block.model, block.variant, block.protected) == ("credit", "champion", None)


def test_rows_that_a_split_scattered_keep_their_positions(new_record: Any) -> None:
    positions = list(range(0, 2 * ROWS, 2))
    record: PredictionRecord = new_record("a", **values(ROWS) | {"positions": positions})
    line = decode(encode_record(record))
    assert line.rows is not None
    assert [row[0] for row in line.rows.predictions] == [f"a-{position}" for position in positions]


def test_several_values_a_row_keep_their_shape() -> None:
    matrix = np.arange(6.0).reshape(3, 2)
    assert plain_values(orjson.loads(orjson.dumps(bulk_values(matrix)))) == matrix.tolist()


@given(
    dtype=st.sampled_from(["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8", ">f8"]),
    raw=st.lists(st.integers(0, 1), min_size=1, max_size=20),
    step=st.sampled_from([1, 2]),
)
def test_every_array_of_numbers_comes_back_as_its_list(dtype: str, raw: list[int], step: int) -> None:
    array = np.array(raw, dtype=dtype)[::step]
    assert plain_values(orjson.loads(orjson.dumps(bulk_values(array)))) == array.tolist()


@given(
    distinct=st.lists(st.text(max_size=3) | st.none(), min_size=1, max_size=3),
    more=st.sampled_from([0, 253, 254, 255, 256, 70_000]),
    picks=st.lists(st.integers(0, 10**6), min_size=1, max_size=20),
)
def test_strings_by_reference_come_back_as_their_list(
    distinct: list[str | None], more: int, picks: list[int]
) -> None:
    known = np.array([*distinct, *map(str, range(more))], dtype=object)
    texts = Texts(known, np.array([pick % len(known) for pick in [*picks, -1]], dtype=np.intp))
    line = orjson.loads(orjson.dumps(bulk_values(texts), option=orjson.OPT_SERIALIZE_NUMPY))
    assert plain_values(line) == texts.array().tolist()


@given(values=st.lists(st.sampled_from(["a", "b", None]), min_size=1, max_size=5))
def test_strings_that_all_rows_share_are_written_once(values: list[str | None]) -> None:
    told = orjson.loads(orjson.dumps(bulk_repeated(values)))
    assert (type(told) is dict) == (len(set(values)) == 1)
    assert plain_values(told) == values
    assert bulk_repeated(None) is None


@given(positions=st.lists(st.integers(0, 50), min_size=1, unique=True).map(sorted))
def test_positions_come_back_with_or_without_gaps(positions: list[int]) -> None:
    line = orjson.loads(orjson.dumps(bulk_positions(positions)))
    assert plain_positions(line, len(positions)) == positions


def test_a_range_with_gaps_keeps_them() -> None:
    positions = range(3, 3 + 2 * ROWS, 2)
    told = orjson.loads(orjson.dumps(bulk_positions(positions)))
    assert plain_positions(told, ROWS) == list(positions)


def test_what_is_no_array_of_numbers_stays_as_it_is() -> None:
    texts = np.array(["a", "b"], dtype=object)
    assert bulk_values(texts) is texts
    assert bulk_values([1, 2]) == [1, 2]
    assert bulk_values(None) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"predictions": {"dtype": "<f8", "base64": "no base64!"}},
        {"predictions": {"dtype": "|O", "base64": "AAAAAAAAAAA="}},
        {"predictions": {"dtype": "<f8", "base64": "AAA="}},
        {"predictions": {"base64": ""}},
        {"predictions": [1], "positions": {"range": [0, 10**12]}},
        {"predictions": [1], "positions": {"range": ["a", 1]}},
        {"unit_hashes": {"distinct": ["a"], "codes": {"dtype": "<f8", "base64": ""}}},
    ],
)
def test_a_torn_bulk_value_is_a_line_to_put_aside(new_record: Any, wrong: dict[str, Any]) -> None:
    line = orjson.loads(encode_record(new_record("a"))) | wrong
    assert decode(orjson.dumps(line)).rows is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"dtype": "<f8", "base64": 7},
        {"distinct": ["a"], "codes": {"dtype": "|i1", "base64": "/w=="}},
        {"distinct": ["a"], "codes": {"dtype": "|u1", "base64": "AQ=="}},
        {"distinct": 1, "codes": {"dtype": "|u1", "base64": "AA=="}},
        {"distinct": ["a"]},
        [1, 2],
    ],
)
def test_a_torn_bulk_feature_loses_the_features_of_its_record_alone(new_record: Any, wrong: Any) -> None:
    line = orjson.loads(encode_record(new_record("a"))) | {"features": {"age": wrong}}
    tables, refused = feature_tables_of([orjson.dumps(line), encode_record(new_record("b")).rstrip()])
    (table,) = tables.values()
    assert (table.column("fairmind.prediction_id").to_pylist(), refused) == (["b-0"], 1)


def test_rows_with_ids_of_their_caller_are_never_bulk(new_record: Any) -> None:
    given = values(ROWS) | {"caller_ids": [str(row) for row in range(ROWS)]}
    line = decode(encode_record(new_record("a", **given)))
    assert line.rows is not None
    assert not line.rows.is_bulk
