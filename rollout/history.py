"""What was done to a rollout, when and by whom: an event per change, written with the change or not at all.

Events are chained: `hash` is the SHA-256 of the hash before it, a newline, and the event as canonical JSON. The
chain begins at a hash of what never changes of the rollout, its plan among it. Whoever alters, adds or removes an
event must alter all that follow, and the head of the chain is on record elsewhere: `rollout.verify` compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, insert, select, update

from database.engine import reading
from rollout.errors import RolloutConflictError
from rollout.tables import ROLLOUT, ROLLOUT_EVENT

_HASHES: Final = frozenset({"previous_hash", "hash"})


class Action(StrEnum):
    """What was done."""

    STARTED = "started"
    WEIGHT_CHANGED = "weight_changed"
    ADVANCED = "advanced"
    PAUSED = "paused"
    RESUMED = "resumed"
    APPROVAL_ASKED = "approval_asked"
    APPROVED = "approved"
    ABORTED = "aborted"
    ENDED = "ended"
    FAILED = "failed"
    ROLLBACK_BEGUN = "rollback_begun"
    ROLLED_BACK = "rolled_back"
    PROMOTION_BEGUN = "promotion_begun"
    PROMOTION_WITHDRAWN = "promotion_withdrawn"
    PROMOTED = "promoted"


@dataclass(frozen=True, slots=True)
class Event:
    """One change of a rollout. `number` is its version after it; state, step and weight are those after it, too.

    `evaluation_id` names the evaluation that it rests on. Events of before there was a chain have no hash, no step
    and no state they came from.
    """

    number: int
    action: Action
    state: str
    weight: float
    actor: str
    at: datetime
    reason: str | None
    from_state: str | None = None
    step: int | None = None
    evaluation_id: str | None = None
    previous_hash: str | None = None
    hash: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON-able values."""
        return {
            "number": self.number,
            "action": str(self.action),
            "from_state": self.from_state,
            "state": self.state,
            "step": self.step,
            "weight": self.weight,
            "actor": self.actor,
            "at": self.at.isoformat(),
            "reason": self.reason,
            "evaluation_id": self.evaluation_id,
            "previous_hash": self.previous_hash,
            "hash": self.hash,
        }


def history(engine: Engine, rollout_id: str) -> list[Event]:
    """Return what was done to a rollout, oldest first.

    Of what was done before events were kept, only the start is there.
    """
    with reading(engine) as connection:
        return [as_event(row) for row in event_rows(connection, rollout_id)]


def event_rows(connection: Connection, rollout_id: str) -> list[Row[Any]]:
    """Return the rows of a rollout's events, oldest first."""
    events = select(ROLLOUT_EVENT).where(ROLLOUT_EVENT.c.rollout_id == rollout_id)
    return list(connection.execute(events.order_by(ROLLOUT_EVENT.c.number)))


def as_event(row: Row[Any]) -> Event:
    """Return a row of `ROLLOUT_EVENT` as a value."""
    return Event(
        number=row.number,
        action=Action(row.action),
        state=row.state,
        weight=row.weight_bp / 10_000,
        actor=row.actor,
        at=row.at,
        reason=row.reason,
        from_state=row.from_state,
        step=row.step_index,
        evaluation_id=row.evaluation_id,
        previous_hash=row.previous_hash,
        hash=row.hash,
    )


def canonical(content: Any) -> str:
    """Return JSON that is the same for the same content: keys sorted, no spaces, times in ISO 8601."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_as_text)


def first_hash(row: Row[Any]) -> str:
    """Return what a rollout's chain begins with: a hash of what never changes of its row."""
    names = ("id", "model", "champion_version", "challenger_version", "challengers", "salt", "plan", "created_by")
    return hashlib.sha256(canonical({name: row._mapping[name] for name in names}).encode()).hexdigest()


def event_hash(previous: str, event: Mapping[str, Any]) -> str:
    """Return the hash of an event, a row of `ROLLOUT_EVENT` whatever its own two hashes, after the one before."""
    content = {column.name: event[column.name] for column in ROLLOUT_EVENT.c if column.name not in _HASHES}
    return hashlib.sha256(f"{previous}\n{canonical(content)}".encode()).hexdigest()


def begin(connection: Connection, values: dict[str, Any], *, now: datetime) -> str:
    """Insert a rollout, started by its `created_by`; return the event's hash."""
    connection.execute(insert(ROLLOUT), values | {"version": 1, "created_at": now})
    row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == values["id"])).one()
    return _record(connection, row, Action.STARTED, actor=row.created_by, now=now, reason=None)


def change(
    connection: Connection,
    row: Row[Any],
    action: Action,
    *,
    actor: str,
    now: datetime,
    evaluation_id: str | None = None,
    said: str | None = None,
    **values: Any,
) -> str:
    """Compare and swap: change a rollout only if nobody did since `row` was read; return the event's hash.

    `said` is the event's reason where it is another than the one the rollout gets.

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
    return _record(
        connection,
        after,
        action,
        actor=actor,
        now=now,
        reason=values.get("reason") if said is None else said,
        from_state=row.state,
        evaluation_id=evaluation_id,
    )


def _record(
    connection: Connection,
    row: Row[Any],
    action: Action,
    *,
    actor: str,
    now: datetime,
    reason: str | None,
    from_state: str | None = None,
    evaluation_id: str | None = None,
) -> str:
    newest = (
        select(ROLLOUT_EVENT.c.hash)
        .where(ROLLOUT_EVENT.c.rollout_id == row.id)
        .order_by(ROLLOUT_EVENT.c.number.desc())
        .limit(1)
    )
    previous = connection.execute(newest).scalar() or first_hash(row)
    event = {
        "rollout_id": row.id,
        "number": row.version,
        "action": str(action),
        "state": row.state,
        "weight_bp": row.weight_bp,
        "actor": actor,
        "at": now,
        "reason": reason,
        "from_state": from_state,
        "step_index": row.step_index,
        "evaluation_id": evaluation_id,
    }
    found = event_hash(previous, event)
    connection.execute(insert(ROLLOUT_EVENT), event | {"previous_hash": previous, "hash": found})
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    raise TypeError(f"{type(value).__name__} is no JSON")
