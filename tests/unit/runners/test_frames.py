"""What a stranger's process sends is read within bounds, or refused; what is sent arrives."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from runners.errors import RunnerAnswerError
from runners.frames import read_frame, write_frame

DTYPES = st.sampled_from([np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.bool_)])
ARRAYS = st.lists(DTYPES.flatmap(lambda dtype: arrays_of.arrays(dtype, arrays_of.array_shapes(min_side=0))))
TEXTS = st.dictionaries(st.text(), st.none() | st.text() | st.integers(-(2**53), 2**53))


def soon() -> float:
    return time.monotonic() + 5


@given(header=TEXTS, arrays=ARRAYS)
def test_what_is_sent_arrives(header: dict[str, Any], arrays: list[np.ndarray[Any, Any]]) -> None:
    header.pop("arrays", None)
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        sending = threading.Thread(target=write_frame, args=(ours, header, arrays, soon()))
        sending.start()
        told, received = read_frame(theirs, soon(), 1_000_000)
        sending.join()
    del told["arrays"]
    assert told == header
    assert [array.dtype for array in received] == [array.dtype for array in arrays]
    for one, other in zip(received, arrays, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture
def sent() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        yield ours, theirs


def frame(header: Any, payload: bytes = b"") -> bytes:
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<IQ", len(told), len(payload)) + told + payload


@pytest.mark.parametrize(
    "content",
    [
        frame(b"not JSON"),
        frame(b"[1, 2"),
        frame({"answer": 1}),
        frame([1]),
        frame({"arrays": 3}),
        frame({"arrays": [["<f8", [2]]]}, bytes(8)),
        frame({"arrays": [["<f8", [-1]]]}, bytes(8)),
        frame({"arrays": [["<f8", [1.0]]]}, bytes(8)),
        frame({"arrays": [["|O", [1]]]}, bytes(8)),
        frame({"arrays": [["<f8"]]}, bytes(8)),
        frame({"arrays": [["<i8", [2**40, 2**40]]]}, bytes(8)),
        frame(b"[" * 100_000),
    ],
)
def test_what_is_no_frame_is_refused(sent: tuple[socket.socket, socket.socket], content: bytes) -> None:
    ours, theirs = sent
    ours.sendall(content)
    with pytest.raises(RunnerAnswerError, match="damaged"):
        read_frame(theirs, soon(), 1_000_000)


def test_more_than_is_read_is_refused_before_it_comes(sent: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sent
    ours.sendall(struct.pack("<IQ", 10, 2**60))
    with pytest.raises(RunnerAnswerError, match="larger than 1,000 bytes"):
        read_frame(theirs, soon(), 1_000)


def test_half_a_frame_is_not_waited_for_beyond_the_deadline(sent: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = sent
    ours.sendall(frame({"arrays": []})[:-3])
    with pytest.raises(TimeoutError):
        read_frame(theirs, time.monotonic() + 0.05, 1_000)
    ours.close()
    with pytest.raises(EOFError):
        read_frame(theirs, soon(), 1_000)
