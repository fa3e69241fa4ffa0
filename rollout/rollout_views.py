"""A rollout as it is shown: where it stands, what was done, and what was found last."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from database.engine import reading
from rollout.evaluations import newest
from rollout.history import as_event, event_rows
from rollout.outbox import waiting_promotion
from rollout.rollouts import as_rollout, row_of
from rollout.serving_store import serving_states


def told(engine: Engine, rollout_id: str) -> dict[str, Any]:
    """Return a rollout with its plan, its history and its last evaluation, None where there was none.

    `shares` are the variants it splits between, with what each has of the units; none where it decides nothing any
    more. `promotion` is None but for one that was decided and whose alias has not moved yet: then it says why.

    Raises:
        RolloutNotFoundError: There is none with this id.
    """
    with reading(engine) as connection:
        row = row_of(connection, rollout_id)
        events = [as_event(event).to_dict() for event in event_rows(connection, rollout_id)]
        last = newest(connection, rollout_id)
        waits = waiting_promotion(connection, rollout_id)
    state = serving_states(engine).get(row.model)
    shares = state.shares() if state is not None and state.rollout_id == rollout_id else []
    summary = None
    if last is not None:
        summary = last.evaluation.to_dict() | {"id": last.id, "at": last.at.isoformat(), "step": last.step}
    return as_rollout(row).to_dict() | {
        "plan": row.plan,
        "history": events,
        "evaluation": summary,
        "shares": [one._asdict() for one in shares],
        "promotion": None if waits is None else waits.to_dict(),
    }
