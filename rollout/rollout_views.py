"""A rollout as it is shown: where it stands, what was done, and what was found last."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from database.engine import reading
from rollout.evaluations import newest
from rollout.history import as_event, event_rows
from rollout.rollouts import as_rollout, row_of


def told(engine: Engine, rollout_id: str) -> dict[str, Any]:
    """Return a rollout with its plan, its history and its last evaluation, None where there was none.

    Raises:
        RolloutNotFoundError: There is none with this id.
    """
    with reading(engine) as connection:
        row = row_of(connection, rollout_id)
        events = [as_event(event).to_dict() for event in event_rows(connection, rollout_id)]
        last = newest(connection, rollout_id)
    summary = None
    if last is not None:
        summary = last.evaluation.to_dict() | {"id": last.id, "at": last.at.isoformat(), "step": last.step}
    return as_rollout(row).to_dict() | {"plan": row.plan, "history": events, "evaluation": summary}
