"""A reader of Universal Binary JSON (ubjson.org, draft 12), the form in which XGBoost stores a model by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

_NUMBERS: Final[Mapping[bytes, np.dtype[Any]]] = {
    b"i": np.dtype("i1"),
    b"U": np.dtype("u1"),
    b"I": np.dtype(">i2"),
    b"l": np.dtype(">i4"),
    b"L": np.dtype(">i8"),
    b"d": np.dtype(">f4"),
    b"D": np.dtype(">f8"),
}
_WORDS: Final = {b"Z": None, b"T": True, b"F": False}
_DEEPEST = 100


def read_ubjson(content: bytes) -> Any:
    """Return the value; an array whose type is given once is a numpy array, everything else as `json.loads` has it.

    Raises:
        ValueError: The content is cut off or no such value.
    """
    reader = _Reader(content)
    value = reader.value(reader.marker(), 0)
    if reader.at != len(content):
        raise ValueError("there is more after the value")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, size: int) -> bytes:
        part = self.content[self.at : self.at + size]
        if size < 0 or len(part) != size:
            raise ValueError("the value is cut off")
        self.at += size
        return part

    def marker(self) -> bytes:
        found = self.take(1)
        while found == b"N":
            found = self.take(1)
        return found

    def value(self, marker: bytes, depth: int) -> Any:
        if marker in _NUMBERS:
            return self.number(marker)
        if marker in _WORDS:
            return _WORDS[marker]
        if marker in {b"S", b"H"}:
            return self.text()
        if marker == b"C":
            return self.take(1).decode("ascii")
        if depth > _DEEPEST:
            raise ValueError("the value is nested too deeply")
        if marker == b"[":
            return self.array(depth)
        if marker == b"{":
            return self.members(depth)
        raise ValueError(f"there is no value that starts with {marker!r}")

    def number(self, marker: bytes) -> int | float:
        kind = _NUMBERS[marker]
        value: int | float = np.frombuffer(self.take(kind.itemsize), kind)[0].item()
        return value

    def size(self) -> int:
        marker = self.marker()
        if marker not in _NUMBERS or _NUMBERS[marker].kind == "f":
            raise ValueError("a length is no whole number")
        return int(self.number(marker))

    def text(self) -> str:
        return self.take(self.size()).decode("utf-8")

    def head(self) -> tuple[bytes | None, int | None]:
        """Return the type of all members and their number, where the container names them."""
        kind = count = None
        if self.content[self.at : self.at + 1] == b"$":
            self.take(1)
            kind = self.take(1)
        if self.content[self.at : self.at + 1] == b"#":
            self.take(1)
            count = self.size()
        if kind is not None and count is None:
            raise ValueError("a container has a type and no length")
        return kind, count

    def array(self, depth: int) -> Any:
        kind, count = self.head()
        if kind is not None and count is not None and kind in _NUMBERS:
            dtype = _NUMBERS[kind]
            return np.frombuffer(self.take(count * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))
        values: list[Any] = []
        while count is None or len(values) < count:
            marker = kind or self.marker()
            if marker == b"]" and count is None:
                break
            values.append(self.value(marker, depth + 1))
        return values

    def members(self, depth: int) -> dict[str, Any]:
        kind, count = self.head()
        found: dict[str, Any] = {}
        read = 0
        while count is None or read < count:
            if count is None and self.content[self.at : self.at + 1] == b"}":
                self.take(1)
                break
            name = self.text()
            found[name] = self.value(kind or self.marker(), depth + 1)
            read += 1
        return found
