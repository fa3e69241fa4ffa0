"""The head of a plain prediction request: request line and headers, taken apart once and then known again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# Strict on purpose: what this does not match to the letter is left to uvicorn's parser.
_HEAD: Final = re.compile(
    rb"POST (/predict|/v2/models/[\w.~@-]+(?:/versions/[\w.-]+)?/infer) HTTP/1\.1\r\n"
    rb"((?:[\w!#$%&'*+.^`|~-]+:[\t\x20-\x7e\x80-\xff]*\r\n){1,100})\r\n"
)
_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te"})
_MAX_DIGITS: Final = 18
_OF_ONE_REQUEST: Final = frozenset(
    {b"authorization", b"cookie", b"x-fairmind-unit", b"traceparent", b"tracestate", b"x-request-id"}
)
_MOST_KEPT: Final = 512
_LONGEST_KEPT: Final = 1024


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the body; names of headers are lower case."""

    path: str
    headers: Mapping[bytes, bytes]
    content_length: int


class KnownHeads:
    """Heads seen before, by their bytes: a client sends the same few again and again.

    One that holds a secret, a unit, or what differs from request to request is not kept.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, raw: bytes) -> Head | None:
        """Return the head that `raw` is to its last byte, None where it is that of no plain request."""
        head = self._heads.get(raw)
        if head is None and (head := parse_head(raw)) is not None and _may_be_kept(raw, head):
            if len(self._heads) >= _MOST_KEPT:
                self._heads.clear()
            self._heads[raw] = head
        return head


def parse_head(raw: bytes) -> Head | None:
    """Return the head that `raw` is to its last byte, None where it is that of no plain prediction request.

    Plain is HTTP/1.1 with a body of a known length and a connection that stays open.
    """
    found = _HEAD.fullmatch(raw)
    if found is None:
        return None
    lines = found[2].split(b"\r\n")
    headers: dict[bytes, bytes] = {}
    for line in lines[:-1]:
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip(b" \t")
    if len(headers) != len(lines) - 1 or b"host" not in headers or not _NOT_PLAIN.isdisjoint(headers):
        return None
    if headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    length = headers.get(b"content-length", b"")
    if not length.isdigit() or len(length) > _MAX_DIGITS:
        return None
    return Head(found[1].decode(), headers, int(length))


def _may_be_kept(raw: bytes, head: Head) -> bool:
    return len(raw) <= _LONGEST_KEPT and head.headers.keys().isdisjoint(_OF_ONE_REQUEST)
