"""`/bias_test`: a served version, or what it answered, measured per group; declared on the BentoML service too."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from bentos.bias_tests import BiasTests
from bentos.companion import Companion


def bias_test_routes(companion: Companion) -> APIRouter:
    """Return the route over the companion's serving state, model copies and prediction log."""
    router = APIRouter(tags=["bias tests"])
    bias_tests = BiasTests(companion)

    @router.post("/bias_test")
    def bias_test(request: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Run a bias test on rows in the body or on a window of live traffic."""
        return bias_tests.run(request)

    return router
