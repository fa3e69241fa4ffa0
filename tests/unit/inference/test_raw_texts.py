"""Strings in raw tensors: whatever the fast way finds is what a walk from one to the next finds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.errors import MalformedColumnsError
from inference.raw_texts import raw_from_texts, texts_from_raw

FEW = st.sampled_from(
    ["", "a", "ab", "a\0", "\0", "\0\0\0", "\0\0\0\0", "Köln", "x" * 7, "x" * 8, "y" * 31, "z" * 40]
)
PLAIN = st.sampled_from(["", "", "clerk", "nurse", "ü", "unemployed person", "x" * 255])


def walk(raw: bytes, count: int) -> list[str]:
    found = []
    for _ in range(count):
        (length,) = struct.unpack_from("<I", raw)
        assert len(raw) >= 4 + length
        found.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    assert raw == b""
    return found


@pytest.mark.parametrize("repeats", [1, 70])
@given(texts=st.lists(FEW, min_size=1, max_size=8) | st.lists(PLAIN, min_size=1, max_size=8) | st.lists(st.text()))
@example(texts=[""])
@example(texts=["\x01"])
@example(texts=["a", "", "", "b", ""])
def test_strings_come_back_as_they_were(repeats: int, texts: list[str]) -> None:
    texts = texts * repeats
    raw = raw_from_texts(texts)
    assert walk(raw, len(texts)) == texts
    assert texts_from_raw(raw, len(texts), "x").array().tolist() == texts


def test_many_different_strings_come_back_as_they_were() -> None:
    texts = [f"customer {number}" for number in range(20_000)]
    assert texts_from_raw(raw_from_texts(texts), len(texts), "x").array().tolist() == texts


@given(raw=st.binary(max_size=400), zeros=st.integers(0, 300), count=st.integers(0, 100))
def test_bytes_that_are_no_strings_are_refused_and_nothing_else_happens(raw: bytes, zeros: int, count: int) -> None:
    content = raw + bytes(zeros)
    try:
        expected = walk(content, count)
    except (struct.error, AssertionError, UnicodeDecodeError):
        with pytest.raises(MalformedColumnsError, match="input 'x'"):
            texts_from_raw(content, count, "x")
    else:
        assert texts_from_raw(content, count, "x").array().tolist() == expected


@pytest.mark.parametrize("place", [0, 99])
def test_a_string_that_is_not_utf8_is_named_by_row(place: int) -> None:
    texts = ["abc"] * 100
    raw = bytearray(raw_from_texts(texts))
    raw[7 * place + 4] = 0xFF
    with pytest.raises(MalformedColumnsError, match=f"input 'x', row {place}: is not UTF-8"):
        texts_from_raw(bytes(raw), 100, "x")
