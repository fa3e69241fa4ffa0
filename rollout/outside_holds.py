"""Rollouts that are held because something outside changed, and that go on once it is back."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row

from rollout.errors import RolloutConflictError
from rollout.history import Action, change
from rollout.holds import Hold, kind_of, told
from rollout.states import PAUSABLE, State

_FOLLOWER: Final = "companion"
"""Who pauses a rollout when nobody asked for it."""


def hold(connection: Connection, row: Row[Any], kind: Hold, words: str, now: datetime) -> None:
    """Pause a rollout, unless that cannot be or somebody resumed it in spite of this."""
    if row.state not in PAUSABLE or kind in (row.accepted or ()):
        return
    values = {
        "state": str(State.PAUSED),
        "paused_from": row.state,
        "held": [told(kind, words)],
        "reason": words,
    }
    with contextlib.suppress(RolloutConflictError):  # somebody decides at this moment: the next look sees what
        change(connection, row, Action.PAUSED, actor=_FOLLOWER, now=now, **values)


def let_go(connection: Connection, row: Row[Any], kind: Hold, words: str, now: datetime) -> None:
    """Let a rollout with guardrails go on that was held for this, unless it is held for something else too."""
    others = [hold for hold in row.held or () if kind_of(hold) != kind]
    if row.state != State.PAUSED or others == (row.held or []) or not row.plan.get("guardrails"):
        return
    values: dict[str, Any] = {"held": others, "reason": "; ".join(others)}
    if not others:
        values = {"state": row.paused_from, "paused_from": None, "held": None, "reason": None}
    with contextlib.suppress(RolloutConflictError):
        change(connection, row, Action.RESUMED, actor=_FOLLOWER, now=now, said=words, **values)
