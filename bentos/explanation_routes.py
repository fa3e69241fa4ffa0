"""`/api/v1/explanations`: why a logged prediction, or the answer to a row, is what it is."""

from __future__ import annotations

from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from bentos.companion import Companion
from bentos.explaining import ExplainedPrediction, Explaining
from bentos.reproducing import open_reproducer
from registry.reference import Reference


class ExplanationRequest(BaseModel):
    """What is to be explained: a logged prediction, or a row and the version that answers it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    prediction_id: Annotated[str, StringConstraints(max_length=100)] | None = None
    model: Annotated[str, StringConstraints(max_length=200)] | None = None
    features: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        is_row = self.model is not None and self.features is not None
        if (self.prediction_id is None) != is_row or (self.model is None) != (self.features is None):
            raise ValueError("give `prediction_id`, or `model` with `features`")
        return self


def explanation_routes(companion: Companion) -> APIRouter:
    """Return the route that explains with what the companion holds."""
    router = APIRouter(prefix="/api/v1/explanations", tags=["predictions"])
    reproducer = open_reproducer(companion, prepares=False)
    explaining = Explaining(reproducer, companion.settings.explanation)

    @router.post("")
    def explanation(asked: ExplanationRequest) -> ExplainedPrediction:
        """Return what each feature adds to the score, beside other rows; the largest contributions first."""
        if asked.prediction_id is not None:
            return explaining.logged(reproducer.find(asked.prediction_id))
        return explaining.row(Reference.parse(asked.model or ""), asked.features or {})

    return router
