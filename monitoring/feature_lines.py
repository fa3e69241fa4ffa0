"""The usual lines of the prediction log as Arrow arrays, read by Arrow itself: a fraction of the work, and no lock
on the interpreter, which shipping needs at the same time.

Usual are lines with features as rows, or all as columns of lists, of the same names and types. Whatever is not is
left to `monitoring.feature_table`, which makes the same tables of any line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import json as pa_json

_SAMPLE: Final = 50
_BLOCK_BYTES: Final = 4_000_000
_TYPES: Final = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
_ROUNDED: Final = 2.0**53
_INTEGER_PREDICTED: Final = re.compile(rb'"predictions":\[(?:[^\]]*,)?-?[0-9]+[,\]]')


class _UnusualError(Exception):
    """The lines are not all of one shape."""


def usual_columns(lines: Sequence[bytes], as_json: Callable[[Any], str | None]) -> dict[str, Any] | None:
    """Return what lines of one model version hold, an array per column: ids, times, variants, predictions, scores
    and features, of the types that `monitoring.feature_table` says. None where they are not of one shape, which
    means nothing else.
    """
    try:
        schema = _schema([orjson.loads(line) for line in lines[:_SAMPLE]])
        parsed = pa_json.read_json(
            pa.BufferReader(b"\n".join(lines)),
            read_options=pa_json.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pa_json.ParseOptions(explicit_schema=schema),
        ).combine_chunks()
        columns = _columns(parsed, schema, as_json)
        _check_doubles(columns, lines)
        return columns
    except (_UnusualError, orjson.JSONDecodeError, pa.ArrowException, LookupError, TypeError, AttributeError):
        return None


def _schema(sample: Sequence[dict[str, Any]]) -> pa.Schema:
    """Return the types that the first lines suggest."""
    features: pa.DataType
    if type(sample[0]["features"]) is dict:
        lists = {name: [one["features"][name] for one in sample] for name in sample[0]["features"]}
        features = pa.struct([(name, pa.list_(_type(values))) for name, values in lists.items()])
    else:
        rows = [row for one in sample for row in one["features"]]
        names = dict.fromkeys(chain.from_iterable(rows))
        features = pa.list_(pa.struct([(name, _type([[row.get(name) for row in rows]])) for name in names]))
    return pa.schema(
        [
            ("request_id", pa.string()),
            ("served_at", pa.float64()),
            ("variant", pa.string()),
            ("positions", pa.list_(pa.int64())),
            ("predictions", pa.list_(_type([one["predictions"] for one in sample]))),
            ("scores", pa.list_(pa.float64())),
            ("features", features),
        ]
    )


def _type(lists: Sequence[Sequence[Any]]) -> pa.DataType:
    kinds = {type(value) for values in lists for value in values} - {type(None)}
    if kinds == {int, float}:
        return pa.float64()
    if len(kinds) > 1:
        raise _UnusualError
    return _TYPES[kinds.pop()] if kinds else pa.bool_()  # lists of nothing but nulls are not read as such


def _columns(parsed: pa.Table, schema: pa.Schema, as_json: Callable[[Any], str | None]) -> dict[str, Any]:
    features = _one(parsed, "features")
    if features.type != schema.field("features").type:
        raise _UnusualError  # there are more features than in the first lines
    positions = _one(parsed, "positions")
    lengths = pc.list_value_length(positions)
    rows = pc.list_parent_indices(positions)
    places = pc.list_flatten(positions)
    served_at = _one(parsed, "served_at")
    if pc.sum(lengths).as_py() != len(rows) or positions.null_count or places.null_count or served_at.null_count:
        raise _UnusualError

    def flat(lists: pa.ListArray) -> pa.Array:
        if lists.null_count or not pc.list_value_length(lists).equals(lengths):
            raise _UnusualError
        return pc.list_flatten(lists)

    scores = _one(parsed, "scores")
    all_null = scores.null_count == len(scores)
    times = np.round(served_at.to_numpy() * 1e6).astype(np.int64)
    ids = _one(parsed, "request_id").take(rows)
    columns = {
        "ids": pc.binary_join_element_wise(ids, places.cast(pa.string()), "-"),
        "times": pa.array(times).cast(pa.timestamp("us", tz="UTC")).take(rows),
        "variants": _one(parsed, "variant").take(rows),
        "predictions": _predictions(flat(_one(parsed, "predictions")), as_json),
        "scores": pa.nulls(len(rows), pa.float64()) if all_null else flat(scores),
    }
    if pa.types.is_struct(features.type):
        by_name = {field.name: flat(array) for field, array in zip(features.type, features.flatten(), strict=True)}
    else:
        rows_of = flat(features)
        by_name = {field.name: array for field, array in zip(rows_of.type, rows_of.flatten(), strict=True)}
    columns["features"] = {name: _nulls_if_all(array) for name, array in by_name.items()}
    return columns


def _check_doubles(columns: dict[str, Any], lines: Sequence[bytes]) -> None:
    """Refuse doubles that may have been integers of which a double does not tell enough: predictions of both kinds
    are JSON texts, and features beyond 2**53 were rounded.
    """
    for values in columns["features"].values():
        if values.type == pa.float64() and pc.any(pc.greater_equal(pc.abs(values), _ROUNDED)).as_py():
            raise _UnusualError
    predictions = columns["predictions"]
    are_whole = predictions.type == pa.float64() and pc.any(pc.equal(pc.trunc(predictions), predictions)).as_py()
    if are_whole and any(map(_INTEGER_PREDICTED.search, lines)):
        raise _UnusualError


def _nulls_if_all(values: pa.Array) -> pa.Array:
    return pa.nulls(len(values)) if values.null_count == len(values) else values


def _predictions(values: pa.Array, as_json: Callable[[Any], str | None]) -> pa.Array:
    if values.type == pa.float64():
        return values
    if values.null_count == len(values):
        return pa.nulls(len(values), pa.float64())
    codes = values.dictionary_encode()
    return pa.array([as_json(value) for value in codes.dictionary.to_pylist()], pa.string()).take(codes.indices)


def _one(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
