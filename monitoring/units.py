"""What stands for a unit in the prediction log."""

from __future__ import annotations

import unicodedata
from hashlib import blake2b


def unit_hash(key: bytes, unit: str) -> str:
    """Return the keyed hash of a unit, the same for all spellings that assignment takes for one.

    >>> unit_hash(b"key", "e\u0301") == unit_hash(b"key", "\u00e9")
    True
    """
    text = unit if unit.isascii() else unicodedata.normalize("NFC", unit)
    return blake2b(text.encode(), key=key, digest_size=16).hexdigest()
