"""The process of one model: loads it, then answers calls over a socket until the other side closes it.

Run as `python -I child.py DESCRIPTOR PARENT MEMORY` by the interpreter of the model's own environment (Python
3.9 or newer), in which nothing of ours is installed: it imports the standard library, and the
files `child_model.py` and `child_table.py` beside it. Nothing goes over the socket but JSON and raw arrays, because
the other side must be able to read what a stranger's model has written:

    frame := header length (uint32) | payload length (uint64) | header (JSON) | payload
    header["arrays"] := [[dtype, [shape]], …], their bytes little-endian in the payload, each padded to 8 bytes
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import resource
import signal
import socket
import struct
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

_PREFIX = struct.Struct("<IQ")
_PR_SET_PDEATHSIG = 1
_MESSAGE_CHARACTERS = 300


def main() -> None:
    """Serve the model that the first call names."""
    descriptor, parent, memory = (int(argument) for argument in sys.argv[1:4])
    sys.argv[1:] = []
    end_with(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold the rows
    if memory:
        # Not RLIMIT_AS: libraries reserve far more addresses than they ever use.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    model: Any = None
    while True:
        request = _receive(connection)
        if request is None:
            return
        header, payload = request
        try:
            if header["op"] == "load":
                tables = load_beside("child_table").TableMaker
                model = load_beside("child_model").ChildModel(header["specification"], tables)
                gc.collect()
                gc.freeze()
                answer: tuple[dict[str, Any], list[Any]] = {"ready": True}, []
            elif header["op"] == "describe":
                answer = model.describe(), []
            elif header["op"] == "export":
                answer = {"text": model.export()}, []
            else:
                answer = model.answer(header, payload)
        except BaseException as error:  # whatever a model does, its caller hears of it
            if header["op"] != "predict":  # of rows that failed, nothing is written
                traceback.print_exc()
            answer = {"error": _describe_error(error)}, []
        _send(connection, *answer)


def load_beside(name: str) -> ModuleType:
    """Return the module of the file `name`.py beside this one, under a name that hides no module of the model's."""
    spec = importlib.util.spec_from_file_location(f"_fairmind_{name}", Path(__file__).with_name(f"{name}.py"))
    if spec is None or spec.loader is None:
        raise ImportError(f"no file {name}.py beside the child")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone, however that came about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:
        sys.exit(1)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], bytearray] | None:
    prefix = _receive_exactly(connection, _PREFIX.size)
    if prefix is None:
        return None
    header_bytes, payload_bytes = _PREFIX.unpack(prefix)
    header = _receive_exactly(connection, header_bytes)
    payload = _receive_exactly(connection, payload_bytes)
    return None if header is None or payload is None else (json.loads(header), payload)


def _receive_exactly(connection: socket.socket, size: int) -> bytearray | None:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        received = connection.recv_into(view)
        if not received:
            return None
        view = view[received:]
    return buffer


def _send(connection: socket.socket, header: dict[str, Any], arrays: list[Any]) -> None:
    header["arrays"] = [[array.dtype.newbyteorder("<").str, list(array.shape)] for array in arrays]
    parts = []
    for array in arrays:
        raw = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes()
        parts += [raw, b"\0" * (-len(raw) % 8)]
    payload = b"".join(parts)
    told = json.dumps(header, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    connection.sendall(_PREFIX.pack(len(told), len(payload)) + told + payload)


def _describe_error(error: BaseException) -> dict[str, Any]:
    kind = type(error).__name__
    lines = str(error).strip().splitlines()
    return {
        "type": kind,
        "message": lines[0][:_MESSAGE_CHARACTERS] if lines else "",
        # MLflow's own check of the rows against the signature raises its one class for everything.
        "refused": isinstance(error, (TypeError, ValueError)) or kind == "MlflowException",
    }


if __name__ == "__main__":
    main()
