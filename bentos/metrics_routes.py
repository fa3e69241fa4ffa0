"""`/metrics`: the Prometheus exposition of the whole deployment."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from bentos.companion import Companion
from monitoring.exposition import StateMetrics, exposition


def metrics_routes(companion: Companion, worker_metrics: Path) -> APIRouter:
    """Return the route; `worker_metrics` is where the processes of this deployment keep their counters."""
    router = APIRouter(tags=["metrics"])

    @router.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """Return the Prometheus exposition of the whole deployment."""
        state = StateMetrics()
        for set_gauges in companion.gauges:
            set_gauges(state)
        companion.metrics.save()
        text = exposition(state, worker_metrics)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
