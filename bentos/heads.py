"""The head of a plain prediction request: request line and headers, taken apart once and then known again."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

# Strict on purpose: what this does not match to the letter is left to uvicorn's parser.
_HEAD: Final = re.compile(
    rb"POST (/predict|/invocations"
    rb"|/v2/models/[\w.~@-]+(?:/versions/[\w.-]+)?/infer"
    rb"|/models/[\w.~@-]+(?:/versions/[\w.-]+)?/invocations"
    rb"|/v1/models/[\w.~@-]+(?:/versions/[\w.-]+)?:predict) HTTP/1\.1\r\n"
    rb"((?:[\w!#$%&'*+.^`|~-]+:[\t\x20-\x7e\x80-\xff]*\r\n){1,100})\r\n"
)
_NOT_PLAIN: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te"})
_MAX_DIGITS: Final = 18
_AUTHORIZATION: Final = b"authorization"
_SPELLED: Final = b"uthorization:"
_VALUE: Final = re.compile(rb"\r\n[Aa]uthorization:[ \t]*([^\r]*)")
_DIGEST_BYTES: Final = 16
_OF_ONE_REQUEST: Final = frozenset(
    {b"cookie", b"x-fairmind-override", b"x-fairmind-unit", b"traceparent", b"tracestate", b"x-request-id"}
)
_MOST_KEPT: Final = 512
_LONGEST_KEPT: Final = 1024


@dataclass(frozen=True, slots=True)
class Head:
    """What stands before the body; names of headers are lower case, and Authorization is not among them.

    `has_authorization` says that there was one, to be read by `authorization_in`.
    """

    path: str
    headers: Mapping[bytes, bytes]
    content_length: int
    has_authorization: bool = False


class KnownHeads:
    """Heads seen before, by their bytes: a client sends the same few again and again.

    One with a key in it is known by its digest, and the key is not kept; one that holds a unit, or what differs
    from request to request, is read anew each time.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, Head] = {}
        self._seed = os.urandom(_DIGEST_BYTES)

    def __len__(self) -> int:
        return len(self._heads)

    def find(self, raw: bytes) -> Head | None:
        """Return the head that `raw` is to its last byte, None where it is that of no plain request."""
        is_spelled = _SPELLED in raw
        name = blake2b(raw, digest_size=_DIGEST_BYTES, key=self._seed).digest() if is_spelled else raw
        head = self._heads.get(name)
        if head is None and (head := parse_head(raw)) is not None and _may_be_kept(raw, head, is_spelled):
            if len(self._heads) >= _MOST_KEPT:
                self._heads.clear()
            self._heads[name] = head
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
    has_authorization = headers.pop(_AUTHORIZATION, None) is not None
    return Head(found[1].decode(), headers, int(length), has_authorization)


def authorization_in(raw: bytes) -> bytes | None:
    """Return the value of a head's header Authorization, None where it has none."""
    found = _VALUE.search(raw)
    if found is None:  # spelled as hardly anybody does
        found = re.search(_VALUE.pattern, raw, re.IGNORECASE)
    return None if found is None else found[1].strip(b" \t")


def _may_be_kept(raw: bytes, head: Head, is_hidden: bool) -> bool:
    return (
        len(raw) <= _LONGEST_KEPT
        and (is_hidden or not head.has_authorization)
        and head.headers.keys().isdisjoint(_OF_ONE_REQUEST)
    )
