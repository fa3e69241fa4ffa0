"""Compressed request bodies."""

from __future__ import annotations

import zlib
from typing import Final

from bentos.errors import MalformedRequestError, MediaTypeError, TooLargeError

_GZIP: Final = 31  # zlib's word for a gzip wrapper
_ZLIB: Final = 15
_BARE: Final = -15
_PIECE: Final = 65_536
_MOST_MEMBERS: Final = 1_000
"""A gzip body may have several members; millions of empty ones would keep a worker busy for hours."""


def decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Return a body as it was before the `Content-Encoding` it came with; `limit` bounds what it may become.

    Raises:
        MediaTypeError: The encoding is neither gzip nor deflate.
        TooLargeError: The body would be longer than `limit` bytes.
        MalformedRequestError: The body is not what the encoding says, or is of too many parts.
    """
    name = encoding.strip().lower()
    if name in {b"identity", b""}:
        return body
    if name in {b"gzip", b"x-gzip"}:
        bits = _GZIP
    elif name == b"deflate":
        # RFC 9110 means the zlib format; some clients send the bare stream that it wraps.
        has_wrapper = body[:1] == b"\x78" and int.from_bytes(body[:2]) % 31 == 0
        bits = _ZLIB if has_wrapper else _BARE
    else:
        raise MediaTypeError("the content encodings gzip and deflate")
    parts: list[bytes] = []
    size = members = 0
    stream = None
    # Piece by piece, since each member's end copies what is left of its piece.
    for start in range(0, len(body), _PIECE):
        piece = body[start : start + _PIECE]
        while piece:
            if stream is None or stream.eof:
                stream = zlib.decompressobj(bits)
                members += 1
            if members > _MOST_MEMBERS:
                raise MalformedRequestError(f"the body has more than {_MOST_MEMBERS:,} {name.decode()} members")
            try:
                parts.append(stream.decompress(piece, limit - size + 1))
            except zlib.error:
                raise MalformedRequestError(f"the body is not {name.decode()}") from None
            size += len(parts[-1])
            if size > limit:
                raise TooLargeError("bytes", limit, "FAIRMIND_BENTOS_MAX_BODY_BYTES")
            piece = stream.unused_data
    if stream is not None and not stream.eof:
        raise MalformedRequestError(f"the body is cut short for {name.decode()}")
    return b"".join(parts)
