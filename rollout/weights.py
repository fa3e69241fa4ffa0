"""Weights: fractions where people write them, basis points where they are kept."""

from __future__ import annotations

from rollout.assignment import MAX_WEIGHT_BP
from rollout.errors import InvalidPlanError


def weight_to_bp(weight: float) -> int:
    """Return a fraction as basis points.

    Raises:
        InvalidPlanError: It lies outside 0 to 0.5.
    """
    bp = round(weight * 10_000) if 0 <= weight <= 1 else -1  # neither NaN nor what would overflow
    if not 0 <= bp <= MAX_WEIGHT_BP:
        raise InvalidPlanError(
            f"weight {weight:g} is outside 0 to {MAX_WEIGHT_BP / 10_000:g} (a fraction; above one half no control "
            "cohort of equal size exists: promote instead)"
        )
    return bp
