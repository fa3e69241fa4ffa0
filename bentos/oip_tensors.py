"""The tensors of an inference request and of its answer, in JSON and in the binary tensor data extension.

With the header `Inference-Header-Content-Length`, that many bytes of the body are the JSON; the data of the tensors
that say `binary_data_size` follow it, in their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from bentos.errors import MalformedRequestError
from bentos.wire import parse_json
from inference.encoded_tensors import json_tensor, raw_tensor
from inference.served_model import Predictions
from inference.signature import Signature, Task
from inference.tensors import (
    DATATYPES,
    Tensor,
    tensor_from_json,
    tensor_from_raw,
    with_base64_decoded,
)

HEADER_LENGTH: Final = b"inference-header-content-length"
PREDICTION, PROBABILITIES = "prediction", "probabilities"
_PLAIN: Final = frozenset({("BYTES", str), ("FP64", float), ("INT64", int), ("BOOL", bool)})
_MAX_TEXT: Final = 200
_MAX_DIGITS: Final = 18
_NOTHING: Final = memoryview(b"")
_JSON_TEXT: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which outputs to answer, and which of them as raw bytes."""

    names: frozenset[str]
    raw: frozenset[str]


_OUTPUTS: Final = frozenset({PREDICTION, PROBABILITIES})
_ALL_JSON: Final = Wanted(_OUTPUTS, frozenset())
_ALL_RAW: Final = Wanted(_OUTPUTS, _OUTPUTS)


def split_body(body: bytes, header_length: bytes | None) -> tuple[Any, memoryview]:
    """Return the JSON value of an inference request, and the raw bytes behind it.

    Raises:
        MalformedRequestError: The JSON part is no JSON, or the header does not say how long it is.
    """
    if header_length is None:
        return parse_json(body), _NOTHING
    is_number = header_length.isdigit() and len(header_length) <= _MAX_DIGITS
    if not is_number or not 0 < (length := int(header_length)) <= len(body):
        raise MalformedRequestError(
            "the header Inference-Header-Content-Length must be the number of bytes of the JSON at the body's start"
        )
    return parse_json(body[:length]), memoryview(body)[length:]


def plain_row(inputs: Sequence[Any]) -> dict[str, Any] | None:
    """Return the row that inputs of one JSON value each make, None where any of them is anything else.

    It is what most clients send, and costs a fifth of what tensors cost. Whatever is unusual, wrong or to be cast
    is left to `parse_inputs`.
    """
    row: dict[str, Any] = {}
    try:
        for tensor in inputs:
            data, shape = tensor["data"], tensor["shape"]
            if len(tensor) != 4 or type(data) is not list or shape != [1] or type(shape[0]) is not int:
                return None
            (value,) = data
            if (tensor["datatype"], type(value)) not in _PLAIN:
                return None
            row[tensor["name"]] = value
    except (KeyError, TypeError, ValueError):
        return None
    return row if len(row) == len(inputs) else None


def parse_inputs(inputs: Sequence[Any], raw: bytes | memoryview = b"") -> list[Tensor]:
    """Return the tensors of a request's list `inputs`.

    Raises:
        MalformedRequestError, MalformedColumnsError: An input is no tensor, or the raw bytes do not fit the inputs.
    """
    tensors: list[Tensor] = []
    start = 0
    for given in inputs:
        if type(given) is not dict or type(name := given.get("name")) is not str:
            raise MalformedRequestError("every input must be an object with a 'name'")
        shape, data, datatype = given.get("shape"), given.get("data"), given.get("datatype")
        if type(datatype) is not str:
            raise MalformedRequestError(f"input '{name[:_MAX_TEXT]}' has no 'datatype'")
        if type(shape) is not list or not _whole(shape):
            raise MalformedRequestError(f"input '{name[:_MAX_TEXT]}' has no 'shape' of whole numbers")
        parameters = given.get("parameters")
        size = None if parameters is None else _raw_size(name, parameters)
        if size is not None:
            if data is not None:
                raise MalformedRequestError(f"input '{name[:_MAX_TEXT]}' has both 'data' and 'binary_data_size'")
            if start + size > len(raw):
                raise MalformedRequestError(f"input '{name[:_MAX_TEXT]}' has more bytes than the body has left")
            tensor = tensor_from_raw(name, datatype, shape, raw[start : start + size])
            start += size
        else:
            if data is None and 0 in shape:  # KServe's client writes null for an empty tensor
                data = []
            if type(data) is not list:
                raise MalformedRequestError(f"input '{name[:_MAX_TEXT]}' has no 'data' list")
            tensor = tensor_from_json(name, datatype, shape, data)
        if parameters is not None and parameters.get("content_type") == "base64" and datatype == "BYTES":
            tensor = with_base64_decoded(tensor)
        tensors.append(tensor)
    if start != len(raw):
        raise MalformedRequestError(f"the body has {len(raw) - start} bytes that belong to no input")
    return tensors


def parse_outputs(outputs: Any, parameters: Mapping[str, Any]) -> Wanted:
    """Return what a request's list `outputs` and its parameters ask for; without the list, everything.

    `probabilities` may be asked of any model, and one without them answers what else was asked for.

    Raises:
        MalformedRequestError: There is no such output, or the request is built otherwise.
    """
    all_raw = _truth(parameters, "binary_data_output", default=False)
    if outputs is None or outputs == []:
        return _ALL_RAW if all_raw else _ALL_JSON
    if type(outputs) is not list or not all(type(output) is dict for output in outputs):
        raise MalformedRequestError("'outputs' must be a list of objects")
    names, raw = set(), set()
    for output in outputs:
        name = str(output.get("name"))
        if name not in _OUTPUTS:
            raise MalformedRequestError(f"there is no output '{name[:_MAX_TEXT]}'")
        names.add(name)
        own = output.get("parameters") or {}
        if type(own) is not dict:
            raise MalformedRequestError(f"the 'parameters' of output '{name}' must be an object")
        if _truth(own, "binary_data", default=all_raw):
            raw.add(name)
    return Wanted(frozenset(names), frozenset(raw))


def describe_inputs(signature: Signature) -> list[dict[str, Any]]:
    """Return the inputs of a model's metadata: one matrix where the model knows no names, else one per column."""
    datatypes = {DATATYPES[column.type] for column in signature.columns}
    if signature.matrix and datatypes <= {"FP64", "INT64"}:
        return [{"name": "input", "datatype": "FP64", "shape": [-1, len(signature.columns)]}]
    return [
        {"name": column.name, "datatype": DATATYPES[column.type], "shape": [-1]} for column in signature.columns
    ]


def describe_outputs(signature: Signature) -> list[dict[str, Any]]:
    """Return the outputs of a model's metadata; the names of classes and of several values are parameters.

    An opaque model's values are announced as BYTES: strings, or JSON text (and the parameter `content_type` "json")
    where they are not all strings. Numbers and truth values in an array of one kind are sent as what they are.
    """
    prediction: dict[str, Any] = {
        "name": PREDICTION,
        "datatype": _prediction_datatype(signature),
        "shape": [-1, len(signature.outputs)] if signature.outputs else [-1],
    }
    if signature.outputs:
        prediction["parameters"] = {"outputs": list(signature.outputs)}
    if not signature.classes:
        return [prediction]
    shape = [-1, len(signature.classes)]
    classes = {"classes": list(signature.classes)}
    return [prediction, {"name": PROBABILITIES, "datatype": "FP64", "shape": shape, "parameters": classes}]


def encode_outputs(
    predictions: Predictions, signature: Signature, wanted: Wanted
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """Return the answer's list `outputs`, and the raw bytes of those that are wanted as such, in their order."""
    outputs: list[dict[str, Any]] = []
    raws: list[bytes] = []
    for name, values, parameters in found_outputs(predictions, signature, wanted.names):
        if name in wanted.raw:
            output, raw = raw_tensor(name, values)
            raws.append(raw)
        else:
            output = json_tensor(name, values)
        if parameters:
            output["parameters"] = output.get("parameters", {}) | parameters
        outputs.append(output)
    return outputs, raws


def found_outputs(
    predictions: Predictions, signature: Signature, names: frozenset[str]
) -> list[tuple[str, NDArray[Any], dict[str, Any]]]:
    """Return those of the outputs called `names` that there are: name, values, and parameters that explain them."""
    found: list[tuple[str, NDArray[Any], dict[str, Any]]] = []
    if PREDICTION in names:
        found.append((PREDICTION, *_answered(predictions.prediction, signature)))
    if PROBABILITIES in names and predictions.probabilities is not None:
        found.append((PROBABILITIES, predictions.probabilities, {}))
    return found


def _whole(shape: Sequence[Any]) -> bool:
    if len(shape) == 1:
        return type(shape[0]) is int and shape[0] >= 0
    return all(type(size) is int and size >= 0 for size in shape)


def _raw_size(name: str, parameters: Any) -> int | None:
    if type(parameters) is not dict:
        raise MalformedRequestError(f"the 'parameters' of input '{name[:_MAX_TEXT]}' must be an object")
    size = parameters.get("binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        raise MalformedRequestError(f"'binary_data_size' of input '{name[:_MAX_TEXT]}' must be a number of bytes")
    return size


def _truth(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name)
    if value is None:
        return default
    if type(value) is not bool:
        raise MalformedRequestError(f"'{name}' must be true or false")
    return value


def _prediction_datatype(signature: Signature) -> str:
    if signature.task is Task.OPAQUE:
        return "BYTES"
    if not signature.classes:
        return "FP64"
    kinds = {type(label) for label in signature.classes}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int}:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


def _answered(values: NDArray[Any], signature: Signature) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return predictions as they are sent, and the parameters that say how to read them."""
    if values.dtype.kind in "biuf":
        return values, {}
    if values.dtype.kind in "USMm":  # fixed-width text, times
        return values.astype(str).astype(object), {}
    flat = values.reshape(-1).tolist()
    if all(type(value) is str for value in flat):
        return values, {}
    texts = np.empty(len(flat), dtype=object)
    if signature.task is not Task.OPAQUE:  # labels of several kinds
        texts[:] = [str(value) for value in flat]
        return texts.reshape(values.shape), {}
    texts[:] = [orjson.dumps(value, default=str, option=_JSON_TEXT).decode() for value in flat]
    return texts.reshape(values.shape), {"content_type": "json"}
