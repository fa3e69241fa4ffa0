"""What was done to a rollout, when and by whom: an event per change, written with the change or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from database.engine import reading
from rollout.errors import RolloutConflictError
from rollout.tables import ROLLOUT, ROLLOUT_EVENT


class Action(StrEnum):
    """What was done."""

    STARTED = "started"
    WEIGHT_CHANGED = "weight_changed"
    PAUSED = "paused"
    RESUMED = "resumed"
    ABORTED = "aborted"
    PROMOTION_BEGUN = "promotion_begun"
    PROMOTION_WITHDRAWN = "promotion_withdrawn"
    PROMOTED = "promoted"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a rollout. `number` is the rollout's version after it; state and weight are those after it."""

    number: int
    action: Action
    state: str
    weight: float
    actor: str
    at: datetime
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON-able values."""
        return {
            "number": self.number,
            "action": str(self.action),
            "state": self.state,
            "weight": self.weight,
            "actor": self.actor,
            "at": self.at.isoformat(),
            "reason": self.reason,
        }


def history(engine: Engine, rollout_id: str) -> list[Event]:
    """Return what was done to a rollout, oldest first.

    Of what was done before events were kept, only the start is there.
    """
    with reading(engine) as connection:
        events = select(ROLLOUT_EVENT).where(ROLLOUT_EVENT.c.rollout_id == rollout_id)
        return [
            Event(
                number=row.number,
                action=Action(row.action),
                state=row.state,
                weight=row.weight_bp / 10_000,
                actor=row.actor,
                at=row.at,
                reason=row.reason,
            )
            for row in connection.execute(events.order_by(ROLLOUT_EVENT.c.number))
        ]


def begin(connection: Connection, values: dict[str, Any], *, now: datetime) -> None:
    """Insert a rollout, started by its `created_by`."""
    connection.execute(insert(ROLLOUT), values | {"version": 1, "created_at": now})
    row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == values["id"])).one()
    _record(connection, row, Action.STARTED, actor=row.created_by, now=now, reason=None)


def change(
    connection: Connection, row: Row[Any], action: Action, *, actor: str, now: datetime, **values: Any
) -> None:
    """Compare and swap: change a rollout only if nobody did since `row` was read.

    Raises:
        RolloutConflictError: Somebody did.
    """
    changed = connection.execute(
        update(ROLLOUT)
        .where(ROLLOUT.c.id == row.id, ROLLOUT.c.version == row.version)
        .values(**values, version=row.version + 1)
    )
    if changed.rowcount != 1:
        raise RolloutConflictError(f"rollout '{row.id}' was changed by somebody else; look again and repeat")
    after = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == row.id)).one()
    _record(connection, after, action, actor=actor, now=now, reason=values.get("reason"))


def _record(
    connection: Connection, row: Row[Any], action: Action, *, actor: str, now: datetime, reason: str | None
) -> None:
    connection.execute(
        insert(ROLLOUT_EVENT),
        {
            "rollout_id": row.id,
            "number": row.version,
            "action": str(action),
            "state": row.state,
            "weight_bp": row.weight_bp,
            "actor": actor,
            "at": now,
            "reason": reason,
        },
    )
