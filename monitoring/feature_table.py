"""Lines of the prediction log as Arrow tables: what was predicted, and from what."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from monitoring.bulk import plain_positions, plain_values
from monitoring.feature_lines import usual_columns

ID: Final = "fairmind.prediction_id"
SERVED_AT: Final = "fairmind.served_at"
VARIANT: Final = "fairmind.variant"
PREDICTION: Final = "fairmind.prediction"
SCORE: Final = "fairmind.score"
OURS: Final = (ID, SERVED_AT, VARIANT, PREDICTION, SCORE)
TIME: Final = pa.timestamp("us", tz="UTC")
AS_JSON: Final = {b"fairmind": b"json"}
"""What the field of a column says whose values are JSON texts."""

_TYPES: Final = frozenset({pa.null(), pa.bool_(), pa.int64(), pa.float64(), pa.string()})

_FEW: Final = 20
_EXACT: Final = 2**53
_USUAL: Final = re.compile(
    rb'\{"request_id":"[^"]*","served_at":[^,]*,("model":"(?:[^"\\]|\\.)*","model_version":"(?:[^"\\]|\\.)*")'
    rb'.*?,"features":(?:(\{)"(?:[^"\\]|\\.)*":\[|(\[)\{")'
)
"""A line with features as lists by name, or as rows; group 1 is its model and version, the next ones tell which."""

Version = tuple[str, str]
"""A model and its version."""


def feature_tables_of(lines: Iterable[bytes]) -> tuple[dict[Version, pa.Table], int]:
    """Return a table per model version of the rows whose features are kept, and how many lines were no records.

    Columns are those of `OURS`, and each feature under its name, null where a row has none of that name.
    `fairmind.prediction` is a double where all predictions are, as a regression's; else a JSON text. Features are
    double, int64, bool or string, the narrowest that holds all their values, null where there are none. Numbers of
    both kinds are doubles; a feature without one such type is a column of JSON texts, and its field says so.
    """
    usual: defaultdict[tuple[bytes, bytes], list[bytes]] = defaultdict(list)
    others: list[bytes] = []
    for line in lines:
        found = _USUAL.match(line)
        if found is None:
            others.append(line)
        else:
            usual[found[1], found[2] or found[3]].append(line)
    tables: dict[Version, list[pa.Table]] = defaultdict(list)
    by_arrow: dict[Version, list[bytes]] = defaultdict(list)
    for (head, _), of_version in usual.items():
        table = None if len(of_version) < _FEW else _usual_table(of_version)
        if table is None:
            others += of_version
        else:
            version = orjson.loads(b"{%b}" % head)
            tables[version["model"], version["model_version"]].append(table)
            by_arrow[version["model"], version["model_version"]] += of_version
    records, refused = _records(others)
    for known, of_known in records.items():
        tables[known].append(_table(of_known))
    lossy = [known for known, parts in tables.items() if not _fit(parts)]
    more, more_refused = _records(chain.from_iterable(by_arrow[known] for known in lossy))
    for known in lossy:
        tables[known] = [_table(records.get(known, []) + more[known])]
    return {version: unified(parts) for version, parts in tables.items()}, refused + more_refused


def _usual_table(lines: Sequence[bytes]) -> pa.Table | None:
    found = usual_columns(lines, _json)
    if found is None:
        return None
    ours = [found[name] for name in ("ids", "times", "variants", "predictions", "scores")]
    features = {name: array for name, array in found["features"].items() if name not in OURS}
    fields = [*_our_fields(ours), *(pa.field(name, array.type) for name, array in features.items())]
    return pa.table([*ours, *features.values()], schema=pa.schema(fields))


def _fit(tables: Sequence[pa.Table]) -> bool:
    # Doubles do not tell 1 from 1.0, as JSON texts do (predictions that are doubles all were), nor every integer.
    schema = unified_schema([table.schema for table in tables])
    for table in tables:
        for have, column in zip(table.schema, table.columns, strict=True):
            want = schema.field(have.name)
            if have.type == pa.float64() and want.metadata == AS_JSON and have.name != PREDICTION:
                return False
            if have.type == pa.int64() and want.type == pa.float64():
                bounds = pc.min_max(column).as_py()
                if max(-bounds["min"], bounds["max"]) > _EXACT:
                    return False
    return True


def _records(lines: Iterable[bytes]) -> tuple[defaultdict[Version, list[dict[str, Any]]], int]:
    """Return the records whose features are kept, by model version, and how many lines were none."""
    records: defaultdict[Version, list[dict[str, Any]]] = defaultdict(list)
    refused = 0
    for line in lines:
        try:
            record = orjson.loads(line)
            plain = _plain(record) if record["features"] else None
            if plain is not None and plain["features"]:
                records[record["model"], record["model_version"]].append(plain)
        except (ValueError, LookupError, TypeError, AttributeError):
            refused += 1
    return records, refused


def unified(tables: Sequence[pa.Table]) -> pa.Table:
    """Return tables with equal or different columns as one; a column without one type becomes one of JSON texts."""
    schema = unified_schema([table.schema for table in tables])
    return pa.concat_tables([conformed(table, schema) for table in tables])


def unified_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the schema of tables put together."""
    fields: dict[str, pa.Field] = {}
    for field in chain.from_iterable(schemas):
        known = fields.get(field.name)
        fields[field.name] = field if known is None else _common(known, field)
    return pa.schema([field.with_nullable(True) for field in fields.values()])


def conformed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return a table with the columns of a schema that its own was put into (`unified_schema`)."""
    columns = [
        _cast(table.column(field.name), table.schema.field(field.name), field)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record whose values are lists, its features as columns."""
    predictions = plain_values(record["predictions"])
    rows = len(predictions)
    features = record["features"]
    if type(features) is dict:
        columns = {name: plain_values(values) for name, values in features.items()}
    else:
        names = dict.fromkeys(chain.from_iterable(features))
        columns = {name: [row.get(name) for row in features] for name in names}
    scores = plain_values(record["scores"])
    if any(len(values) != rows for values in columns.values()) or (scores is not None and len(scores) != rows):
        raise ValueError("a value for each row")
    return {
        "request_id": record["request_id"],
        "served_us": round(record["served_at"] * 1e6),
        "variant": record["variant"],
        "positions": plain_positions(record["positions"], rows),
        "predictions": predictions,
        "scores": [None] * rows if scores is None else scores,
        "features": columns,
    }


def _table(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return the rows of one model version's records, at least one."""
    counts = [len(record["predictions"]) for record in records]
    ids = [f"{record['request_id']}-{position}" for record in records for position in record["positions"]]
    predictions = _joined(record["predictions"] for record in records)
    columns = [
        pa.array(ids, pa.string()),
        pa.array(_repeated((record["served_us"] for record in records), counts), TIME),
        pa.array(_repeated((record["variant"] for record in records), counts), pa.string()),
        _prediction_array(predictions),
        pa.array(_joined(record["scores"] for record in records), pa.float64()),
    ]
    fields = _our_fields(columns)
    names = dict.fromkeys(chain.from_iterable(record["features"] for record in records))
    for name in names:
        if name in OURS:
            continue
        found = [record["features"].get(name) for record in records]
        array, is_json = typed(
            [
                value
                for values, count in zip(found, counts, strict=True)
                for value in (repeat(None, count) if values is None else values)
            ]
        )
        columns.append(array)
        fields.append(pa.field(name, array.type, metadata=AS_JSON if is_json else None))
    return pa.table(columns, schema=pa.schema(fields))


def _our_fields(columns: Sequence[pa.Array]) -> list[pa.Field]:
    return [
        pa.field(name, array.type, metadata=AS_JSON if name == PREDICTION and array.type == pa.string() else None)
        for name, array in zip(OURS, columns, strict=True)
    ]


def typed(values: Sequence[Any]) -> tuple[pa.Array, bool]:
    """Return values as an array, and whether its values are JSON texts."""
    try:  # after a float, Arrow takes a truth value for a number
        array = None if {bool, float} <= set(map(type, values)) else pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        array = None
    if array is not None and array.type in _TYPES:
        return array, False
    return pa.array([_json(value) for value in values], pa.string()), True


def _prediction_array(predictions: Sequence[Any]) -> pa.Array:
    if all(type(value) is float or value is None for value in predictions):
        return pa.array(predictions, pa.float64())
    return pa.array([_json(value) for value in predictions], pa.string())


def _json(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _joined(lists: Iterable[Sequence[Any]]) -> list[Any]:
    return list(chain.from_iterable(lists))


def _repeated(values: Iterable[Any], counts: Iterable[int]) -> list[Any]:
    return list(chain.from_iterable(map(repeat, values, counts)))


def _common(one: pa.Field, other: pa.Field) -> pa.Field:
    """Return the field that holds both."""
    if one.type == other.type and one.metadata == other.metadata:
        return one
    if pa.types.is_null(one.type) or pa.types.is_null(other.type):
        return other if pa.types.is_null(one.type) else one
    if {one.type, other.type} == {pa.int64(), pa.float64()}:
        return pa.field(one.name, pa.float64())
    return pa.field(one.name, pa.string(), metadata=AS_JSON)


def _cast(column: pa.ChunkedArray, have: pa.Field, want: pa.Field) -> pa.ChunkedArray:
    if have.type == want.type and have.metadata == want.metadata:
        return column
    if want.metadata == AS_JSON and have.metadata != AS_JSON:
        return pa.chunked_array([pa.array([_json(value) for value in column.to_pylist()], pa.string())])
    return column.cast(want.type, safe=False)  # integers beyond 2**53 are rounded, as numbers of both kinds are
