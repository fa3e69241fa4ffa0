"""Which variant a unit is assigned to: a pure function of salt, unit and weight, the same on every replica.

    h(unit) = first 8 bytes, big endian, of SHA-256("v1" 0x1f "arm" 0x1f salt 0x1f NFC(unit))
    T(w)    = floor(w * 2^64 / 10,000)            w in basis points, integers only
    challenger      h <  T(w)
    control         2^63 <= h < 2^63 + T(w)       answered by the champion, compared with the challenger
    champion only   otherwise, in no comparison

Raising a weight never takes a unit away from the challenger or from the control, and below one half nobody
changes between the two. Two salts give independent assignments.
"""

from __future__ import annotations

import hashlib
import unicodedata
from enum import StrEnum

MAX_WEIGHT_BP = 5_000
"""Largest challenger weight, in basis points, at which a control cohort of equal size exists."""

_HALF = 1 << 63
_PREFIX = b"v1\x1farm\x1f"


class Cohort(StrEnum):
    """Where a unit stands in a comparison."""

    CHALLENGER = "challenger"
    CONTROL = "control"
    CHAMPION_ONLY = "champion_only"


def hash_unit(salt: str, unit: str) -> int:
    """Return the unit's place in [0, 2^64); composed and decomposed spellings of a text have the same place.

    >>> hex(hash_unit("r-001", "alice"))
    '0xe3967ca3013b088e'
    """
    text = unit if unit.isascii() else unicodedata.normalize("NFC", unit)
    digest = hashlib.sha256(_PREFIX + salt.encode() + b"\x1f" + text.encode()).digest()
    return int.from_bytes(digest[:8], "big")


def threshold(weight_bp: int) -> int:
    """Return T(w), the number of places that belong to a share of `weight_bp` basis points."""
    return weight_bp * (1 << 64) // 10_000


def cohort(place: int, weight_bp: int) -> Cohort:
    """Return the cohort of a unit at `place` when the challenger has `weight_bp` (0 to 5,000) of the units.

    0 leaves everybody with the champion, in no comparison; 5,000 puts everybody into one.
    """
    width = threshold(weight_bp)
    if place < width:
        return Cohort.CHALLENGER
    if _HALF <= place < _HALF + width:
        return Cohort.CONTROL
    return Cohort.CHAMPION_ONLY
