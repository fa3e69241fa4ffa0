"""Why a rollout is held: a kind, and words. A hold is one text, `kind: words`, as it is stored and shown."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Hold(StrEnum):
    """Kinds of reasons that no guardrail's verdict gives."""

    SRM = "srm"
    CROSSED = "crossed_units"
    LABEL_COVERAGE = "label_coverage"
    ATTRIBUTE_COVERAGE = "attribute_coverage"
    NO_DATA = "no_data"
    ALIAS_MOVED = "alias_moved"
    REMOTE_CHANGED = "remote_changed"
    ERROR = "error"
    INCONCLUSIVE = "inconclusive"
    VIOLATED = "violated"
    LOWERED = "lowered"


OUTSIDE: Final = frozenset({Hold.ALIAS_MOVED, Hold.REMOTE_CHANGED})
"""Kinds that no evidence shows: somebody changed something outside, and a look at that says whether it is back."""

RECOVERING: Final = frozenset({Hold.LABEL_COVERAGE, Hold.ATTRIBUTE_COVERAGE, Hold.NO_DATA, Hold.ERROR, *OUTSIDE})
"""Kinds that are over when what was missing is there again. The others are evidence that something is wrong, or a
person's doubt, which does not go away by waiting: a person looks, and resumes in spite of it."""


def told(kind: Hold | str, words: str) -> str:
    """Return a hold as one text.

    >>> told(Hold.NO_DATA, "nothing for 20 minutes")
    'no_data: nothing for 20 minutes'
    """
    return f"{kind}: {words}"


def kind_of(hold: str) -> str:
    """Return what comes before the words.

    >>> kind_of("no_data: nothing for 20 minutes")
    'no_data'
    """
    return hold.partition(": ")[0]


def recovers(hold: str) -> bool:
    """Return whether the rollout goes on by itself once this is not so any more."""
    return kind_of(hold) in RECOVERING
