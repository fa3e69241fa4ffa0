"""`/api/v1/drift`: how live traffic differs from what a version learned from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from bentos.drift_service import DriftService
from monitoring.drift_report import DriftAnswer
from monitoring.times import Time


class DriftWindow(BaseModel):
    """Whose traffic, and when: the last window of the champion where nothing is said."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    version: str | None = None
    variant: str | None = None
    since: Time | None = None
    until: Time | None = None


def drift_routes(service: DriftService) -> APIRouter:
    """Return the route over the service that compares."""
    router = APIRouter(prefix="/api/v1/drift", tags=["drift"])

    @router.get("")
    def drift(asked: Annotated[DriftWindow, Query()]) -> DriftAnswer:
        """Return the drift of a version's traffic, widened to whole hours, and its performance without labels.

        It is compared with the version's reference profile and with the window before, which is as long.
        """
        return service.ask(
            asked.model,
            version=asked.version,
            variant=asked.variant,
            since=asked.since,
            until=asked.until,
            now=datetime.now(UTC),
        )

    return router
