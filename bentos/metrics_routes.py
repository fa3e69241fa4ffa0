"""`/metrics`: the Prometheus exposition of the whole deployment."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from bentos.companion import Companion
from monitoring.exposition import StateMetrics, exposition
from rollout.serving_store import serving_states


def metrics_routes(companion: Companion, worker_metrics: Path) -> APIRouter:
    """Return the route; `worker_metrics` is where the processes of this deployment keep their counters."""
    router = APIRouter(tags=["metrics"])

    @router.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> Response:
        """Return the Prometheus exposition of the whole deployment."""
        state = StateMetrics()
        for model, serving in serving_states(companion.control).items():
            weight = serving.weight_bp / 10_000
            state.weight.labels(model, "champion").set(1 - weight)
            state.info.labels(model, "champion", serving.champion.version).set(1)
            if serving.challenger is not None:
                state.weight.labels(model, "challenger").set(weight)
                state.info.labels(model, "challenger", serving.challenger.version).set(1)
        for reference in companion.folders.problems():
            model, _, version = reference.rpartition("/")
            state.missing.labels(model, version).set(1)
        state.lag.set(companion.log_lag_seconds())
        state.tracking.set(companion.tracker.waiting())
        companion.metrics.save()
        text = exposition(state, worker_metrics)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
