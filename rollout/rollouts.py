"""Rollouts in motion: started, re-weighted, paused, aborted, promoted; each change made once or not at all.

Whoever changes one is its `actor`, an API key's id or a person's name, and stands in its history.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, select
from sqlalchemy.exc import IntegrityError

from database.engine import reading
from registry.promotion import admit, was_overridden
from registry.reference import CHALLENGER, CHAMPION, Reference
from registry.registry import Registry
from registry.versions import ModelVersion
from rollout.errors import RolloutConflictError, RolloutNotFoundError
from rollout.history import Action, begin, change
from rollout.plan import Plan
from rollout.serving_store import NO_ROLLOUT, new_salt, write_state
from rollout.tables import ROLLOUT, SERVING_STATE
from rollout.weights import weight_to_bp


@dataclass(frozen=True, slots=True)
class Rollout:
    """One plan in motion. `version` counts its changes; `weight` is the challenger's share, 0 to 0.5."""

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

    def to_dict(self) -> dict[str, Any]:
        """Return the rollout as JSON-able values."""
        times = {"created_at": self.created_at, "finished_at": self.finished_at}
        return asdict(self) | {name: time and time.isoformat() for name, time in times.items()}


def rollouts(engine: Engine) -> list[Rollout]:
    """Return all rollouts, newest first."""
    with reading(engine) as connection:
        rows = connection.execute(select(ROLLOUT).order_by(ROLLOUT.c.created_at.desc()))
        return [_rollout(row) for row in rows]


def find(engine: Engine, rollout_id: str) -> Rollout:
    """Return one rollout.

    Raises:
        RolloutNotFoundError: There is none with this id.
    """
    with reading(engine) as connection:
        return _rollout(_row(connection, rollout_id))


def start(
    engine: Engine, plan: Plan, registry: Registry, *, actor: str, now: datetime, override: str | None = None
) -> Rollout:
    """Start a rollout: from now on the challenger gets the plan's share of the units, under a new randomisation.

    The challenger must have passed its gates. `override` is the reason to start although it did not; one that was
    recorded on the version before, when it was made challenger, serves too.

    Raises:
        GateRefusedError: A gate refuses the challenger and there is no override.
        ModelNotFoundError: The champion or the challenger is not in the registry.
        RolloutConflictError: The model has an active rollout, or the challenger is the champion, or the champion is
            not what serves: that is pinned, or the alias has just been moved.
    """
    champion = registry.find(Reference(plan.model, alias=CHAMPION))
    wanted = (
        Reference(plan.model, alias=CHALLENGER)
        if plan.challenger is None
        else Reference(plan.model, version=plan.challenger)
    )
    challenger = registry.find(wanted)
    if challenger.version == champion.version:
        raise RolloutConflictError(f"version {champion.version} of '{plan.model}' is the champion already")
    if not was_overridden(challenger):
        admit(registry, challenger, override=override, actor=actor, now=now)
    rollout_id, salt = f"r-{uuid.uuid4().hex[:12]}", new_salt()
    weight_bp = plan.steps[0].weight_bp
    with engine.begin() as connection:
        _check_champion_serves(connection, champion)
        try:
            begin(
                connection,
                {
                    "id": rollout_id,
                    "model": plan.model,
                    "state": "canary",
                    "champion_version": champion.version,
                    "challenger_version": challenger.version,
                    "weight_bp": weight_bp,
                    "salt": salt,
                    "plan": plan.model_dump(mode="json"),
                    "created_by": actor,
                },
                now=now,
            )
        except IntegrityError as error:
            raise RolloutConflictError(
                f"model '{plan.model}' has an active rollout; promote or abort it first "
                "(`fairmind rollout list` shows it)"
            ) from error
        _pin(connection, champion, challenger, now, weight_bp=weight_bp, salt=salt, rollout_id=rollout_id)
        return _rollout(_row(connection, rollout_id))


def set_weight(engine: Engine, rollout_id: str, weight: float, *, actor: str, now: datetime) -> Rollout:
    """Give the challenger another share of the units; assignments change as little as possible.

    Raises:
        InvalidPlanError: The weight lies outside 0 to 0.5.
        RolloutConflictError: The rollout is paused or over.
    """
    weight_bp = weight_to_bp(weight)
    with engine.begin() as connection:
        row = _active(connection, rollout_id, {"canary"})
        change(connection, row, Action.WEIGHT_CHANGED, actor=actor, now=now, weight_bp=weight_bp)
        write_state(connection, row.model, now, weight_bp=weight_bp)
        return _rollout(_row(connection, rollout_id))


def pause(engine: Engine, rollout_id: str, *, reason: str | None, actor: str, now: datetime) -> Rollout:
    """Hold the rollout: what is served stays as it is until it is resumed, aborted or promoted."""
    with engine.begin() as connection:
        row = _active(connection, rollout_id, {"canary"})
        change(connection, row, Action.PAUSED, actor=actor, now=now, state="paused", reason=reason)
        return _rollout(_row(connection, rollout_id))


def resume(engine: Engine, rollout_id: str, *, actor: str, now: datetime) -> Rollout:
    """Let a paused rollout go on."""
    with engine.begin() as connection:
        row = _active(connection, rollout_id, {"paused"})
        change(connection, row, Action.RESUMED, actor=actor, now=now, state="canary", reason=None)
        return _rollout(_row(connection, rollout_id))


def abort(engine: Engine, rollout_id: str, *, reason: str | None, actor: str, now: datetime) -> Rollout:
    """End the rollout: every unit is served by the champion again. Always allowed while it is active."""
    with engine.begin() as connection:
        row = _active(connection, rollout_id, {"canary", "paused"})
        change(
            connection,
            row,
            Action.ABORTED,
            actor=actor,
            now=now,
            state="rolled_back",
            reason=reason,
            weight_bp=0,
            finished_at=now,
        )
        write_state(connection, row.model, now, **NO_ROLLOUT)
        return _rollout(_row(connection, rollout_id))


def begin_promotion(engine: Engine, rollout_id: str, *, actor: str, now: datetime) -> Rollout:
    """Decide for the challenger: from now on the rollout can be finished, and not aborted.

    Decided before the alias moves, so that an abort comes before it or is refused. A promotion that was interrupted
    is taken up again by deciding a second time.
    """
    with engine.begin() as connection:
        row = _active(connection, rollout_id, {"canary", "paused", "promoting"})
        if row.state != "promoting":
            change(connection, row, Action.PROMOTION_BEGUN, actor=actor, now=now, state="promoting")
        return _rollout(_row(connection, rollout_id))


def withdraw_promotion(engine: Engine, rollout_id: str, *, reason: str, actor: str, now: datetime) -> Rollout:
    """Hold the split, with the reason: the alias could not be moved."""
    with engine.begin() as connection:
        row = _active(connection, rollout_id, {"promoting"})
        change(connection, row, Action.PROMOTION_WITHDRAWN, actor=actor, now=now, state="paused", reason=reason)
        return _rollout(_row(connection, rollout_id))


def finish_promotion(engine: Engine, rollout_id: str, *, actor: str, now: datetime) -> Rollout:
    """End the rollout with the challenger as the champion; the alias has been moved before."""
    with engine.begin() as connection:
        row = _active(connection, rollout_id, {"promoting"})
        # A reason it was paused for is none it was promoted for.
        change(
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
        return _rollout(_row(connection, rollout_id))


def active_rollout(engine: Engine, model: str) -> Rollout | None:
    """Return the model's active rollout, None when it has none."""
    with reading(engine) as connection:
        row = connection.execute(
            select(ROLLOUT).where(ROLLOUT.c.model == model, ROLLOUT.c.finished_at.is_(None))
        ).first()
        return None if row is None else _rollout(row)


def _check_champion_serves(connection: Connection, champion: ModelVersion) -> None:
    """Refuse to replace, in silence, a version that serves because a deployment names it by its number."""
    model = champion.name
    row = connection.execute(select(SERVING_STATE).where(SERVING_STATE.c.model == model)).first()
    if row is None or row.rollout_id is not None or row.champion_version in {None, champion.version}:
        return
    raise RolloutConflictError(
        f"'{model}' serves version {row.champion_version} and its champion is version {champion.version}, which a "
        f"rollout would serve instead; where FAIRMIND_BENTOS_MODELS pins the version, let it name '{model}' alone, "
        "and where the alias was moved a moment ago, repeat in a few seconds"
    )


def _pin(
    connection: Connection, champion: ModelVersion, challenger: ModelVersion, now: datetime, **values: Any
) -> None:
    write_state(
        connection,
        champion.name,
        now,
        champion_version=champion.version,
        champion_digest=champion.digest,
        challenger_version=challenger.version,
        challenger_digest=challenger.digest,
        **values,
    )


def _row(connection: Connection, rollout_id: str) -> Row[Any]:
    row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == rollout_id)).first()
    if row is None:
        raise RolloutNotFoundError(rollout_id)
    return row


def _active(connection: Connection, rollout_id: str, states: set[str]) -> Row[Any]:
    row = _row(connection, rollout_id)
    if row.state not in states:
        raise RolloutConflictError(
            f"rollout '{rollout_id}' is {row.state}; this needs it to be {' or '.join(sorted(states))}"
        )
    return row


def _rollout(row: Row[Any]) -> Rollout:
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
    )
