"""What was observed: outcomes in, metrics out, and bias tests of both."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from bentos.bias_tests import BiasTests
from bentos.companion import Companion
from monitoring.metrics import StateMetrics, exposition
from monitoring.outcomes import Outcome, keep
from rollout.serving_store import serving_states

_MAX_OUTCOMES = 10_000


def observation_routes(companion: Companion, worker_metrics: Path) -> APIRouter:
    """Return the routes over the companion's prediction log; `worker_metrics` holds the workers' counters."""
    router = APIRouter(tags=["observation"])
    bias_tests = BiasTests(companion)

    @router.post("/api/v1/outcomes")
    def post_outcomes(
        outcomes: Annotated[list[Outcome], Body(min_length=1, max_length=_MAX_OUTCOMES)],
    ) -> dict[str, int]:
        """Keep the true labels of predictions; idempotent, late and corrected ones are welcome."""
        receipt = keep(companion.log, outcomes, datetime.now(UTC))
        return {"accepted": receipt.accepted, "repeated": receipt.repeated, "unmatched": receipt.unmatched}

    @router.post("/bias_test")
    def bias_test(request: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Run a bias test on rows in the body or on a window of live traffic."""
        return bias_tests.run(request)

    @router.get("/metrics")
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
        state.lag.set(companion.log_lag_seconds())
        text = exposition(state, worker_metrics)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
