"""Strings in a raw tensor of the Open Inference Protocol: each a little-endian uint32 length, then its bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inference.arrays import Texts
from inference.errors import MalformedColumnsError

_LENGTH: Final = struct.Struct("<I")
_WORD: Final = 8
_MAX_WORDS: Final = 4  # strings of up to 32 bytes are compared as whole words, longer ones one by one
_FEW: Final = 64  # below it, a plain loop is faster than a dozen calls of numpy
_MULTIPLIERS: Final = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5], dtype=np.uint64
)
_MASKS: Final = np.array([(1 << (8 * size)) - 1 for size in range(9)], dtype=np.uint64)
_TABLE_BITS: Final = 14


def texts_from_raw(raw: bytes, count: int, name: str) -> Texts:
    """Return the `count` strings of the raw tensor of an input called `name`.

    Raises:
        MalformedColumnsError: There are more or fewer strings in it, or one is not UTF-8.
    """
    if count < _FEW:
        return _one_by_one(raw, count, name)
    starts = _starts(raw, count)
    if starts is None:
        return _one_by_one(raw, count, name)
    lengths = np.diff(starts, append=len(raw)) - 4
    words = _words(raw, starts, lengths)
    if words is None:
        return _one_by_one(raw, count, name)
    rows, codes = _alike(words)
    distinct = np.empty(len(rows), dtype=object)
    begins = starts[rows] + 4
    slices = zip(rows.tolist(), begins.tolist(), (begins + lengths[rows]).tolist(), strict=True)
    distinct[:] = [_text(raw[begin:end], row, name) for row, begin, end in slices]
    return Texts(distinct, codes)


def raw_from_texts(texts: Sequence[str]) -> bytes:
    """Return strings as a raw tensor."""
    encoded = {text: _with_length(text.encode()) for text in set(texts)}
    return b"".join([encoded[text] for text in texts])


def _with_length(text: bytes) -> bytes:
    return _LENGTH.pack(len(text)) + text


def _starts(raw: bytes, count: int) -> NDArray[np.intp] | None:
    """Return where each string's length stands, None where that takes a walk from one to the next.

    Short strings without a zero byte need no walk: the three zero bytes of a length below 256 stand nowhere else.
    Whether what was found are the lengths is then proved, since each must lead to the next one.
    """
    if len(raw) < 4 * count or len(raw) < 4:
        return None
    (length,) = _LENGTH.unpack_from(raw)
    if len(raw) == count * (4 + length):
        heads = np.ndarray((count,), dtype="<u4", buffer=raw, strides=(4 + length,))
        if (heads == length).all():
            return np.arange(0, len(raw), 4 + length)
    data = np.frombuffer(raw, dtype=np.uint8)
    zero = data == 0
    starts = np.flatnonzero(zero[1:-2] & zero[2:-1] & zero[3:])
    if len(starts) > count:
        starts = _without_echoes(starts, data)
    if len(starts) != count or starts[0] != 0:
        return None
    leads_on = np.array_equal(starts + 4 + data[starts], np.append(starts[1:], len(raw)))
    return starts if leads_on else None


def _without_echoes(starts: NDArray[np.intp], data: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return places before three zero bytes without those that only the zeros of an empty string's length make.

    An empty string is four zero bytes: the byte before it, and the second to fourth byte of all but the last of
    several in a row, look like the first byte of a length too.
    """
    is_empty = data[starts] == 0
    is_next = np.diff(starts) == 1
    begins = is_empty & ~np.append(False, is_next & is_empty[:-1])
    origin = np.maximum.accumulate(np.where(begins, starts, 0))
    echo_in_run = is_empty & ((starts - origin) % 4 != 0)
    echo_before = ~is_empty & np.append(is_next, False)
    return np.compress(~(echo_in_run | echo_before), starts)


def _words(raw: bytes, starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> NDArray[np.uint64] | None:
    """Return each string padded with zeros, as W words of 8 bytes [W, N]; the last holds the length as well."""
    longest, rows = int(lengths.max()), len(starts)
    count = longest // _WORD + 1
    if count > _MAX_WORDS:
        return None
    padded = raw + bytes(_WORD * (count + 1))
    everywhere: NDArray[np.uint64] = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded, strides=(1,))
    words = np.empty((count, rows), dtype=np.uint64)
    are_even = longest == int(lengths.min())  # then every string is where a step from the one before leads
    for index in range(count):
        first = 4 + _WORD * index
        there = everywhere[first :: 4 + longest][:rows] if are_even else everywhere[starts + first]
        sizes = longest - _WORD * index if are_even else lengths - _WORD * index
        np.bitwise_and(there, _MASKS.take(sizes, mode="clip"), out=words[index])
    # The last byte of the last word is free, since no string fills all of them: "a" and "a\0" are not the same.
    words[-1] |= lengths.astype(np.uint64) << np.uint64(56)
    return words


def _alike(words: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return rows of distinct strings, and for each string which of those rows has an equal one.

    A string may have more than one row: those whose place in the table another string took have one each.
    """
    mixed = words[0] * _MULTIPLIERS[0]
    for word, multiplier in zip(words[1:], _MULTIPLIERS[1:], strict=False):
        mixed ^= word * multiplier
    slots = (mixed >> np.uint64(64 - _TABLE_BITS)).view(np.int64)
    table = np.full(1 << _TABLE_BITS, -1)
    table[slots] = np.arange(words.shape[1])
    used = np.flatnonzero(table >= 0)
    rows = table[used]
    table[used] = np.arange(len(used))
    codes: NDArray[np.intp] = table.take(slots)
    differs = np.zeros(len(codes), dtype=np.bool_)
    for word in words:
        differs |= word[rows].take(codes) != word
    if differs.any():
        others = np.flatnonzero(differs)
        codes[others] = np.arange(len(rows), len(rows) + len(others))
        rows = np.concatenate([rows, others])
    return rows, codes


def _one_by_one(raw: bytes, count: int, name: str) -> Texts:
    known: dict[bytes, int] = {}
    texts: list[str] = []
    codes: list[int] = []
    end = 0
    unpack, find, take = _LENGTH.unpack_from, known.get, codes.append
    try:
        for row in range(count):
            (length,) = unpack(raw, end)
            start = end + 4
            end = start + length
            text = raw[start:end]
            code = find(text)
            if code is None:
                code = known[text] = len(texts)
                texts.append(_text(text, row, name))
            take(code)
    except struct.error:
        end = -1
    if end != len(raw):
        raise MalformedColumnsError(f"input '{name}' does not hold {count} strings in its {len(raw)} bytes")
    distinct = np.empty(len(texts), dtype=object)
    distinct[:] = texts
    return Texts(distinct, np.array(codes, dtype=np.intp))


def _text(raw: bytes, row: int, name: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise MalformedColumnsError(f"input '{name}', row {row}: is not UTF-8") from None
