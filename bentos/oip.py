"""Open Inference Protocol (V2) over REST: health, metadata and inference with JSON tensors.

Columns come as one tensor each, shape [N] or [N, 1], in any order. The answer is `prediction` [N] and, for a
classifier, `probabilities` [N, K] in the order of the classes that the metadata names. The unit that decides the
variant travels as the request parameter `unit` or in the header `X-Fairmind-Unit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as library_version
from itertools import chain
from typing import Any, Final

import numpy as np
import orjson

from bentos.dataplane import DataPlane, Features, Part, Request
from bentos.errors import MalformedRequestError
from bentos.served import Served, Target
from bentos.wire import Exchange
from inference.columns import columns_from_lists
from inference.runtime import Columns
from inference.signature import ColumnType, Signature

PROTOCOL: Final = "oip"
_DATATYPES: Final[Mapping[ColumnType, str]] = {
    ColumnType.DOUBLE: "FP64",
    ColumnType.LONG: "INT64",
    ColumnType.BOOLEAN: "BOOL",
    ColumnType.STRING: "BYTES",
    ColumnType.ANY: "BYTES",
}
_INTEGERS: Final = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_ACCEPTED: Final[Mapping[ColumnType, frozenset[str]]] = {
    ColumnType.DOUBLE: _INTEGERS | {"FP16", "FP32", "FP64"},
    ColumnType.LONG: _INTEGERS,
    ColumnType.BOOLEAN: frozenset({"BOOL"}),
    ColumnType.STRING: frozenset({"BYTES"}),
    ColumnType.ANY: _INTEGERS | {"FP16", "FP32", "FP64", "BOOL", "BYTES"},
}
_MAX_TEXT: Final = 200


@dataclass(frozen=True, slots=True)
class Inference:
    """A JSON answer and what its headers tell."""

    body: bytes
    model_version: str
    variant: str | None


def status_of(status: int, code: str) -> int:
    """Return the protocol's status for one of ours: rows that do not fit are 400, overload is 429."""
    return {422: 400, 503: 429 if code == "overloaded" else 503}.get(status, status)


def server_metadata() -> dict[str, Any]:
    """Return what `GET /v2` answers."""
    return {"name": "fairmind-serving", "version": library_version("fairmind-serving"), "extensions": []}


def model_metadata(target: Target) -> dict[str, Any]:
    """Return what `GET /v2/models/{m}` answers: tensors from the version's signature, classes as a parameter."""
    served = target.served
    variant = target.pinned or served.champion
    signature = variant.batcher.model.signature
    outputs: list[dict[str, Any]] = [
        {"name": "prediction", "datatype": _prediction_datatype(signature), "shape": [-1]}
    ]
    if signature.classes:
        outputs.append(
            {
                "name": "probabilities",
                "datatype": "FP64",
                "shape": [-1, len(signature.classes)],
                "parameters": {"classes": list(signature.classes)},
            }
        )
    return {
        "name": served.model,
        "versions": versions(served),
        "platform": "scikit-learn",
        "inputs": [
            {"name": column.name, "datatype": _DATATYPES[column.type], "shape": [-1]}
            for column in signature.columns
        ],
        "outputs": outputs,
    }


def versions(served: Served) -> list[str]:
    """Return the versions of a model that can be asked for."""
    return [variant.version for variant in served.variants()]


async def infer(plane: DataPlane, target: Target, body: Any, exchange: Exchange, *, unit: str | None) -> Inference:
    """Return the answer to a decoded inference request.

    Raises:
        MalformedRequestError: The body is no inference request, or a tensor does not fit its own shape.
        SignatureMismatchError: The tensors do not fit the model.
        InferenceError: The rows cannot be answered now.
    """
    if type(body) is not dict or type(body.get("inputs")) is not list or not body["inputs"]:
        raise MalformedRequestError("the body must be an object with a non-empty list 'inputs'")
    tensors, datatypes, rows = _tensors(body["inputs"])
    parameters = body.get("parameters") or {}
    if type(parameters) is not dict:
        raise MalformedRequestError("'parameters' must be an object")
    unit = parameters.get("unit", unit)
    if unit is not None and (type(unit) is not str or not 0 < len(unit) <= _MAX_TEXT):
        raise MalformedRequestError(f"the unit must be a string of 1 to {_MAX_TEXT} characters")
    given_id = body.get("id")
    if given_id is not None and (type(given_id) is not str or len(given_id) > _MAX_TEXT):
        raise MalformedRequestError(f"'id' must be a string of at most {_MAX_TEXT} characters")
    wanted = _wanted(body.get("outputs"))

    def decode(signature: Signature, _positions: Sequence[int] | None) -> tuple[Columns, Features]:
        for column in signature.columns:
            datatype = datatypes.get(column.name)
            if datatype is not None and datatype not in _ACCEPTED[column.type]:
                expected = _DATATYPES[column.type]
                raise MalformedRequestError(f"input '{column.name}' must be {expected}, not {datatype[:_MAX_TEXT]}")
        return columns_from_lists(tensors, signature)[0], tensors

    request = Request(
        id=exchange.request_id,
        protocol=PROTOCOL,
        rows=rows,
        decode=decode,
        started=exchange.started,
        units=None if unit is None else [unit] * rows,
        caller_ids=[given_id] if rows == 1 and given_id else None,
    )
    part = (await plane.answer(target, request))[0]  # one unit a request, therefore one variant
    return Inference(_encode(target, part, request, given_id, wanted), part.variant.version, part.variant.name)


def _tensors(inputs: Sequence[Any]) -> tuple[dict[str, list[Any]], dict[str, str], int]:
    tensors: dict[str, list[Any]] = {}
    datatypes: dict[str, str] = {}
    rows = 0
    for tensor in inputs:
        if type(tensor) is not dict or type(name := tensor.get("name")) is not str:
            raise MalformedRequestError("every input must be an object with a 'name'")
        short = name[:_MAX_TEXT]
        shape, data, datatype = tensor.get("shape"), tensor.get("data"), tensor.get("datatype")
        if type(datatype) is not str:
            raise MalformedRequestError(f"input '{short}' has no 'datatype'")
        if type(shape) is not list or not all(type(size) is int and size >= 0 for size in shape):
            raise MalformedRequestError(f"input '{short}' has no 'shape' of whole numbers")
        if len(shape) not in {1, 2} or (len(shape) == 2 and shape[1] != 1):
            raise MalformedRequestError(f"input '{short}' must have the shape [N] or [N, 1]")
        if type(data) is not list:
            raise MalformedRequestError(f"input '{short}' has no 'data' list")
        if data and type(data[0]) is list:
            if not all(type(item) is list for item in data):
                raise MalformedRequestError(f"input '{short}' mixes nested and flat data")
            data = list(chain.from_iterable(data))
        if len(data) != shape[0]:
            raise MalformedRequestError(f"input '{short}' has {len(data)} values for shape {shape}")
        if name in tensors:
            raise MalformedRequestError(f"input '{short}' is there twice")
        if tensors and shape[0] != rows:
            first = next(iter(tensors))[:_MAX_TEXT]
            raise MalformedRequestError(f"input '{short}' has {shape[0]} rows, input '{first}' has {rows}")
        tensors[name], datatypes[name] = data, datatype
        rows = shape[0]
    return tensors, datatypes, rows


def _wanted(outputs: Any) -> frozenset[str]:
    known = frozenset({"prediction", "probabilities"})
    if outputs is None or outputs == []:
        return known
    if type(outputs) is not list or not all(type(output) is dict for output in outputs):
        raise MalformedRequestError("'outputs' must be a list of objects")
    names = frozenset(str(output.get("name")) for output in outputs)
    if unknown := names - known:
        raise MalformedRequestError(f"there is no output '{min(unknown)[:_MAX_TEXT]}'")
    return names


def _prediction_datatype(signature: Signature) -> str:
    if not signature.classes:
        return "FP64"
    kinds = {type(label) for label in signature.classes}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


def _encode(target: Target, part: Part, request: Request, given_id: str | None, wanted: frozenset[str]) -> bytes:
    signature = part.variant.batcher.model.signature
    outputs: list[dict[str, Any]] = []
    if "prediction" in wanted:
        datatype = _prediction_datatype(signature)
        outputs.append(
            {
                "name": "prediction",
                "datatype": datatype,
                "shape": [request.rows],
                "data": part.predictions.prediction.tolist(),
            }
        )
    probabilities = part.predictions.probabilities
    if "probabilities" in wanted and probabilities is not None:
        outputs.append(
            {
                "name": "probabilities",
                "datatype": "FP64",
                "shape": list(probabilities.shape),
                "data": np.ascontiguousarray(probabilities).reshape(-1),
            }
        )
    answer: dict[str, Any] = {
        "model_name": target.served.model,
        "model_version": part.variant.version,
        "parameters": {"fairmind_prediction_id": request.id, "fairmind_variant": part.variant.name or ""},
        "outputs": outputs,
    }
    if given_id is not None:
        answer["id"] = given_id
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
