"""The text of a key: `fmk_<public id>_<secret>`, both in hexadecimal digits.

What is kept of it is a plain SHA-256. Slow, salted hashes (bcrypt, argon2) are for secrets that people think up and
others can guess. Nobody goes through 2^256 random ones, at whatever speed; a slow hash would cost every request.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

PREFIX: Final = "fmk_"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_ID_START: Final = len(PREFIX)
_ID_END: Final = _ID_START + 2 * _ID_BYTES


@dataclass(frozen=True, slots=True)
class Token:
    """A key as its owner gets it, once."""

    id: str
    text: str = field(repr=False)

    @property
    def hash(self) -> bytes:
        """What is kept of it."""
        return hash_of(self.text.encode())


def new_token() -> Token:
    """Return a token that nobody else has: 48 random bits to name it, 256 to prove it."""
    key_id = secrets.token_hex(_ID_BYTES)
    return Token(key_id, f"{PREFIX}{key_id}_{secrets.token_hex(_SECRET_BYTES)}")


def hash_of(token: bytes) -> bytes:
    """Return what is kept of a token."""
    return sha256(token).digest()


def id_in(token: bytes) -> bytes:
    """Return what stands in a text where a token has its public id.

    >>> id_in(b"fmk_0123456789ab_c0ffee")
    b'0123456789ab'
    """
    return token[_ID_START:_ID_END]


def as_id(text: str) -> str:
    """Return the public id that a person means, who may have the whole token at hand.

    >>> as_id("fmk_0123456789ab_c0ffee"), as_id("0123456789ab")
    ('0123456789ab', '0123456789ab')
    """
    return text[_ID_START:_ID_END] if text.startswith(PREFIX) else text
