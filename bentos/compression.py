"""Compressed request bodies."""

from __future__ import annotations

import zlib
from typing import Final

from bentos.errors import MalformedRequestError, MediaTypeError, TooLargeError

_GZIP: Final = 31  # zlib's word for a gzip wrapper
_ZLIB: Final = 15
_BARE: Final = -15


def decompress(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Return a body as it was before the `Content-Encoding` it came with; `limit` bounds what it may become.

    Raises:
        MediaTypeError: The encoding is neither gzip nor deflate.
        TooLargeError: The body would be longer than `limit` bytes.
        MalformedRequestError: The body is not what the encoding says.
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
    size = 0
    while body:  # a gzip body may have several members
        stream = zlib.decompressobj(bits)
        try:
            parts.append(stream.decompress(body, limit - size + 1))
        except zlib.error:
            raise MalformedRequestError(f"the body is not {name.decode()}") from None
        size += len(parts[-1])
        if size > limit:
            raise TooLargeError("bytes", limit, "FAIRMIND_BENTOS_MAX_BODY_BYTES")
        if not stream.eof:
            raise MalformedRequestError(f"the body is cut short for {name.decode()}")
        body = stream.unused_data
    return b"".join(parts)
