"""Whom a replay without a plan says nothing of: groups too small to be judged, attributes without a gap. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from fairness.groups import UNKNOWN
from replay.pairs import Pairs
from rollout.guardrail import Guardrail

_NAMED: Final = 10
"""Groups that a note names; of more it says how many."""


@dataclass(frozen=True, slots=True)
class BlindSpots:
    """What is not judged, in words; `is_blind`: nothing is of some attribute, or there is none."""

    notes: tuple[str, ...]
    is_blind: bool


def blind_spots(pairs: Pairs, guardrails: Sequence[Guardrail]) -> BlindSpots:
    """Return whom guardrails say nothing of among the groups that were seen."""
    if not pairs.attributes:
        return BlindSpots(("no protected attribute is in the log: fairness is not judged",), True)
    judged = {name: _judged(guardrails, name) for name in pairs.attributes}
    return BlindSpots(tuple(_notes(pairs, judged)), not all(judged.values()))


def _judged(guardrails: Sequence[Guardrail], attribute: str) -> set[str]:
    return {group for one in guardrails if one.attribute == attribute for group in one.groups or ()}


def _notes(pairs: Pairs, judged: dict[str, set[str]]) -> Iterator[str]:
    for attribute, groups in judged.items():
        if not groups:
            yield f"no gap of '{attribute}' is judged: it takes two groups with rows enough; a plan names them"
            continue
        left = sorted(set(pairs.groups(attribute)) - groups - {UNKNOWN})
        if left:
            named = ", ".join(f"'{one}'" for one in left[:_NAMED])
            more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
            yield f"harm to groups of '{attribute}' with too few rows is not judged: {named}{more}"
