"""The Open Inference Protocol over gRPC, as a client."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import numpy as np
from numpy.typing import NDArray

from inference.arrays import array_of
from inference.errors import MalformedColumnsError
from inference.grpc_messages import SERVICE, ModelInferRequest, ModelInferResponse, message_type
from inference.raw_texts import raw_from_texts
from inference.runtime import EncodedColumns
from inference.tensors import tensor_from_raw
from remotes.client import Answer, Described, Params, Tensor, said_version, said_versions
from remotes.connection import bearer
from remotes.definition import RemoteModel
from remotes.errors import (
    RemoteError,
    RemoteFailedError,
    RemoteMismatchError,
    RemoteRefusedError,
    RemoteTimeoutError,
    RemoteUnavailableError,
)
from remotes.oip_inputs import DTYPES, input_tensors

_Ready: Final = message_type("ModelReadyRequest"), message_type("ModelReadyResponse")
_Metadata: Final = message_type("ModelMetadataRequest"), message_type("ModelMetadataResponse")
_PORTS: Final = {"grpc": 80, "grpcs": 443}
_LONGEST_REASON: Final = 300
_NO_MESSAGE: Final = "it is no message of the protocol"  # for which gRPC gives None, and raises nothing
_TYPED: Final[Mapping[str, str]] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


class OipGrpcClient:
    """A `remotes.client.RemoteClient` for Triton, KServe, MLServer and whoever else speaks V2 over gRPC."""

    def __init__(self, model: RemoteModel) -> None:
        self._model = model
        authorization = bearer(model.definition)
        self._metadata = None if authorization is None else (("authorization", authorization),)
        self._channel: Any = None
        self._infer: Any = None

    async def score(
        self, columns: EncodedColumns, rows: int, *, seconds: float, params: Params | None = None
    ) -> Answer:
        """Return the answer to the rows; see `RemoteClient`."""
        request = encode_request(self._model, columns, rows, params)
        self._open()
        began = time.monotonic()
        try:
            return decode_answer(await self._infer(request, timeout=seconds, metadata=self._metadata), rows)
        except grpc.aio.AioRpcError as error:
            left = seconds - (time.monotonic() - began)
            if error.code() is not grpc.StatusCode.UNAVAILABLE or error.initial_metadata() or left <= 0:
                raise _translated(error, seconds) from error
        try:
            return decode_answer(await self._infer(request, timeout=left, metadata=self._metadata), rows)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, seconds) from error

    async def describe(self, *, seconds: float) -> Described:
        """Return the metadata of the model, once it is ready; see `RemoteClient`."""
        self._open()
        asked = {"name": self._model.definition.model, "version": self._model.definition.pinned or ""}
        ready = await self._call("ModelReady", _Ready, asked, seconds)
        if not ready.ready:
            raise RemoteUnavailableError("says that its model is not ready")
        return _described(await self._call("ModelMetadata", _Metadata, asked, seconds))

    async def close(self) -> None:
        """End its connections."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    def _open(self) -> None:
        if self._channel is not None:
            return
        parts, most = urlsplit(self._model.definition.url), self._model.definition.max_answer_bytes
        address = f"{parts.netloc}" if parts.port else f"{parts.netloc}:{_PORTS[parts.scheme]}"
        options = [
            ("grpc.max_receive_message_length", most),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_retries", 0),  # what may be repeated is decided here
            ("grpc.initial_reconnect_backoff_ms", 250),
            ("grpc.max_reconnect_backoff_ms", 5_000),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
        ]
        if parts.scheme == "grpcs":
            self._channel = grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(), options)
        else:
            self._channel = grpc.aio.insecure_channel(address, options)
        self._infer = self._channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=ModelInferRequest.SerializeToString,
            response_deserializer=ModelInferResponse.FromString,
        )

    async def _call(self, method: str, types: tuple[Any, Any], asked: Mapping[str, Any], seconds: float) -> Any:
        request, response = types
        call = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            answer = await call(request(**asked), timeout=seconds, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise _translated(error, seconds) from error
        if answer is None:
            raise RemoteMismatchError(_NO_MESSAGE)
        return answer


def encode_request(model: RemoteModel, columns: EncodedColumns, rows: int, params: Params | None = None) -> Any:
    """Return a ModelInfer request with raw tensors.

    Raises:
        RemoteRefusedError: A value cannot be sent so: raw bytes have no missing text.
    """
    definition = model.definition
    request = ModelInferRequest(model_name=definition.model, model_version=definition.pinned or "")
    for name, datatype, shape, values in input_tensors(model, columns, rows):
        added = request.inputs.add(name=name, datatype=datatype, shape=shape)
        if datatype != "BYTES":
            request.raw_input_contents.append(values.tobytes())
            continue
        added.parameters["content_type"].string_param = "str"
        texts = values.tolist()
        if None in texts:
            raise RemoteRefusedError(f"column '{name}' has a missing text, which gRPC's raw tensors cannot hold")
        request.raw_input_contents.append(raw_from_texts(texts))
    if definition.layout == "columns":
        request.parameters["content_type"].string_param = "pd"
    for name in definition.output_names:
        request.outputs.add(name=name)
    for name, value in (params or {}).items():
        _set_parameter(request.parameters[name], name, value)
    return request


def _set_parameter(parameter: Any, name: str, value: Any) -> None:
    kinds = {bool: "bool_param", int: "int64_param", float: "double_param", str: "string_param"}
    field = kinds.get(type(value))
    if field is None:
        raise RemoteRefusedError(f"the parameter '{name}' is no text, number or truth value")
    setattr(parameter, field, value)


def decode_answer(response: Any, rows: int) -> Answer:
    """Return the outputs of a ModelInfer response, raw or typed, each an array with one entry per row.

    Raises:
        RemoteMismatchError: An output has other rows, or does not fit its own shape and datatype.
    """
    if response is None:
        raise RemoteMismatchError(_NO_MESSAGE)
    raws = response.raw_output_contents
    if raws and len(raws) != len(response.outputs):
        raise RemoteMismatchError(f"it has {len(raws)} raw outputs of {len(response.outputs)}")
    outputs: dict[str | None, Any] = {}
    for place, output in enumerate(response.outputs):
        shape = list(output.shape)
        if not shape or shape[0] != rows or len(shape) > 2 or any(size < 0 for size in shape):
            raise RemoteMismatchError(f"output '{output.name}' has the shape {shape} for {rows} rows")
        if output.datatype not in DTYPES:
            raise RemoteMismatchError(f"output '{output.name}' has an unknown datatype")
        try:
            flat = _raw(output, shape, raws[place]) if raws else _typed(output)
            outputs[output.name] = flat.reshape(shape)
        except (MalformedColumnsError, ValueError):
            raise RemoteMismatchError(f"output '{output.name}' does not fit its own datatype and shape") from None
    return Answer(outputs, said_version(response.model_version))


def _raw(output: Any, shape: list[int], raw: bytes) -> NDArray[Any]:
    values = tensor_from_raw(output.name, output.datatype, shape, raw).values
    return array_of(values) if not isinstance(values, list) else np.array(values, dtype=object)  # type: ignore[arg-type]  # raw tensors hold arrays or Texts


def _typed(output: Any) -> NDArray[Any]:
    if output.datatype not in _TYPED:
        raise ValueError(output.datatype)
    contents = getattr(output.contents, _TYPED[output.datatype])
    if output.datatype == "BYTES":
        return np.array([value.decode() for value in contents], dtype=object)
    return np.array(contents, dtype=DTYPES[output.datatype])


def _described(found: Any) -> Described:
    inputs, outputs = (
        tuple(Tensor(one.name, one.datatype, tuple(one.shape)) for one in part)
        for part in (found.inputs, found.outputs)
    )
    return Described(said_versions(list(found.versions)), inputs, outputs)


def _translated(error: Any, seconds: float) -> RemoteError:
    code, said = error.code(), (error.details() or "").strip().splitlines()
    match code:
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return RemoteTimeoutError(seconds)
        case grpc.StatusCode.UNAVAILABLE:
            return RemoteUnavailableError("cannot be reached, or takes no requests")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return RemoteUnavailableError("takes no more requests, or the message is too large for one side")
        case grpc.StatusCode.INVALID_ARGUMENT:
            return RemoteRefusedError(said[0][:_LONGEST_REASON] if said else code.name, by_server=True)
    return RemoteFailedError(f"gRPC status {code.name}")
