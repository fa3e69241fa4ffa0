"""A window of live traffic: what was predicted, for whom, and what came of it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, and_, func, or_, select

from database.engine import reading
from monitoring.tables import OUTCOME, PREDICTION, PROTECTED_ATTRIBUTE


@dataclass(frozen=True, slots=True)
class LoggedPrediction:
    """One served row; `outcome` is None until one arrives."""

    prediction_id: str
    model_version: str
    variant: str | None
    prediction: Any
    score: float | None
    latency_us: int
    outcome: Any = None
    protected: dict[str, str | None] = field(default_factory=dict)


def window(
    engine: Engine,
    model: str,
    *,
    since: datetime,
    until: datetime,
    variant: str | None = None,
    model_version: str | None = None,
    limit: int = 1_000_000,
) -> list[LoggedPrediction]:
    """Return the predictions of one model served in [since, until), oldest first, with their latest outcomes.

    Rows asked for by version number have no variant and are in no analysis; they are left out.
    """
    conditions = [
        PREDICTION.c.model == model,
        PREDICTION.c.served_at >= since,
        PREDICTION.c.served_at < until,
        PREDICTION.c.variant.is_not(None),
    ]
    if variant is not None:
        conditions.append(PREDICTION.c.variant == variant)
    if model_version is not None:
        conditions.append(PREDICTION.c.model_version == model_version)
    chosen = (
        select(PREDICTION).where(*conditions).order_by(PREDICTION.c.prediction_id).limit(limit).subquery("chosen")
    )
    latest = (
        select(chosen.c.prediction_id, func.max(OUTCOME.c.id).label("outcome_id"))
        .join(
            OUTCOME,
            or_(
                OUTCOME.c.prediction_id == chosen.c.prediction_id,
                and_(OUTCOME.c.model == chosen.c.model, OUTCOME.c.caller_id == chosen.c.caller_id),
            ),
        )
        .group_by(chosen.c.prediction_id)
        .subquery("latest")
    )
    with reading(engine) as connection:
        outcomes = {
            row.prediction_id: row.outcome
            for row in connection.execute(
                select(latest.c.prediction_id, OUTCOME.c.outcome).join(OUTCOME, OUTCOME.c.id == latest.c.outcome_id)
            )
        }
        protected: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
        for row in connection.execute(
            select(PROTECTED_ATTRIBUTE).join(chosen, chosen.c.prediction_id == PROTECTED_ATTRIBUTE.c.prediction_id)
        ):
            protected[row.prediction_id][row.attribute] = row.value
        return [
            LoggedPrediction(
                row.prediction_id,
                row.model_version,
                row.variant,
                row.prediction,
                row.score,
                row.latency_us,
                outcomes.get(row.prediction_id),
                protected.get(row.prediction_id, {}),
            )
            for row in connection.execute(select(chosen))
        ]
