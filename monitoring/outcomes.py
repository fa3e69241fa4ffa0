"""Outcomes: the labels that arrive later, joined to predictions by their id or the caller's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Engine

from monitoring.attributes import MOST_ATTRIBUTES, AttributeRecord, write_attributes
from monitoring.known_outcomes import KnownOutcomes, Told
from monitoring.moving import await_rows, moving
from monitoring.naming import Name, PredictionId, Text, is_storable
from monitoring.tables import OUTCOME
from monitoring.times import Time

Long = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""An integer of 64 bits; a larger one is read as a float, as everywhere in a request."""


class Outcome(BaseModel):
    """What happened: the true label of one prediction.

    The prediction is named by `prediction_id`, or by `model` and the `id` the caller gave its row. A later outcome
    of the same prediction corrects an earlier one. `protected` tells protected attributes of it, as
    `attributes.AttributeRecord` does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)

    prediction_id: PredictionId | None = None
    model: Text | None = None
    id: Text | None = None
    outcome: bool | Long | float | str
    observed_at: Time | None = None
    protected: dict[Text, Text | None] | None = Field(None, max_length=MOST_ATTRIBUTES)

    @model_validator(mode="after")
    def _names_a_prediction(self) -> Self:
        by_id = self.prediction_id is not None
        by_caller = self.model is not None and self.id is not None
        if by_id == by_caller:
            raise ValueError("name the prediction by prediction_id, or by model and id")
        return self

    @model_validator(mode="after")
    def _can_be_stored(self) -> Self:
        if not all(map(is_storable, self._texts())):
            raise ValueError("text may hold neither half of a surrogate pair nor U+0000")
        return self

    def _texts(self) -> Iterator[str]:
        for value in (self.prediction_id, self.model, self.id, self.outcome):
            if isinstance(value, str):
                yield value
        for name, group in (self.protected or {}).items():
            yield name
            yield group or ""

    @property
    def name(self) -> Name:
        """What the outcome calls its prediction: (None, prediction id) or (model, the caller's id)."""
        if self.prediction_id is not None:
            return None, self.prediction_id
        return self.model, self.id or ""

    @property
    def attributes(self) -> AttributeRecord | None:
        """The protected attributes it tells, if any."""
        if not self.protected:
            return None
        if self.prediction_id is not None:  # a model beside it says nothing more
            return AttributeRecord(prediction_id=self.prediction_id, protected=self.protected)
        return AttributeRecord(model=self.model, id=self.id, protected=self.protected)

    @property
    def told(self) -> Told:
        """What the outcome says; 1 and 1.0 are the same label, true is another."""
        return isinstance(self.outcome, bool), self.outcome, self.observed_at


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a list of outcomes.

    `repeated` said what the log says already, or were corrected further down in the list; `unmatched` name no
    prediction that the log holds yet, and are kept.
    """

    accepted: int
    repeated: int
    unmatched: int


def keep(engine: Engine, outcomes: Sequence[Outcome], received_at: datetime) -> Receipt:
    """Store outcomes; one that comes before its prediction waits for it.

    An outcome that says the same as the latest one of its prediction (outcome and `observed_at`) is a repeat and
    changes nothing; any other is the prediction's outcome from now on, also where it takes a correction back. Of
    several outcomes of one prediction in a list only the last counts: [1, 0] stores 0, and sending [1, 0] again
    changes nothing. Lists sent one after the other are corrections: of [1] and then [0] the 0 counts, and [1] sent
    once more, even as a late repetition, makes it 1 again.
    """
    attributes = [found for outcome in outcomes if (found := outcome.attributes) is not None]
    names = {outcome.name for outcome in outcomes}
    ids = {name for model, name in names if model is None}
    callers = {(model, name) for model, name in names if model is not None}
    with engine.begin() as connection:
        with moving(connection, "outcomes", ids=ids, callers=callers):
            known = KnownOutcomes(connection, names)
            last: dict[Name, Outcome] = {}
            for outcome in outcomes:
                subject = known.subject(outcome.name)
                last.pop(subject, None)  # so that the order is that of the outcomes that count
                last[subject] = outcome
            news = [outcome for outcome in last.values() if known.add(outcome.name, outcome.told)]
            if news:
                connection.execute(OUTCOME.insert(), [_row(outcome, received_at) for outcome in news])
        if attributes:
            write_attributes(connection, attributes)
        unmatched = [outcome.name for outcome in outcomes if not known.is_matched(outcome.name)]
        await_rows(connection, unmatched)
    return Receipt(accepted=len(news), repeated=len(outcomes) - len(news), unmatched=len(unmatched))


def _row(outcome: Outcome, received_at: datetime) -> dict[str, object]:
    return {
        "prediction_id": outcome.prediction_id,
        "model": outcome.model,
        "caller_id": outcome.id,
        "outcome": outcome.outcome,
        "observed_at": outcome.observed_at,
        "received_at": received_at,
    }
