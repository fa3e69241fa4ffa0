"""A model that forgives nothing, and requests to it with one thing wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from compilation.compile import compile_model
from inference.raw_texts import raw_from_texts

PREDICT, INFER = "/predict", "/v2/models/strict/infer"
INVOCATIONS, V1 = "/models/strict/invocations", "/v1/models/strict:predict"
LENGTH = "Inference-Header-Content-Length"
SECRET = "Zaphod-Beeblebrox"
GOOD: dict[str, Any] = {"age": 41.5, "count": 3, "member": True, "job": "nurse"}
DATATYPES = {"age": "FP64", "count": "INT64", "member": "BOOL", "job": "BYTES"}
DTYPES = {"age": "<f8", "count": "<i8", "member": "?"}
PLACE = "@here@"


@dataclass(frozen=True)
class Strict:
    """A model with a column of each type, none of which may be missing, and one of numbers alone."""

    folder: Path
    numbers: Path

    def served_by(self, service: Any) -> Any:
        """Return the service, told to serve both, as `strict` and `numbers`."""
        service.serve(self.folder, model="strict")
        service.serve(self.numbers, model="numbers")
        return service


def save_strict(folder: Path) -> Strict:
    """Fit, compile and save both models below `folder`."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": random.normal(40, 10, 300),
            "count": random.integers(0, 9, 300),
            "member": random.random(300) < 0.5,
            "job": random.choice(["nurse", "smith"], 300),
        }
    ).astype({"job": "str"})
    label = (frame["age"] + frame["count"] > 44).astype(int)
    steps = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age", "count"]),
            ("flags", OneHotEncoder(drop="if_binary"), ["member"]),
            ("texts", OneHotEncoder(handle_unknown="error"), ["job"]),
        ]
    )
    model = make_pipeline(steps, LogisticRegression()).fit(frame, label)
    compile_model(model, frame).save(folder / "strict" / "fairmind")
    numbers = frame[["age", "count"]].astype(float)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(numbers, label)
    compile_model(model, numbers).save(folder / "numbers" / "fairmind")
    return Strict(folder / "strict", folder / "numbers")


def logged(home: Path) -> list[bytes]:
    """Return the lines of the log; those that count what was refused come now and then, and are left out."""
    lines = [line for path in sorted((home / "spool").glob("*")) for line in path.read_bytes().splitlines()]
    return [line for line in lines if b'"kind":"refused"' not in line]


def with_value(body: Any, value: bytes) -> bytes:
    """Return a body as JSON with `value`, which need not be JSON, in the place held for it."""
    return orjson.dumps(body).replace(f'"{PLACE}"'.encode(), value)


def rows_body(row: int, rows: int, column: str, value: bytes) -> bytes:
    instances = [{"features": dict(GOOD)} for _ in range(rows)]
    instances[row]["features"][column] = PLACE
    return with_value({"model": "strict", "instances": instances}, value)


def tensors_body(row: int, rows: int, column: str, value: bytes) -> bytes:
    data = {name: [good] * rows for name, good in GOOD.items()}
    data[column][row] = PLACE
    inputs = [
        {"name": name, "datatype": DATATYPES[name], "shape": [rows], "data": values}
        for name, values in data.items()
    ]
    return with_value({"inputs": inputs}, value)


def raw_of(column: str, values: list[Any]) -> bytes:
    return raw_from_texts(values) if column == "job" else np.array(values, dtype=DTYPES[column]).tobytes()


def binary_body(
    rows: int, raw: dict[str, bytes] | None = None, **changed: dict[str, Any]
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a raw request, with other bytes or another head for some of its tensors."""
    raws = {name: raw_of(name, [good] * rows) for name, good in GOOD.items()} | (raw or {})
    inputs = [
        {
            "name": name,
            "datatype": DATATYPES[name],
            "shape": [rows],
            "parameters": {"binary_data_size": len(raws[name])},
        }
        | changed.get(name, {})
        for name in GOOD
    ]
    head = orjson.dumps({"inputs": inputs})
    return head + b"".join(raws.values()), {LENGTH: str(len(head))}


def said(response: httpx.Response, path: str, status: int = 0) -> str:
    """Return the message of a refusal, which must have the shape that the route's protocol gives it."""
    assert 400 <= response.status_code < 500, (response.status_code, response.text)
    assert not status or response.status_code == status, response.text
    if path.endswith("/invocations"):
        assert set(response.json()) == {"error_code", "message"}
        return str(response.json()["message"])
    error = response.json()["error"]
    if path.endswith(("/infer", ":predict")):
        assert set(response.json()) == {"error"}
        assert type(error) is str
        return str(error)
    assert set(error) == {"code", "message", "request_id"}
    return str(error["message"])
