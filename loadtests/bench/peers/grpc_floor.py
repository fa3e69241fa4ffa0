"""The floor of gRPC: a bare `grpc.aio` server that decodes, runs the compiled model and encodes, on uvloop.

No queue, no assignment, no log, no metrics, no limits. `python -m loadtests.bench.peers.grpc_floor HTTP GRPC`: the
first port answers any request, so that one can wait for the second.
"""

from __future__ import annotations

import asyncio
import gc
import os
import struct
import sys
from pathlib import Path
from typing import Any

import grpc
import uvloop

from inference.columns import columns_from_rows
from inference.loading import load_model
from loadtests.bench.grpc_bodies import METHOD, message_types

_READY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_UNPACK = {
    "FP64": struct.Struct("<d").unpack,
    "INT64": struct.Struct("<q").unpack,
    "BOOL": struct.Struct("?").unpack,
}


async def serve(http_port: int, grpc_port: int) -> None:
    """Serve until the process is ended."""
    model = load_model(Path(os.environ["BENCH_MODEL_FOLDER"]) / "fairmind")
    request_type, response_type = message_types()

    async def infer(request: Any, _context: Any) -> Any:
        row = {
            given.name: raw[4:].decode() if given.datatype == "BYTES" else _UNPACK[given.datatype](raw)[0]
            for given, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        predictions = model.predict(columns_from_rows([row], model.signature), 1)
        answer = response_type(model_name=request.model_name, model_version="1", id=request.id)
        answer.outputs.add(name="prediction", datatype="INT64", shape=[1])
        answer.raw_output_contents.append(predictions.prediction.tobytes())
        if predictions.probabilities is not None:
            answer.outputs.add(name="probabilities", datatype="FP64", shape=predictions.probabilities.shape)
            answer.raw_output_contents.append(predictions.probabilities.tobytes())
        return answer

    service, _, method = METHOD.strip("/").rpartition("/")
    handler = grpc.unary_unary_rpc_method_handler(infer, request_type.FromString, response_type.SerializeToString)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    gc.collect()
    gc.freeze()
    await asyncio.start_server(_answer_ready, "127.0.0.1", http_port)
    await server.wait_for_termination()


async def _answer_ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(_READY)
    await writer.drain()
    writer.close()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
