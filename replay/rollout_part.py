"""The rollout that a prediction was part of: its plan, and where it stood when the row was answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Engine, select

from database.engine import reading
from monitoring.logged_prediction import LoggedPrediction
from rollout.tables import ROLLOUT, ROLLOUT_EPOCH


class RolloutPart(BaseModel):
    """A rollout as it was for one row.

    `state`, `step` and `weight`, the challenger's share of the units, are those of the epoch that the row was
    answered in, None where that is not known; `state_now` is what became of the rollout.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    champion_version: str
    challenger_version: str
    state: str | None
    step: int | None
    weight: float | None
    state_now: str
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    plan: dict[str, Any]
    plan_hash: str | None


def rollout_of(control: Engine, logged: LoggedPrediction) -> RolloutPart | None:
    """Return the rollout of a prediction; None where it was in none, or that is no longer kept."""
    if logged.rollout_id is None:
        return None
    epochs = ROLLOUT_EPOCH.c
    with reading(control) as connection:
        row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == logged.rollout_id)).first()
        served = select(ROLLOUT_EPOCH).where(epochs.rollout_id == logged.rollout_id, epochs.epoch == logged.epoch)
        epoch = connection.execute(served).first()
    if row is None:
        return None
    return RolloutPart(
        id=row.id,
        champion_version=row.champion_version,
        challenger_version=row.challenger_version,
        state=None if epoch is None else epoch.state,
        step=None if epoch is None else epoch.step_index,
        weight=None if epoch is None else epoch.weight_bp / 10_000,
        state_now=row.state,
        created_by=row.created_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
        plan=row.plan,
        plan_hash=row.plan_hash,
    )
