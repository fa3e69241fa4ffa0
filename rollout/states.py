"""The states of a rollout, and what each of them serves.

pending -> shadow -> canary ... -> awaiting_approval -> canary ... -> promoting -> soak -> promoted
shadow, canary, awaiting_approval, soak  <->  paused
any of these, harm or abort  -> rolling_back -> rolled_back        (pending: cancelled)
any of these, a fault of the controller's own  -> failed_safe -> rolling_back
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from rollout.steps import Mode


class State(StrEnum):
    """Where a rollout stands; the last three of the docstring's lines are how it may end."""

    PENDING = "pending"
    SHADOW = "shadow"
    CANARY = "canary"
    AWAITING_APPROVAL = "awaiting_approval"
    PAUSED = "paused"
    PROMOTING = "promoting"
    SOAK = "soak"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"
    FAILED_SAFE = "failed_safe"


TERMINAL: Final = frozenset({State.PROMOTED, State.ROLLED_BACK, State.CANCELLED})
"""A rollout in one of these never changes again."""

ACTIVE: Final = frozenset(State) - TERMINAL
"""States of a rollout that decides what its model serves."""

PAUSABLE: Final = frozenset({State.SHADOW, State.CANARY, State.AWAITING_APPROVAL, State.SOAK})
"""States that may be held, and gone on with."""

ENDING: Final = frozenset({State.ROLLING_BACK, State.FAILED_SAFE})
"""States in which the champion serves everybody already."""

_OF_MODE: Final = {"shadow": State.SHADOW, "canary": State.CANARY, "soak": State.SOAK}


def state_of(mode: Mode) -> State:
    """Return the state in which a step of this mode is."""
    return _OF_MODE[mode]
