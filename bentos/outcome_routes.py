"""`/api/v1/outcomes` and `/api/v1/attributes`: what became of predictions, and whom they were about."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Query

from bentos.companion import Companion
from bentos.errors import ModelNotServedError
from monitoring.attributes import AttributeRecord, keep_attributes
from monitoring.coverage import Covered, coverage, coverage_by_group, outcome_delays
from monitoring.outcomes import Outcome, keep
from monitoring.times import Time
from monitoring.units import unit_hash
from monitoring.windows import window_counts
from rollout.serving_store import serving_states

_MOST_AT_ONCE: Final = 10_000
_DEFAULT_WINDOW: Final = timedelta(days=30)


def outcome_routes(companion: Companion) -> APIRouter:
    """Return the routes over the companion's prediction log."""
    router = APIRouter(prefix="/api/v1", tags=["outcomes"])
    hash_unit = partial(unit_hash, companion.unit_salt.encode())

    @router.post("/outcomes")
    def post_outcomes(
        outcomes: Annotated[list[Outcome], Body(min_length=1, max_length=_MOST_AT_ONCE)],
    ) -> dict[str, int]:
        """Keep the true labels of predictions; idempotent, late and corrected ones are welcome."""
        return asdict(keep(companion.log, outcomes, datetime.now(UTC)))

    @router.post("/attributes")
    def post_attributes(
        attributes: Annotated[list[AttributeRecord], Body(min_length=1, max_length=_MOST_AT_ONCE)],
    ) -> dict[str, int]:
        """Keep protected attributes of predictions or units; idempotent, a later value replaces an earlier one."""
        return asdict(keep_attributes(companion.log, attributes, hash_unit))

    @router.get("/outcomes/coverage")
    def get_coverage(
        model: Annotated[str, Query(max_length=200)],
        since: Time | None = None,
        until: Time | None = None,
    ) -> dict[str, Any]:
        """Return how many predictions have an outcome, by variant and group; of the last 30 days by default."""
        end = until or datetime.now(UTC)
        found = window_counts(companion.log, model, since or end - _DEFAULT_WINDOW, end)
        if not found.rows and model not in serving_states(companion.control):
            raise ModelNotServedError(model)
        delays = outcome_delays(companion.log, model)
        variants = []
        for variant in found.variants:
            mine = found.of_variant(variant)
            delay = delays.get(variant)
            groups = [
                {"attribute": attribute, "group": group, **_told(covered)}
                for attribute, by_group in coverage_by_group(mine).items()
                for group, covered in by_group.items()
            ]
            seconds = None if delay is None else delay.total_seconds()
            told = _told(coverage(mine))
            variants.append({"variant": variant, **told, "median_delay_seconds": seconds, "groups": groups})
        edges = {"since": found.since.isoformat(), "until": found.until.isoformat()}
        return {"model": model, **edges, **_told(coverage(found)), "variants": variants}

    return router


def _told(covered: Covered) -> dict[str, float]:
    return {
        "predictions": covered.predictions,
        "with_outcome": covered.with_outcome,
        "coverage": round(covered.ratio, 6),
    }
