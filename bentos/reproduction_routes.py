"""`/api/v1/predictions`: one logged decision made again, and the row it was made from."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from bentos.companion import Companion
from bentos.reproducing import open_reproducer
from replay.reproduced import Reproduction

PredictionId = Annotated[str, Path(max_length=100)]


def reproduction_routes(companion: Companion) -> APIRouter:
    """Return the routes over the companion's log and versions."""
    router = APIRouter(prefix="/api/v1/predictions", tags=["predictions"])
    reproducer = open_reproducer(companion, prepares=False)

    @router.get("/{prediction_id}/reproduction")
    def reproduction(prediction_id: PredictionId) -> Reproduction:
        """Return a logged decision made again by the version that answered it, and where it comes from.

        `same` is null where it cannot be made again; `reason` says why. Features are in none of it.
        """
        return reproducer.reproduce(reproducer.find(prediction_id))

    @router.get("/{prediction_id}/features")
    def features(prediction_id: PredictionId) -> dict[str, Any]:
        """Return what a logged decision was made from; null where that is not kept, or not archived yet."""
        return {"prediction_id": prediction_id, "features": reproducer.find(prediction_id).features}

    return router
