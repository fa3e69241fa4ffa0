"""The same rows, with units, ids and protected attributes, in the form of every protocol."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import orjson

from inference.raw_texts import raw_from_texts

INFER, INVOCATIONS, V1 = "/v2/models/credit/infer", "/invocations", "/v1/models/credit:predict"
LENGTH = "Inference-Header-Content-Length"
FEATURES = ("age", "amount", "job")
ATTRIBUTES = ("SEX", "RAC1P")
EXTRAS = {"unit": "fairmind.unit", "id": "fairmind.id"} | {
    name: f"fairmind.protected.{name}" for name in ATTRIBUTES
}

Row = dict[str, Any]
Send = tuple[str, bytes, dict[str, str]]


def flat(row: Row) -> Row:
    """Return a row as protocols have it whose rows are columns."""
    return {name: row[name] for name in FEATURES} | {name: row[key] for key, name in EXTRAS.items()}


def as_predict(rows: list[Row]) -> Send:
    instances = [
        {
            "features": {name: row[name] for name in FEATURES},
            "unit": row["unit"],
            "id": row["id"],
            "protected": {name: row[name] for name in ATTRIBUTES if row[name] is not None},
        }
        for row in rows
    ]
    return "/predict", orjson.dumps({"instances": instances}), {}


def as_json_tensors(rows: list[Row]) -> Send:
    inputs = [
        {
            "name": name,
            "datatype": "FP64" if name in {"age", "amount"} else "BYTES",
            "shape": [len(rows)],
            "data": [flat(row)[name] for row in rows],
        }
        for name in flat(rows[0])
    ]
    return INFER, orjson.dumps({"inputs": inputs}), {}


def as_raw_tensors(rows: list[Row]) -> Send:
    raws = {
        name: np.array([row[name] for row in rows]).tobytes()
        if name in {"age", "amount"}
        else raw_from_texts([flat(row)[name] or "" for row in rows])
        for name in flat(rows[0])
    }
    inputs = [
        {
            "name": name,
            "datatype": "FP64" if name in {"age", "amount"} else "BYTES",
            "shape": [len(rows), 1],
            "parameters": {"binary_data_size": len(raw)},
        }
        for name, raw in raws.items()
    ]
    head = orjson.dumps({"inputs": inputs})
    return INFER, head + b"".join(raws.values()), {LENGTH: str(len(head))}


def as_split(rows: list[Row]) -> Send:
    split = {"columns": list(flat(rows[0])), "data": [list(flat(row).values()) for row in rows]}
    return INVOCATIONS, orjson.dumps({"dataframe_split": split}), {}


def as_records(rows: list[Row]) -> Send:
    records = [{name: value for name, value in flat(row).items() if value is not None} for row in rows]
    return INVOCATIONS, orjson.dumps({"dataframe_records": records}), {}


def as_lists(rows: list[Row]) -> Send:
    return (
        INVOCATIONS,
        orjson.dumps({"inputs": {name: [flat(row)[name] for row in rows] for name in flat(rows[0])}}),
        {},
    )


def as_csv(rows: list[Row]) -> Send:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(flat(rows[0])))
    writer.writeheader()
    writer.writerows(map(flat, rows))
    return INVOCATIONS, text.getvalue().encode(), {"content-type": "text/csv"}


def as_instances(rows: list[Row]) -> Send:
    return V1, orjson.dumps({"instances": list(map(flat, rows))}), {}


OTHERS: Mapping[str, Callable[[list[Row]], Send]] = {
    "JSON tensors": as_json_tensors,
    "raw tensors": as_raw_tensors,
    "split": as_split,
    "records": as_records,
    "lists": as_lists,
    "CSV": as_csv,
    "KServe V1": as_instances,
}
