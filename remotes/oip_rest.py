"""The Open Inference Protocol over HTTP, as a client."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote

import numpy as np
import orjson

from inference.errors import MalformedColumnsError
from inference.runtime import EncodedColumns
from inference.tensors import tensor_from_json
from remotes.client import Answer, Described, Params, Tensor, said_version, said_versions
from remotes.connection import HttpConnection, parsed
from remotes.definition import RemoteModel
from remotes.errors import RemoteMismatchError
from remotes.oip_inputs import DTYPES, input_tensors

_KINDS: Final[Mapping[str, set[type]]] = {"f": {int, float}, "i": {int}, "u": {int}, "b": {bool}, "O": {str}}
"""The JSON values of each kind of datatype: numpy would turn one kind into another without a word."""


class OipRestClient:
    """A `remotes.client.RemoteClient` for Triton, KServe, MLServer and whoever else speaks V2 over HTTP."""

    def __init__(self, model: RemoteModel) -> None:
        self._model = model
        definition = model.definition
        version = "" if definition.pinned is None else f"/versions/{quote(definition.pinned, safe='')}"
        self._path = f"/v2/models/{quote(definition.model or '', safe='')}{version}"
        self._http = HttpConnection(definition)

    async def score(
        self, columns: EncodedColumns, rows: int, *, seconds: float, params: Params | None = None
    ) -> Answer:
        """Return the answer to the rows; see `RemoteClient`."""
        body = encode_request(self._model, columns, rows, params)
        return decode_answer(await self._http.post(f"{self._path}/infer", body, seconds), rows)

    async def describe(self, *, seconds: float) -> Described:
        """Return the metadata of the model, once it is ready; see `RemoteClient`."""
        await self._http.get(f"{self._path}/ready", seconds)
        return decode_metadata(await self._http.get(self._path, seconds))

    async def close(self) -> None:
        """End its connections."""
        await self._http.close()


def encode_request(model: RemoteModel, columns: EncodedColumns, rows: int, params: Params | None = None) -> bytes:
    """Return the body of an inference request: JSON tensors, NaN and missing texts as null.

    What MLServer has to be told (that these are the columns of a table, that texts are texts) others pass over.
    """
    inputs: list[dict[str, Any]] = []
    for name, datatype, shape, values in input_tensors(model, columns, rows):
        # A list is quicker than an array that the encoder takes apart, while it is short.
        is_plain = values.size <= 16 or values.dtype.kind == "O" or values.dtype == np.float16
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if datatype == "BYTES":
            tensor["parameters"] = {"content_type": "str"}
        tensor["data"] = values.tolist() if is_plain else np.ascontiguousarray(values)
        inputs.append(tensor)
    parameters = dict(params or {})
    if model.definition.layout == "columns":
        parameters.setdefault("content_type", "pd")
    body: dict[str, Any] = {"inputs": inputs}
    if parameters:
        body["parameters"] = parameters
    if wanted := model.definition.output_names:
        body["outputs"] = [{"name": name} for name in wanted]
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def decode_answer(content: bytes, rows: int) -> Answer:
    """Return the outputs of an inference response, each an array with one entry per row.

    Raises:
        RemoteMismatchError: It is none, or an output has other rows or does not fit its own shape.
    """
    body = parsed(content)
    if type(body) is not dict or type(body.get("outputs")) is not list:
        raise RemoteMismatchError("it has no list of outputs")
    outputs: dict[str | None, Any] = {}
    for output in body["outputs"]:
        try:
            name, datatype, shape = output["name"], output["datatype"], output["shape"]
            outputs[str(name)] = _values(str(name), datatype, shape, output["data"], rows)
        except (KeyError, TypeError):
            raise RemoteMismatchError("an output lacks its name, datatype, shape or data") from None
    return Answer(outputs, said_version(body.get("model_version")))


def _values(name: str, datatype: str, shape: list[Any], data: Any, rows: int) -> Any:
    if type(shape) is not list or not shape or any(type(size) is not int or size < 0 for size in shape):
        raise RemoteMismatchError(f"output '{name}' has no shape")
    if type(data) is not list or shape[0] != rows or len(shape) > 2:
        raise RemoteMismatchError(f"output '{name}' has the shape {shape} for {rows} rows")
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise RemoteMismatchError(f"output '{name}' has an unknown datatype")
    try:
        flat = list(cast("list[Any]", tensor_from_json(name, datatype, shape, data).values))
        if dtype.kind == "f" and None in flat:  # how NaN is written
            flat = [np.nan if value is None else value for value in flat]
        if not set(map(type, flat)) <= _KINDS[dtype.kind]:
            raise ValueError(datatype)
        return np.asarray(flat, dtype=np.float64 if dtype.kind == "f" else dtype).reshape(shape)
    except (MalformedColumnsError, ValueError, OverflowError):
        raise RemoteMismatchError(f"output '{name}' does not fit its own datatype and shape") from None


def decode_metadata(content: bytes) -> Described:
    """Return what the metadata say.

    Raises:
        RemoteMismatchError: They are none.
    """
    body = parsed(content)
    if type(body) is not dict:
        raise RemoteMismatchError("its metadata are no object")
    versions = said_versions(body.get("versions"))
    try:
        inputs, outputs = (tuple(map(_tensor, body.get(part) or ())) for part in ("inputs", "outputs"))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise RemoteMismatchError("its metadata describe a tensor without its name, datatype or shape") from None
    return Described(versions, inputs, outputs)


def _tensor(found: Mapping[str, Any]) -> Tensor:
    parameters = found.get("parameters") or {}
    classes = parameters.get("classes")
    if type(classes) is str:
        with contextlib.suppress(orjson.JSONDecodeError):
            classes = orjson.loads(classes)
    known = tuple(classes) if type(classes) is list else ()
    return Tensor(str(found["name"]), str(found["datatype"]), tuple(map(int, found["shape"])), known)
