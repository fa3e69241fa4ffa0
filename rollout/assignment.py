"""Which variant a unit is assigned to: a pure function of salt, unit and shares, the same on every replica.

    h(unit) = first 8 bytes, big endian, of SHA-256("v1" 0x1f "arm" 0x1f salt 0x1f NFC(unit))
    T(w)    = floor(w * 2^64 / 10,000)            w in basis points, integers only
    S(i)    = floor(i * 2^64 / K)                 K variants: the challengers and the control

A canary of challengers 0 to K-2 with shares w_i, each at most 1/K:

    challenger i    S(i)   <= h < S(i) + T(w_i)
    control         S(K-1) <= h < S(K-1) + T(max w)      answered by the champion, compared with the challengers
    champion only   otherwise, in no comparison

A soak leaves a holdback with the champion, and compares it with its mirror, whose units were in as many
comparisons before, whatever the weights of the canary:

    control             2^64 - T(holdback) <= h
    challenger          2^63 - T(holdback) <= h < 2^63
    challenger only     otherwise, in no comparison

Raising a share never takes a unit away from its challenger or from the control, and in a canary nobody changes
between the two. Two salts give independent assignments, and so do the namespaces: who is sampled for a shadow is
hashed with "shadow" in place of "arm". A row without a unit is assigned by its prediction id, where a plan says so.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Final, Literal, NamedTuple

MAX_WEIGHT_BP = 5_000
"""Largest challenger weight, in basis points, at which a control cohort of equal size exists."""

ALL_BP: Final = 10_000
"""All units, in basis points."""

MOST_CHALLENGERS: Final = 9

_PLACE_BYTES: Final = 8
_ALL: Final = 1 << 64

Namespace = Literal["arm", "shadow"]


class Cohort(StrEnum):
    """Where a row stands in a comparison; `OVERRIDE` is of rows whose caller chose the variant, in none."""

    CHALLENGER = "challenger"
    CHALLENGER_2 = "challenger-2"
    CHALLENGER_3 = "challenger-3"
    CHALLENGER_4 = "challenger-4"
    CHALLENGER_5 = "challenger-5"
    CHALLENGER_6 = "challenger-6"
    CHALLENGER_7 = "challenger-7"
    CHALLENGER_8 = "challenger-8"
    CHALLENGER_9 = "challenger-9"
    CONTROL = "control"
    CHAMPION_ONLY = "champion_only"
    CHALLENGER_ONLY = "challenger_only"
    OVERRIDE = "override"


CHALLENGERS: Final = tuple(Cohort)[:MOST_CHALLENGERS]
"""The cohorts of challengers, in the order in which a plan names them; also the names of their variants."""


class Span(NamedTuple):
    """The places from `begin` up to `end`, which belong to one cohort."""

    begin: int
    end: int
    cohort: Cohort


Layout = tuple[Span, ...]
"""The cohorts of a split; whoever is in none of the spans is `champion_only`. Empty: nothing is split."""


def hash_prefix(salt: str, namespace: Namespace = "arm") -> bytes:
    """Return what is hashed before each unit."""
    return b"v1\x1f%b\x1f%b\x1f" % (namespace.encode(), salt.encode())


def digest_of(prefix: bytes, unit: str) -> bytes:
    """Return the unit's hash, whose first bytes are its place; all spellings of a text have the same one."""
    text = unit if unit.isascii() else unicodedata.normalize("NFC", unit)
    return sha256(prefix + text.encode()).digest()


def place_of(prefix: bytes, unit: str) -> int:
    """Return the unit's place in [0, 2^64); composed and decomposed spellings of a text have the same place."""
    return int.from_bytes(digest_of(prefix, unit)[:_PLACE_BYTES], "big")


def hash_unit(salt: str, unit: str, namespace: Namespace = "arm") -> int:
    """Return the unit's place in [0, 2^64) under a salt.

    >>> hex(hash_unit("r-001", "alice"))
    '0xe3967ca3013b088e'
    """
    return place_of(hash_prefix(salt, namespace), unit)


def threshold(weight_bp: int) -> int:
    """Return T(w), the number of places that belong to a share of `weight_bp` basis points."""
    return weight_bp * _ALL // ALL_BP


def canary_layout(weights_bp: Sequence[int]) -> Layout:
    """Return the spans of a canary whose challengers have these shares of the units.

    Each is at most 1/K of K = challengers + 1; a control is as large as the largest of them. All 0: empty.

    >>> [span.cohort.value for span in canary_layout([1_000, 500])]
    ['challenger', 'challenger-2', 'control']

    Raises:
        ValueError: A share does not fit its slot, or there are more than nine challengers.
    """
    variants = len(weights_bp) + 1
    if variants - 1 > MOST_CHALLENGERS or any(not 0 <= weight <= ALL_BP // variants for weight in weights_bp):
        raise ValueError(f"each of at most {MOST_CHALLENGERS} challengers has a share of 0 to 1/{variants}")
    widest = max(weights_bp, default=0)
    shares = [*zip(CHALLENGERS, weights_bp, strict=False), (Cohort.CONTROL, widest)]
    slots = [index * _ALL // variants for index in range(variants)]
    return tuple(
        Span(slot, slot + threshold(weight), of) for slot, (of, weight) in zip(slots, shares, strict=True) if weight
    )


def soak_layout(holdback_bp: int) -> Layout:
    """Return the spans of a soak: the challenger has all units but the holdback, which is the control.

    Raises:
        ValueError: The holdback is no share up to one half.
    """
    if not 0 <= holdback_bp <= MAX_WEIGHT_BP:
        raise ValueError(f"a holdback is 0 to {MAX_WEIGHT_BP} basis points")
    held, half = threshold(holdback_bp), _ALL // 2
    spans = (
        Span(0, half - held, Cohort.CHALLENGER_ONLY),
        Span(half - held, half, Cohort.CHALLENGER),
        Span(half, _ALL - held, Cohort.CHALLENGER_ONLY),
        Span(_ALL - held, _ALL, Cohort.CONTROL),
    )
    return tuple(span for span in spans if span.begin < span.end)


def cohort_in(layout: Layout, place: int) -> Cohort:
    """Return the cohort of a unit at `place`."""
    for begin, end, found in layout:
        if begin <= place < end:
            return found
    return Cohort.CHAMPION_ONLY


def edges_of(layout: Layout) -> tuple[list[bytes], list[Cohort]]:
    """Return where cohorts begin, and the cohort below the first edge and from each edge on.

    Edges are places as bytes, big endian, so that a digest is looked up as it is:
    `cohorts[bisect_right(edges, digest)]` is what `cohort_in` says of its place, in a third of the time.
    """
    edges: list[bytes] = []
    cohorts = [Cohort.CHAMPION_ONLY]
    for begin, end, of in layout:
        for place, found in ((begin, of), (end, Cohort.CHAMPION_ONLY)):
            if place < _ALL:
                edges.append(place.to_bytes(_PLACE_BYTES, "big"))
                cohorts.append(found)
    return edges, cohorts


def cohort(place: int, weight_bp: int) -> Cohort:
    """Return the cohort of a unit at `place` when the one challenger has `weight_bp` (0 to 5,000) of the units.

    0 leaves everybody with the champion, in no comparison; 5,000 puts everybody into one.
    """
    return cohort_in(canary_layout((weight_bp,)), place)
