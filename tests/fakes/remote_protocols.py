"""What a server of somebody else's reads and writes on HTTP: Open Inference Protocol, MLflow scoring, KServe V1."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tests.fakes.remote_model import Fault, RemoteModel


def described(model: RemoteModel, path: str) -> dict[str, Any] | str | None:
    """Return what a GET of `path` is answered with: JSON, a text, or None where there is no such page."""
    name, version = model.name, model.version
    metadata = {
        "name": name,
        "versions": [version],
        "platform": "scikit-learn",
        "inputs": model.inputs,
        "outputs": model.outputs,
    }
    pages: dict[str, dict[str, Any] | str] = {
        "/v2": {"name": "a server of somebody's", "version": "1.0", "extensions": []},
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
        f"/v2/models/{name}": metadata,
        f"/v2/models/{name}/ready": {"name": name, "ready": True},
        f"/v2/models/{name}/versions/{version}": metadata,
        f"/v2/models/{name}/versions/{version}/ready": {"name": name, "ready": True},
        "/v1/models": {"models": [name]},
        f"/v1/models/{name}": {"name": name, "ready": True},
        "/ping": "\n",
        "/health": "\n",
        "/version": "3.17.2",
    }
    return pages.get(path.rstrip("/"))


def scored(model: RemoteModel, path: str, body: bytes, fault: Fault | None) -> dict[str, Any] | None:
    """Return what a POST is answered with, None where nothing is scored at `path`."""
    infer = (f"/v2/models/{model.name}/infer", f"/v2/models/{model.name}/versions/{model.version}/infer")
    if path in infer:
        request = json.loads(body)
        found = model.score(_tensors_read(model, request["inputs"]), fault)
        return _infer_answer(model, request.get("id"), {} if fault is Fault.NO_OUTPUT else found)
    if path == "/invocations":
        found = model.score(_mlflow_read(model, json.loads(body)), fault)
        return {} if fault is Fault.NO_OUTPUT else {"predictions": _as_list(found)}
    if path == f"/v1/models/{model.name}:predict":
        found = model.score(_rows_read(model, json.loads(body)["instances"]), fault)
        return {} if fault is Fault.NO_OUTPUT else {"predictions": _as_list(found)}
    return None


def _infer_answer(model: RemoteModel, given_id: Any, found: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    outputs = [
        {
            "name": name,
            "shape": list(values.shape),
            "datatype": datatype_of(values),
            "data": _plain(values.ravel()),
        }
        for name, values in found.items()
    ]
    answer = {"model_name": model.name, "model_version": model.version, "outputs": outputs}
    return answer | ({} if given_id is None else {"id": given_id})


def datatype_of(values: NDArray[Any]) -> str:
    """Return the protocol's name of an array's type."""
    return {"i": "INT64", "f": "FP64", "b": "BOOL"}.get(values.dtype.kind, "BYTES")


def _tensors_read(model: RemoteModel, inputs: list[dict[str, Any]]) -> pd.DataFrame:
    columns = {}
    for tensor in inputs:
        values = np.asarray(tensor["data"], dtype=object).ravel()
        if len(values) != math.prod(tensor["shape"]):
            raise ValueError(f"input {tensor['name']} is not of its shape")
        columns[tensor["name"]] = values
    return _checked(model, pd.DataFrame(columns))


def _mlflow_read(model: RemoteModel, body: dict[str, Any]) -> pd.DataFrame:
    ((key, given),) = ((key, given) for key, given in body.items() if key != "params")
    if key == "dataframe_split":
        return _checked(model, pd.DataFrame(given["data"], columns=given["columns"]))
    if key == "inputs" and isinstance(given, dict):
        return _checked(model, pd.DataFrame(given))
    if key in {"dataframe_records", "instances", "inputs"}:
        return _rows_read(model, given)
    raise ValueError("the body has no rows")


def _rows_read(model: RemoteModel, rows: list[Any]) -> pd.DataFrame:
    if all(isinstance(row, dict) for row in rows):
        return _checked(model, pd.DataFrame(rows))
    return pd.DataFrame(rows, columns=list(model.frame))


def _checked(model: RemoteModel, frame: pd.DataFrame) -> pd.DataFrame:
    missing = set(model.frame) - set(frame)
    if missing:
        raise ValueError(f"without column {min(missing)}")
    return frame


def _as_list(found: Mapping[str, NDArray[Any]]) -> list[Any]:
    """Return labels where they are told, else lists of probabilities; the two protocols have room for one."""
    if "predict" not in found:
        return [_plain(row) for row in found["predict_proba"]]
    labels = found["predict"]
    return _plain(labels[:, 0]) if labels.shape[1] == 1 else [_plain(row) for row in labels]


def _plain(values: NDArray[Any]) -> list[Any]:
    is_number = values.dtype.kind == "f"
    return [None if is_number and math.isnan(value) else value for value in values.tolist()]
