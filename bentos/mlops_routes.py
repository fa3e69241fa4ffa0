"""`/api/v1/mlops`: where test results are logged; requests and answers are those of the FairMind documents."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from bentos.companion import Companion
from bentos.stores import tracking_uri
from tracking.errors import TrackingDisabledError
from tracking.mlops_integration import MlopsIntegration
from tracking.record import LONGEST_ID, LONGEST_MODEL_ID, BiasTestRecord, BiasTestType, JsonObject


class LogTestRequest(BaseModel):
    """A test that was run elsewhere."""

    test_id: str = Field(min_length=1, max_length=LONGEST_ID)
    model_id: str = Field(min_length=1, max_length=LONGEST_MODEL_ID)
    test_type: BiasTestType
    results: JsonObject
    metadata: JsonObject | None = None


def mlops_routes(companion: Companion) -> APIRouter:
    """Return the routes over the companion's tracker."""
    router = APIRouter(prefix="/api/v1/mlops", tags=["mlops"])
    integration = MlopsIntegration(companion.tracker, tracking_uri(companion.settings, companion.home))

    @router.get("/status")
    def status() -> dict[str, Any]:
        """Return which providers are enabled and what they are set to; asks no provider."""
        return {"success": True, "status": integration.get_status(), "enabled": integration.is_enabled()}

    @router.post("/log-test")
    async def log_test(test: LogTestRequest) -> dict[str, Any]:
        """Log a test; what a provider does not take now is kept and sent later, and its status says so."""
        if not integration.is_enabled():
            raise TrackingDisabledError
        record = BiasTestRecord(
            id=test.test_id,
            model_id=test.model_id,
            test_type=test.test_type,
            results=test.results,
            metadata=test.metadata or {},
            created_at=datetime.now(UTC),
        )
        return {"success": True, "logging_status": await integration.log(record)}

    @router.get("/run-url/{provider}/{run_id}")
    def run_url(provider: str, run_id: str) -> dict[str, Any]:
        """Return the address of a run's page at its provider."""
        url = integration.get_run_url(provider, run_id)
        return {"success": True, "provider": provider, "run_id": run_id, "url": url}

    return router
