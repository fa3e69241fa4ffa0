"""The Open Inference Protocol over gRPC, as a server of somebody else's speaks it."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent import futures
from typing import Any, Final

import grpc
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from inference.grpc_messages import SERVICE, message_type
from tests.fakes.remote_model import Fault, RemoteModel
from tests.fakes.remote_protocols import datatype_of

_STATUS: Final = {
    Fault.ERROR: grpc.StatusCode.INTERNAL,
    Fault.BUSY: grpc.StatusCode.UNAVAILABLE,
    Fault.RESET: grpc.StatusCode.UNAVAILABLE,
    Fault.CUT: grpc.StatusCode.UNKNOWN,
    Fault.REFUSAL: grpc.StatusCode.INVALID_ARGUMENT,
    Fault.REDIRECT: grpc.StatusCode.UNIMPLEMENTED,
}
_TYPES: Final = {"INT64": np.int64, "INT32": np.int32, "FP64": np.float64, "FP32": np.float32, "BOOL": np.bool_}
_FIELDS: Final = {
    "INT64": "int64_contents",
    "FP64": "fp64_contents",
    "BOOL": "bool_contents",
    "BYTES": "bytes_contents",
}
_HUGE: Final = 2 << 20

Begin = Callable[[str, dict[str, str]], Fault | None]
"""Told of each call and its metadata, it says what is to go wrong."""


def grpc_server(
    model: RemoteModel, begin: Begin, port: int, *, is_healthy: Callable[[], bool], raw: bool
) -> grpc.Server:
    """Return a server that was started on `port`; `raw` says whether outputs go out as bytes, as Triton's do, or
    typed, as MLServer's."""
    answers: dict[str, Callable[[Any, Any, Fault | None], Any]] = {
        "ServerLive": lambda *_: message_type("ServerLiveResponse")(live=is_healthy()),
        "ServerReady": lambda *_: message_type("ServerReadyResponse")(ready=is_healthy()),
        "ModelReady": lambda *_: message_type("ModelReadyResponse")(ready=is_healthy()),
        "ServerMetadata": lambda *_: message_type("ServerMetadataResponse")(name="somebody's", version="1"),
        "ModelMetadata": lambda *_: _metadata(model),
        "ModelInfer": lambda request, context, fault: _infer(model, fault, request, context, raw=raw),
    }

    def handler(name: str) -> Any:
        def behave(request: Any, context: Any) -> Any:
            return answers[name](request, context, begin(name, dict(context.invocation_metadata())))

        return grpc.unary_unary_rpc_method_handler(behave, message_type(f"{name}Request").FromString, _written)

    handlers = {name: handler(name) for name in answers}
    options = [("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(32), options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server


def _written(answer: Any) -> bytes:
    written: bytes = answer if isinstance(answer, bytes) else answer.SerializeToString()
    return written


def _metadata(model: RemoteModel) -> Any:
    answer = message_type("ModelMetadataResponse")(
        name=model.name, versions=[model.version], platform="scikit-learn"
    )
    for tensor in model.inputs:
        answer.inputs.add(**tensor)
    for tensor in model.outputs:
        answer.outputs.add(**tensor)
    return answer


def _infer(model: RemoteModel, fault: Fault | None, request: Any, context: Any, *, raw: bool) -> Any:
    if fault in _STATUS:
        context.abort(_STATUS[fault], f"it {fault}")
    if request.model_name != model.name or request.model_version not in {"", model.version}:
        context.abort(grpc.StatusCode.NOT_FOUND, "there is no such model")
    if fault is Fault.NOT_JSON:
        return b"\xff\xff a page for people"
    try:
        found = model.score(_frame(request), fault)
    except (KeyError, ValueError):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the rows do not fit")
    response = message_type("ModelInferResponse")
    answer = response(model_name=model.name, model_version=model.version, id=request.id)
    for name, values in ({} if fault is Fault.NO_OUTPUT else found).items():
        datatype = datatype_of(values)
        output = answer.outputs.add(name=name, datatype=datatype, shape=values.shape)
        if raw:
            answer.raw_output_contents.append(_raw(values))
        else:
            contents = [str(value).encode() for value in values.ravel()] if datatype == "BYTES" else values.ravel()
            getattr(output.contents, _FIELDS[datatype]).extend(contents)
    if fault is Fault.HUGE:
        answer.parameters["padding"].string_param = " " * _HUGE
    return answer


def _raw(values: NDArray[Any]) -> bytes:
    if values.dtype.kind in "ifb":
        return values.tobytes()
    texts = [str(value).encode() for value in values.ravel()]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def _frame(request: Any) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for place, given in enumerate(request.inputs):
        if request.raw_input_contents:
            values = _unpacked(given.datatype, request.raw_input_contents[place])
        else:
            ((_, filled),) = given.contents.ListFields()
            values = [value.decode() if isinstance(value, bytes) else value for value in filled]
        if len(values) != math.prod(given.shape):
            raise ValueError(f"input {given.name} is not of its shape")
        columns[given.name] = values
    return pd.DataFrame(columns)


def _unpacked(datatype: str, raw: bytes) -> Any:
    if datatype != "BYTES":
        return np.frombuffer(raw, dtype=_TYPES[datatype])
    texts, place = [], 0
    while place < len(raw):
        end = place + 4 + int.from_bytes(raw[place : place + 4], "little")
        texts.append(raw[place + 4 : end].decode())
        place = end
    return texts
