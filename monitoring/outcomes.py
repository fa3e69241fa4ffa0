"""Outcomes: the labels that arrive later, joined to predictions by their id or the caller's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Engine, Select, select

from database.engine import insert_or_ignore
from monitoring.tables import OUTCOME, PREDICTION, PROTECTED_ATTRIBUTE


class Outcome(BaseModel):
    """What happened: the true label of one prediction.

    The prediction is named by `prediction_id`, or by `model` and the `id` the caller gave its row. A later outcome
    of the same prediction corrects an earlier one. `protected` adds protected attributes that were not sent with
    the request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prediction_id: str | None = Field(default=None, max_length=80)
    model: str | None = Field(default=None, max_length=200)
    id: str | None = Field(default=None, max_length=200)
    outcome: bool | int | float | str
    observed_at: AwareDatetime | None = None
    protected: dict[str, str | None] | None = None

    @model_validator(mode="after")
    def _names_a_prediction(self) -> Self:
        by_id = self.prediction_id is not None
        by_caller = self.model is not None and self.id is not None
        if by_id == by_caller:
            raise ValueError("name the prediction by prediction_id, or by model and id")
        if self.protected is not None and not by_id:
            raise ValueError("protected attributes need the prediction_id")
        return self


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a list of outcomes: `unmatched` name none the log holds yet, and are kept."""

    accepted: int
    repeated: int
    unmatched: int


def keep(engine: Engine, outcomes: Sequence[Outcome], received_at: datetime) -> Receipt:
    """Store outcomes; sending one twice changes nothing, and one that comes before its prediction waits for it."""
    rows = {key: _row(outcome, key, received_at) for outcome in outcomes for key in (_key(outcome),)}
    attributes = [
        {"prediction_id": outcome.prediction_id, "attribute": name, "value": value}
        for outcome in outcomes
        for name, value in (outcome.protected or {}).items()
    ]
    inserted = 0
    with engine.begin() as connection:
        for row in rows.values():
            inserted += connection.execute(insert_or_ignore(engine, OUTCOME), row).rowcount
        if attributes:
            connection.execute(insert_or_ignore(engine, PROTECTED_ATTRIBUTE), attributes)
        unmatched = sum(connection.execute(_matching(outcome)).first() is None for outcome in outcomes)
    return Receipt(accepted=inserted, repeated=len(outcomes) - inserted, unmatched=unmatched)


def _matching(outcome: Outcome) -> Select[tuple[str]]:
    if outcome.prediction_id is not None:
        return select(PREDICTION.c.prediction_id).where(PREDICTION.c.prediction_id == outcome.prediction_id)
    return select(PREDICTION.c.prediction_id).where(
        PREDICTION.c.model == outcome.model, PREDICTION.c.caller_id == outcome.id
    )


def _key(outcome: Outcome) -> str:
    content = outcome.model_dump(mode="json", exclude={"protected"})
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _row(outcome: Outcome, key: str, received_at: datetime) -> dict[str, object]:
    return {
        "key": key,
        "prediction_id": outcome.prediction_id,
        "model": outcome.model,
        "caller_id": outcome.id,
        "outcome": outcome.outcome,
        "observed_at": outcome.observed_at,
        "received_at": received_at,
    }
