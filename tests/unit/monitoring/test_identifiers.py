"""Request ids are UUIDs of version 7 and sort by time."""

from __future__ import annotations

import os
import uuid

from hypothesis import given
from hypothesis import strategies as st

from monitoring.identifiers import RandomEnds, new_request_id, uuid7

times = st.integers(0, 2**48 - 1)
random = st.text("0123456789abcdef", min_size=19, max_size=19)


@given(times, random)
def test_every_id_is_a_uuid_of_version_7_and_tells_its_time(now: int, bits: str) -> None:
    text = uuid7(now, bits)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == now


@given(times, times, random, random)
def test_ids_sort_by_time(one: int, other: int, a: str, b: str) -> None:
    if one < other:
        assert uuid7(one, a) < uuid7(other, b)


def test_new_ids_differ() -> None:
    assert len({new_request_id() for _ in range(10_000)}) == 10_000


def test_a_forked_process_gives_other_ids_than_its_parent() -> None:
    ends = RandomEnds()
    ends.take()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, ends.take().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 100).decode() != ends.take()
    os.close(reading)
    os.close(writing)
