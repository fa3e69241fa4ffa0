"""Rollouts in motion: started, paused, aborted, promoted; each change made once or not at all.

Whoever changes one is its `actor`, an API key's id or a person's name, and stands in its history. What happens by
itself is in `rollout.controller`, weights are changed in `rollout.weight_changes`.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.exc import IntegrityError

from database.engine import reading
from registry.registry import Registry
from rollout.beginning import (
    admit_all,
    admit_replayed,
    check_champion_serves,
    check_cooldown,
    find_versions,
    first_row,
)
from rollout.decisions import Move
from rollout.errors import RolloutConflictError, RolloutNotFoundError
from rollout.history import Action, begin, change
from rollout.holds import kind_of
from rollout.plan import Plan
from rollout.serving_store import NO_ROLLOUT, new_salt, write_state
from rollout.states import ENDING, PAUSABLE, TERMINAL, State
from rollout.tables import ROLLOUT, SERVING_STATE
from rollout.transitions import after_end, carry_out, first_state, split_of, weight_of

GOING_ON: Final = frozenset(State) - TERMINAL - ENDING
"""States of a rollout that is neither over nor being ended."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """One plan in motion. `version` counts its changes; `weight` is the challenger's share of the units.

    `step` is the index of the plan's step that it is in, since `step_entered_at`; `held` is why it was paused.
    `is_guarded` says that its plan has guardrails, by which a controller decides.
    """

    id: str
    model: str
    state: str
    version: int
    champion_version: str
    challenger_version: str
    weight: float
    reason: str | None
    created_by: str
    created_at: datetime
    finished_at: datetime | None
    step: int = 0
    step_entered_at: datetime | None = None
    held: tuple[str, ...] = ()
    approved_by: str | None = None
    plan_hash: str | None = None
    is_guarded: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the rollout as JSON-able values."""
        times = {name: getattr(self, name) for name in ("created_at", "finished_at", "step_entered_at")}
        return asdict(self) | {name: time and time.isoformat() for name, time in times.items()}


def rollouts(engine: Engine) -> list[Rollout]:
    """Return all rollouts, newest first."""
    with reading(engine) as connection:
        rows = connection.execute(select(ROLLOUT).order_by(ROLLOUT.c.created_at.desc()))
        return [as_rollout(row) for row in rows]


def find(engine: Engine, rollout_id: str) -> Rollout:
    """Return one rollout.

    Raises:
        RolloutNotFoundError: There is none with this id.
    """
    with reading(engine) as connection:
        return as_rollout(row_of(connection, rollout_id))


def start(
    engine: Engine, plan: Plan, registry: Registry, *, actor: str, now: datetime, override: str | None = None
) -> Rollout:
    """Start a rollout, under a new randomisation of the units.

    A manual split gives the challenger its share at once. One with guardrails, or a `start_at`, is pending, its
    challenger loaded and served to nobody, until it is time and the controller takes it up.

    The challengers must have passed their gates. `override` is the reason to start although one did not; one that
    was recorded on the version before, when it was made challenger, serves too.

    Raises:
        GateRefusedError: A gate refuses the challenger and there is no override.
        ReplayGateError: The plan asks for a replay, none stands for the challenger, and there is no override.
        ModelNotFoundError: The champion or the challenger is not in the registry.
        RolloutConflictError: The model has an active rollout, or one was rolled back a moment ago, or the
            challenger is the champion, or the champion is not what serves: that is pinned, or the alias has just
            been moved.
    """
    champion, challengers = find_versions(registry, plan)
    admit_replayed(engine, registry, plan, champion, challengers, override=override, actor=actor, now=now)
    admit_all(registry, challengers, override=override, actor=actor, now=now)
    state = first_state(plan)
    row = first_row(plan, champion, challengers, state=state, actor=actor, now=now)
    rollout_id, salt = f"r-{uuid.uuid4().hex[:12]}", new_salt()
    split = split_of(plan, 0, row["challengers"])
    if state is State.PENDING:
        others = [one | {"weight_bp": 0} for one in row["challengers"] or ()] or None
        split |= {"weight_bp": 0, "shadow_bp": 0, "holdback_bp": None, "others": others}
    weight_bp = 0 if state is State.PENDING else weight_of(plan, 0)
    with engine.begin() as connection:
        check_champion_serves(connection, champion)
        check_cooldown(connection, plan, now)
        try:
            begin(connection, row | {"id": rollout_id, "salt": salt, "weight_bp": weight_bp}, now=now)
        except IntegrityError as error:
            raise RolloutConflictError(
                f"model '{plan.model}' has an active rollout; promote or abort it first "
                "(`fairmind rollout list` shows it): a plan that runs is not edited, a changed one starts anew"
            ) from error
        write_state(
            connection,
            champion.name,
            now,
            champion_version=champion.version,
            champion_digest=champion.digest,
            challenger_version=challengers[0].version,
            challenger_digest=challengers[0].digest,
            salt=salt,
            rollout_id=rollout_id,
            **split,
        )
        return as_rollout(row_of(connection, rollout_id))


def pause(engine: Engine, rollout_id: str, *, reason: str | None, actor: str, now: datetime) -> Rollout:
    """Hold the rollout: what is served stays as it is until it is resumed, aborted or promoted.

    Guardrails go on being watched: what they find harmful is rolled back all the same.
    """
    with engine.begin() as connection:
        row = active_row(connection, rollout_id, PAUSABLE)
        values = {"state": str(State.PAUSED), "paused_from": row.state, "held": None, "reason": reason}
        change(connection, row, Action.PAUSED, actor=actor, now=now, **values)
        return as_rollout(row_of(connection, rollout_id))


def resume(engine: Engine, rollout_id: str, *, actor: str, now: datetime, reason: str | None = None) -> Rollout:
    """Let a paused rollout go on; in this step, in spite of what it was held for."""
    with engine.begin() as connection:
        row = active_row(connection, rollout_id, {State.PAUSED})
        accepted = sorted({*(row.accepted or ()), *map(kind_of, row.held or ())})
        values: dict[str, Any] = {
            "state": row.paused_from or str(State.CANARY),
            "paused_from": None,
            "held": None,
            "accepted": accepted or None,
            "reason": None,
        }
        change(connection, row, Action.RESUMED, actor=actor, now=now, said=reason, **values)
        return as_rollout(row_of(connection, rollout_id))


def abort(engine: Engine, rollout_id: str, *, reason: str | None, actor: str, now: datetime) -> Rollout:
    """End the rollout: every unit is served by the champion again. Always allowed while it is active.

    One with guardrails is over once every worker follows; a manual split at once.
    """
    with engine.begin() as connection:
        row = row_of(connection, rollout_id)
        plan = Plan.parse(row.plan)
        if plan.guardrails or row.state == State.PENDING:
            row = active_row(connection, rollout_id, GOING_ON)
            to = State.CANCELLED if row.state == State.PENDING else State.ROLLING_BACK
            move = Move(to, row.step_index, reason or "")
            carry_out(connection, row, plan, move, actor=actor, action=Action.ABORTED, now=now)
            return as_rollout(row_of(connection, rollout_id))
        row = active_row(connection, rollout_id, {State.CANARY, State.PAUSED})
        head = change(
            connection,
            row,
            Action.ABORTED,
            actor=actor,
            now=now,
            state=str(State.ROLLED_BACK),
            reason=reason,
            weight_bp=0,
            finished_at=now,
        )
        write_state(connection, row.model, now, **NO_ROLLOUT)
        after_end(connection, row, head, now)
        return as_rollout(row_of(connection, rollout_id))


def begin_promotion(engine: Engine, rollout_id: str, *, actor: str, now: datetime) -> Rollout:
    """Decide for the challenger: from now on the rollout can be finished, and not aborted.

    Decided before the alias moves, so that an abort comes before it or is refused. A promotion that was interrupted
    is taken up again by deciding a second time.
    """
    with engine.begin() as connection:
        row = active_row(connection, rollout_id, {State.CANARY, State.PAUSED, State.PROMOTING})
        if row.state != "promoting":
            change(connection, row, Action.PROMOTION_BEGUN, actor=actor, now=now, state="promoting")
        return as_rollout(row_of(connection, rollout_id))


def withdraw_promotion(engine: Engine, rollout_id: str, *, reason: str, actor: str, now: datetime) -> Rollout:
    """Hold the split, with the reason: the alias could not be moved."""
    with engine.begin() as connection:
        row = active_row(connection, rollout_id, {State.PROMOTING})
        change(connection, row, Action.PROMOTION_WITHDRAWN, actor=actor, now=now, state="paused", reason=reason)
        return as_rollout(row_of(connection, rollout_id))


def finish_promotion(engine: Engine, rollout_id: str, *, actor: str, now: datetime) -> Rollout:
    """End the rollout with the challenger as the champion; the alias has been moved before."""
    with engine.begin() as connection:
        row = active_row(connection, rollout_id, {State.PROMOTING})
        # A reason it was paused for is none it was promoted for.
        head = change(
            connection, row, Action.PROMOTED, actor=actor, now=now, state="promoted", reason=None, finished_at=now
        )
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
        after_end(connection, row, head, now)
        return as_rollout(row_of(connection, rollout_id))


def active_rollout(engine: Engine, model: str) -> Rollout | None:
    """Return the model's active rollout, None when it has none."""
    with reading(engine) as connection:
        row = connection.execute(
            select(ROLLOUT).where(ROLLOUT.c.model == model, ROLLOUT.c.finished_at.is_(None))
        ).first()
        return None if row is None else as_rollout(row)


def row_of(connection: Connection, rollout_id: str) -> Row[Any]:
    """Return a rollout's row.

    Raises:
        RolloutNotFoundError: There is none with this id.
    """
    row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == rollout_id)).first()
    if row is None:
        raise RolloutNotFoundError(rollout_id)
    return row


def active_row(connection: Connection, rollout_id: str, states: Collection[State]) -> Row[Any]:
    """Return a rollout's row if it is in one of the states.

    Raises:
        RolloutNotFoundError: There is none with this id.
        RolloutConflictError: It is in another state.
    """
    row = row_of(connection, rollout_id)
    if row.state not in states:
        raise RolloutConflictError(
            f"rollout '{rollout_id}' is {row.state}; this needs it to be {' or '.join(sorted(states))}"
        )
    return row


def as_rollout(row: Row[Any]) -> Rollout:
    """Return a row of `ROLLOUT` as a value."""
    return Rollout(
        id=row.id,
        model=row.model,
        state=row.state,
        version=row.version,
        champion_version=row.champion_version,
        challenger_version=row.challenger_version,
        weight=row.weight_bp / 10_000,
        reason=row.reason,
        created_by=row.created_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
        step=row.step_index,
        step_entered_at=row.step_entered_at,
        held=tuple(row.held or ()),
        approved_by=row.approved_by,
        plan_hash=row.plan_hash,
        is_guarded=bool(row.plan.get("guardrails")),
    )
