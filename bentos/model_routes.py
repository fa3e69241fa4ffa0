"""`/api/v1/models` and `/api/v1/status`: registered models, their versions, and what serves."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from bentos.companion import Companion
from bentos.model_views import model_view, models_view
from rollout.serving_store import serving_states


def model_routes(companion: Companion) -> APIRouter:
    """Return the routes over the companion's registry and serving state."""
    router = APIRouter(prefix="/api/v1", tags=["models"])

    @router.get("/status")
    def status() -> dict[str, Any]:
        """Return what is to serve and what the Companion could not do; asks no registry."""
        return {
            "serving": {name: state.model_dump() for name, state in serving_states(companion.control).items()},
            "problems": {**companion.problems, **companion.tracker.problems()},
        }

    @router.get("/models")
    def list_models() -> dict[str, Any]:
        """Return every registered model with its versions, aliases and what serves, and what stands in the way."""
        problems = {**companion.wanted.problems(), **companion.folders.problems()}
        return {"models": models_view(companion.registry, companion.control), "problems": problems}

    @router.get("/models/{name}")
    def show_model(name: str) -> dict[str, Any]:
        """Return one registered model."""
        return model_view(companion.registry, companion.control, name)

    return router
