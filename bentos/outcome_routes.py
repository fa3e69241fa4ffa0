"""`/api/v1/outcomes`: what became of predictions, as it is learned."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Body

from bentos.companion import Companion
from monitoring.outcomes import Outcome, keep

_MAX_OUTCOMES = 10_000


def outcome_routes(companion: Companion) -> APIRouter:
    """Return the routes over the companion's prediction log."""
    router = APIRouter(prefix="/api/v1/outcomes", tags=["outcomes"])

    @router.post("")
    def post_outcomes(
        outcomes: Annotated[list[Outcome], Body(min_length=1, max_length=_MAX_OUTCOMES)],
    ) -> dict[str, int]:
        """Keep the true labels of predictions; idempotent, late and corrected ones are welcome."""
        receipt = keep(companion.log, outcomes, datetime.now(UTC))
        return {"accepted": receipt.accepted, "repeated": receipt.repeated, "unmatched": receipt.unmatched}

    return router
