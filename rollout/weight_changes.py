"""Weights changed by hand: of a manual split as one likes, of a rollout with guardrails downwards alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, select

from rollout.assignment import ALL_BP
from rollout.errors import InvalidPlanError, RolloutConflictError
from rollout.history import Action, change
from rollout.holds import Hold, kind_of, told
from rollout.rollouts import Rollout, active_row, as_rollout, row_of
from rollout.serving_store import write_state
from rollout.states import State
from rollout.tables import SERVING_STATE
from rollout.weights import weight_to_bp


def set_weights(engine: Engine, rollout_id: str, weights: Sequence[float], *, actor: str, now: datetime) -> Rollout:
    """Give challengers other shares of the units, in the plan's order; assignments change as little as possible.

    Lowering the weight of a rollout with guardrails pauses it, for its next step would raise it again; what paused
    for that alone may be lowered further.

    Raises:
        InvalidPlanError: There is not one weight for each challenger, one lies outside 0 to 0.5, or 0 to 1/(K + 1)
            of K challengers, or above what the guardrails have let it have.
        RolloutConflictError: The rollout is paused or over, or has guardrails or goals and several challengers,
            who are compared by the cohorts that their weights make.
    """
    weights_bp = [weight_to_bp(weight) for weight in weights]
    with engine.begin() as connection:
        row = row_of(connection, rollout_id)
        if Hold.LOWERED not in map(kind_of, row.held or ()):
            row = active_row(connection, rollout_id, {State.CANARY})
        is_guarded = bool(row.plan.get("guardrails"))
        if row.challengers and (is_guarded or row.plan.get("goals")):
            raise RolloutConflictError(
                f"rollout '{rollout_id}' has several challengers: their weights are its plan's"
            )
        _check(row, weights_bp)
        first, *others = weights_bp
        values: dict[str, Any] = {"weight_bp": first}
        if is_guarded:
            values |= _lowered(row, first)
        said = None if not others else f"weights {', '.join(f'{bp / ALL_BP:g}' for bp in weights_bp)}"
        change(connection, row, Action.WEIGHT_CHANGED, actor=actor, now=now, said=said, **values)
        serves = {} if not others else {"others": _others(connection, row, others)}
        write_state(connection, row.model, now, weight_bp=first, **serves)
        return as_rollout(row_of(connection, rollout_id))


def _check(row: Row[Any], weights_bp: list[int]) -> None:
    count = 1 + len(row.challengers or ())
    if len(weights_bp) != count:
        raise InvalidPlanError(f"rollout '{row.id}' has {count} challengers: give a weight for each of them")
    if max(weights_bp) > ALL_BP // (count + 1):
        raise InvalidPlanError(f"with {count} challengers each weight is at most 1/{count + 1}")


def _lowered(row: Row[Any], weight_bp: int) -> dict[str, Any]:
    """Return what else changes of a rollout with guardrails: it is held where its weight falls."""
    weight = weight_bp / ALL_BP
    if weight_bp > row.weight_bp:
        raise InvalidPlanError(
            f"weight {weight:g} is above {row.weight_bp / ALL_BP:g}: the weight of a rollout with guardrails "
            "rises by its steps; by hand it can be lowered"
        )
    if weight_bp == row.weight_bp:
        return {}
    words = f"the weight was lowered to {weight:g} by hand"
    return {
        "state": str(State.PAUSED),
        "paused_from": row.paused_from or row.state,
        "held": [told(Hold.LOWERED, words)],
        "reason": words,
    }


def _others(connection: Connection, row: Row[Any], weights_bp: list[int]) -> list[dict[str, Any]]:
    """Return what the serving state says of the challengers after the first."""
    served = select(SERVING_STATE.c.others).where(SERVING_STATE.c.model == row.model)
    others = connection.execute(served).scalar_one()
    return [one | {"weight_bp": bp} for one, bp in zip(others, weights_bp, strict=True)]
