"""A change of a rollout's state, with all that follows from it, in one transaction: what serves, and what is to be
done in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from rollout.decisions import Move, Progress
from rollout.history import Action, change
from rollout.holds import Hold, kind_of, recovers
from rollout.outbox import Kind, post, promotion_key
from rollout.plan import Plan
from rollout.serving_store import NO_ROLLOUT, write_state
from rollout.states import ENDING, PAUSABLE, TERMINAL, State, state_of
from rollout.tables import SERVING_STATE

CONTROLLER: Final = "controller"
"""Who acts where nobody did."""

_ACTIONS: Final[Mapping[State, Action]] = {
    State.PAUSED: Action.PAUSED,
    State.AWAITING_APPROVAL: Action.APPROVAL_ASKED,
    State.PROMOTING: Action.PROMOTION_BEGUN,
    State.PROMOTED: Action.PROMOTED,
    State.ROLLING_BACK: Action.ROLLBACK_BEGUN,
    State.ROLLED_BACK: Action.ROLLED_BACK,
    State.FAILED_SAFE: Action.FAILED,
}
_NEW_STEP: Final[dict[str, Any]] = {"accepted": None, "approved_by": None, "overridden": None}
_NO_SPLIT: Final[Mapping[str, Any]] = {"weight_bp": 0, "others": None, "shadow_bp": 0, "holdback_bp": None}


def progress_of(row: Row[Any]) -> Progress:
    """Return where a rollout stands, as `decide` takes it."""
    return Progress(
        state=State(row.state),
        step=row.step_index,
        entered_at=row.step_entered_at or row.created_at,
        started_at=row.created_at,
        paused_from=None if row.paused_from is None else State(row.paused_from),
        approved=row.approved_by is not None,
        errors=row.errors,
        resumes=bool(row.held) and all(map(recovers, row.held)),
        accepted=frozenset(row.accepted or ()),
        overridden=row.overridden is not None,
    )


def carry_out(
    connection: Connection,
    row: Row[Any],
    plan: Plan | None,
    move: Move,
    *,
    now: datetime,
    actor: str = CONTROLLER,
    action: Action | None = None,
    evaluation_id: str | None = None,
    override: str | None = None,
) -> str:
    """Change a rollout as `move` says; return the hash of the event.

    Args:
        connection: In a transaction that writes.
        row: The rollout as it was when the move was decided.
        plan: Its plan; none is needed to end it.
        move: The change.
        now: The time.
        actor: Who decided.
        action: What was done, where the new state does not tell.
        evaluation_id: The evaluation that the decision rests on.
        override: Why it is promoted although a gate refuses it.

    Raises:
        RolloutConflictError: Somebody changed the rollout meanwhile.
    """
    values = _values(row, plan, move, now)
    done = action or _action(row, move)
    head = change(
        connection,
        row,
        done,
        actor=actor,
        now=now,
        evaluation_id=evaluation_id,
        said=move.reason or None,
        **values,
    )
    _serve(connection, row, plan, move, now)
    if move.to in TERMINAL:
        after_end(connection, row, head, now)
    if move.to is State.PROMOTED:
        payload = {
            "version": row.challenger_version,
            "champion": row.champion_version,
            "alias_moved": _is_known_to_be_moved(row),
            "actor": actor,
            "override": override,
        }
        post(connection, Kind.PROMOTE, key=promotion_key(row.id), model=row.model, payload=payload, now=now)
    return head


def after_end(connection: Connection, row: Row[Any], head: str, now: datetime) -> None:
    """Have the head of the chain of decisions written on every version that the rollout was about."""
    versions = [row.challenger_version, *(one["version"] for one in row.challengers or ())]
    for version in versions:
        post(
            connection,
            Kind.TAG,
            key=f"{row.id}:head:{version}",
            model=row.model,
            payload={"version": version, "key": head_tag(row.id), "value": head},
            now=now,
        )


def head_tag(rollout_id: str) -> str:
    """Return the name of the tag with the head of a rollout's chain of decisions."""
    return f"fairmind.rollout.{rollout_id}"


def weight_of(plan: Plan, step: int) -> int:
    """Return the first challenger's share of the units in a step, in basis points."""
    current = plan.steps[step]
    return 10_000 - plan.holdback_bp if current.mode == "soak" else current.weight_bp


def split_of(plan: Plan, step: int, challengers: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Return what the serving state says of a step; a soak has its holdback and no weights."""
    current = plan.steps[step]
    split: dict[str, Any] = {**_NO_SPLIT, "on_missing_key": plan.missing_key}
    if current.mode == "soak":
        return split | {"holdback_bp": plan.holdback_bp}
    if current.mode == "shadow":
        return split | {"shadow_bp": current.sample_bp, "others": _weighted(challengers, ())}
    return split | {"weight_bp": current.weight_bp, "others": _weighted(challengers, current.weights_bp[1:])}


def _weighted(challengers: list[dict[str, Any]] | None, weights: tuple[int, ...]) -> list[dict[str, Any]] | None:
    if not challengers:
        return None
    padded = (*weights, *(0 for _ in challengers))
    return [one | {"weight_bp": weight} for one, weight in zip(challengers, padded, strict=False)]


def _values(row: Row[Any], plan: Plan | None, move: Move, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"state": str(move.to), "step_index": move.step, "paused_from": None, "held": None}
    if move.to is State.PAUSED:
        return values | {"paused_from": row.state, "held": list(move.holds) or None, "reason": move.reason or None}
    if row.state == State.PAUSED and move.to in PAUSABLE:
        return values | {"reason": None}
    if move.to is State.AWAITING_APPROVAL:
        return values | {"reason": move.reason, "approved_by": None, "overridden": None}
    values |= {"step_entered_at": now, "reason": (move.reason or None) if move.to in ENDING else None}
    if move.to in ENDING or move.to in {State.ROLLED_BACK, State.CANCELLED}:
        values["weight_bp"] = 0
    elif plan is not None and _serves_anew(row, move):
        values["weight_bp"] = weight_of(plan, move.step)
    if move.to is State.ROLLED_BACK:
        values["reason"] = row.reason if row.state in ENDING else move.reason
    if move.to in TERMINAL:
        return values | {"finished_at": now}
    return values if move.to is State.PROMOTING else values | _NEW_STEP


def _is_known_to_be_moved(row: Row[Any]) -> bool:
    """Return whether who decides for the challenger knows that the alias `champion` was moved by hand."""
    return Hold.ALIAS_MOVED in {*(row.accepted or ()), *map(kind_of, row.held or ())}


def _serves_anew(row: Row[Any], move: Move) -> bool:
    """Return whether a step of the plan begins to be served."""
    return move.to not in TERMINAL and (row.state == State.PENDING or move.step != row.step_index)


def _serve(connection: Connection, row: Row[Any], plan: Plan | None, move: Move, now: datetime) -> None:
    if move.to is State.PROMOTED:
        state = connection.execute(select(SERVING_STATE).where(SERVING_STATE.c.model == row.model)).one()
        write_state(
            connection,
            row.model,
            now,
            champion_version=state.challenger_version,
            champion_digest=state.challenger_digest,
            challenger_version=None,
            challenger_digest=None,
            **NO_ROLLOUT,
        )
    elif move.to in TERMINAL:
        write_state(connection, row.model, now, **NO_ROLLOUT)
    elif move.to in ENDING:
        if row.state not in ENDING:
            write_state(connection, row.model, now, **_NO_SPLIT)
    elif plan is not None and _serves_anew(row, move):
        write_state(connection, row.model, now, **split_of(plan, move.step, row.challengers))


def _action(row: Row[Any], move: Move) -> Action:
    if row.state == State.PAUSED and move.to in PAUSABLE:
        return Action.RESUMED
    if row.state == State.PROMOTING and move.to in {State.CANARY, State.SHADOW}:
        return Action.PROMOTION_WITHDRAWN
    if move.to is State.ROLLED_BACK and row.state not in ENDING:
        return Action.ENDED
    return _ACTIONS.get(move.to, Action.ADVANCED)


def first_state(plan: Plan) -> State:
    """Return the state in which a rollout of the plan begins.

    One that something is to guard, or that begins later, waits for its controller, which may be away: until then
    nothing is served by it.
    """
    waits = bool(plan.guardrails) or plan.start_at is not None
    return State.PENDING if waits else state_of(plan.steps[0].mode)
