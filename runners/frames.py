"""What goes over the socket to a model's process and back: JSON and raw arrays, bounded and checked on arrival.

The layout is drawn in `runners/child.py`. What comes back was written by a stranger's code: nothing of it is
executed, and nothing is believed before it has been checked.
"""

from __future__ import annotations

import math
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from runners.errors import RunnerAnswerError

_PREFIX: Final = struct.Struct("<IQ")
_DTYPES: Final = {"<f8": np.dtype("<f8"), "<i8": np.dtype("<i8"), "|b1": np.dtype("|b1")}
_ALIGNMENT: Final = 8

Frame = tuple[dict[str, Any], list[NDArray[Any]]]
"""A header and its arrays (float64, int64 or bool)."""


def write_frame(
    connection: socket.socket, header: Mapping[str, Any], arrays: Sequence[NDArray[Any]], deadline: float
) -> None:
    """Send one frame; `deadline` is on the clock of `time.monotonic`.

    Raises:
        TimeoutError: The deadline passed.
        OSError: The other side is gone.
    """
    parts: list[bytes] = []
    for array in arrays:
        raw = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False).tobytes()
        parts += [raw, b"\0" * (-len(raw) % _ALIGNMENT)]
    described = [[array.dtype.newbyteorder("<").str, list(array.shape)] for array in arrays]
    told = orjson.dumps({**header, "arrays": described})
    payload = b"".join(parts)
    connection.settimeout(_seconds_left(deadline))
    connection.sendall(_PREFIX.pack(len(told), len(payload)) + told + payload)


def read_frame(connection: socket.socket, deadline: float, max_bytes: int) -> Frame:
    """Return the next frame; `deadline` is on the clock of `time.monotonic`.

    Raises:
        TimeoutError: The deadline passed.
        EOFError: The other side closed the socket.
        OSError: The other side is gone.
        RunnerAnswerError: More than `max_bytes` are announced, which are not read, or what came is no frame; the
            other side cannot be talked to any longer.
    """
    header_bytes, payload_bytes = _PREFIX.unpack(_receive_exactly(connection, _PREFIX.size, deadline))
    if header_bytes + payload_bytes > max_bytes:
        raise RunnerAnswerError(f"it is larger than {max_bytes:,} bytes")
    told = _receive_exactly(connection, header_bytes, deadline)
    payload = _receive_exactly(connection, payload_bytes, deadline)
    try:
        header = orjson.loads(told)
        return header, _arrays(header["arrays"], payload)
    except (ValueError, KeyError, TypeError) as error:
        raise RunnerAnswerError("it is damaged") from error


def _arrays(described: list[tuple[str, list[int]]], payload: bytearray) -> list[NDArray[Any]]:
    arrays: list[NDArray[Any]] = []
    start = 0
    for name, shape in described:
        dtype = _DTYPES[name]
        if any(type(size) is not int or size < 0 for size in shape):
            raise ValueError("a shape is made of whole numbers")
        count = math.prod(shape)
        if start + count * dtype.itemsize > len(payload):
            raise ValueError("the payload ends before the array")
        raw = np.frombuffer(payload, dtype, count, start) if count else np.empty(0, dtype)
        arrays.append(raw.reshape(shape))
        start += -(-count * dtype.itemsize // _ALIGNMENT) * _ALIGNMENT
    return arrays


def _receive_exactly(connection: socket.socket, size: int, deadline: float) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        connection.settimeout(_seconds_left(deadline))
        received = connection.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return buffer


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
