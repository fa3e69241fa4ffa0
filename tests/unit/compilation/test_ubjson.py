"""The reader of Universal Binary JSON: what was written comes back, what is damaged is refused."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compilation.ubjson import read_ubjson

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def written(value, *, counted: bool) -> bytes:
    if value is None or isinstance(value, bool):
        return {None: b"Z", True: b"T", False: b"F"}[value]
    if isinstance(value, int):
        for marker, form, least, most in (
            ("i", "b", -128, 127),
            ("U", "B", 0, 255),
            ("l", "i", -(2**31), 2**31 - 1),
        ):
            if least <= value <= most:
                return marker.encode() + struct.pack(">" + form, value)
        return b"L" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"D" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"S" + named(value)
    head = b"#" + written(len(value), counted=counted) if counted else b""
    if isinstance(value, list):
        parts = b"".join(written(part, counted=counted) for part in value)
        return b"[" + head + parts + (b"" if counted else b"]")
    parts = b"".join(named(name) + written(part, counted=counted) for name, part in value.items())
    return b"{" + head + parts + (b"" if counted else b"}")


def named(text: str) -> bytes:
    content = text.encode()
    return written(len(content), counted=False) + content


@given(VALUES, st.booleans())
def test_what_was_written_comes_back(value, counted: bool) -> None:
    assert read_ubjson(written(value, counted=counted)) == value


@pytest.mark.parametrize(
    ("marker", "form"), [("i", "b"), ("U", "B"), ("I", "h"), ("l", "i"), ("d", "f"), ("D", "d")]
)
def test_an_array_of_one_type_is_an_array(marker: str, form: str) -> None:
    content = b"[$" + marker.encode() + b"#i\x03" + struct.pack(f">3{form}", 1, 2, 3)
    found = read_ubjson(b"N{i\x01a" + content + b"i\x01bC1}")
    np.testing.assert_array_equal(found["a"], np.array([1, 2, 3], np.dtype(form)))
    assert found["a"].dtype == np.dtype(form)
    assert found["b"] == "1"


@given(VALUES, st.data())
def test_a_part_of_a_value_is_refused(value, data) -> None:
    content = written(value, counted=False)
    with pytest.raises(ValueError):  # noqa: PT011
        read_ubjson(content[: data.draw(st.integers(0, len(content) - 1))])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cut off"),
        (b"TT", "more after"),
        (b"?", "no value that starts"),
        (b"[$i", "type and no length"),
        (b"[$i#d\x00\x00\x00\x00", "no whole number"),
        (b"Si\xff", "cut off"),
        (b"[" * 200, "too deeply"),
    ],
)
def test_damaged_content_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_ubjson(content)
