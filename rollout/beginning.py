"""What must be so before a rollout begins, and the row it begins with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select

from registry.promotion import admit, record_override, was_overridden
from registry.reference import CHALLENGER, CHAMPION, Reference
from registry.registry import Registry
from registry.versions import ModelVersion
from rollout.errors import ReplayGateError, RolloutConflictError
from rollout.history import Action
from rollout.plan import Plan
from rollout.replayed import check_replay
from rollout.states import State
from rollout.tables import ROLLOUT, ROLLOUT_EVENT, SERVING_STATE


def find_versions(registry: Registry, plan: Plan) -> tuple[ModelVersion, list[ModelVersion]]:
    """Return the champion and the plan's challengers.

    Raises:
        ModelNotFoundError: One of them is not in the registry.
        RolloutConflictError: A challenger is the champion.
    """
    champion = registry.find(Reference(plan.model, alias=CHAMPION))
    named = plan.challengers or ((plan.challenger,) if plan.challenger is not None else ())
    wanted = [Reference(plan.model, version=version) for version in named]
    challengers = [registry.find(one) for one in wanted or [Reference(plan.model, alias=CHALLENGER)]]
    if champion.version in {one.version for one in challengers}:
        raise RolloutConflictError(f"version {champion.version} of '{plan.model}' is the champion already")
    return champion, challengers


def admit_all(
    registry: Registry, versions: list[ModelVersion], *, override: str | None, actor: str, now: datetime
) -> None:
    """Let versions through their gates, or through an override; one that is on record already serves too.

    Raises:
        GateRefusedError: A gate refuses and there is no override.
    """
    for version in versions:
        if not was_overridden(version):
            admit(registry, version, override=override, actor=actor, now=now)


def admit_replayed(
    engine: Engine,
    registry: Registry,
    plan: Plan,
    champion: ModelVersion,
    challengers: list[ModelVersion],
    *,
    override: str | None,
    actor: str,
    now: datetime,
) -> None:
    """Let challengers through the replay gate of a plan that has one, or through an override, which is recorded.

    Raises:
        ReplayGateError: No replay stands for one of them, and there is no override.
    """
    if plan.replay is None:
        return
    for version in challengers:
        try:
            check_replay(engine, plan.replay, version, champion, now, plan=plan)
        except ReplayGateError:
            if override is None or not override.strip():
                raise
            record_override(registry, version, override=override, actor=actor, now=now)


def check_champion_serves(connection: Connection, champion: ModelVersion) -> None:
    """Refuse to replace, in silence, a version that serves because a deployment names it by its number.

    Raises:
        RolloutConflictError: Another version than the champion serves.
    """
    model = champion.name
    row = connection.execute(select(SERVING_STATE).where(SERVING_STATE.c.model == model)).first()
    if row is None or row.rollout_id is not None or row.champion_version in {None, champion.version}:
        return
    raise RolloutConflictError(
        f"'{model}' serves version {row.champion_version} and its champion is version {champion.version}, which a "
        f"rollout would serve instead; where FAIRMIND_BENTOS_MODELS pins the version, let it name '{model}' alone, "
        "and where the alias was moved a moment ago, repeat in a few seconds"
    )


def check_cooldown(connection: Connection, plan: Plan, now: datetime) -> None:
    """Refuse a guarded rollout of a model soon after one that was rolled back by itself.

    Raises:
        RolloutConflictError: The plan's `rollback_cooldown` is not over.
    """
    if plan.is_manual:
        return
    begun = (
        select(ROLLOUT.c.id, ROLLOUT_EVENT.c.at)
        .join(ROLLOUT_EVENT, ROLLOUT_EVENT.c.rollout_id == ROLLOUT.c.id)
        .where(ROLLOUT.c.model == plan.model, ROLLOUT_EVENT.c.action == str(Action.ROLLBACK_BEGUN))
        .order_by(ROLLOUT_EVENT.c.at.desc())
    )
    last = connection.execute(begun.limit(1)).first()
    if last is not None and now - last.at < plan.rollback_cooldown:
        minutes = (plan.rollback_cooldown - (now - last.at)).total_seconds() / 60
        raise RolloutConflictError(
            f"rollout '{last.id}' of '{plan.model}' was rolled back: look at why "
            f"(`fairmind rollout status {last.id}`), and start the next one in {minutes:.0f} minutes, or with a "
            "shorter `rollback_cooldown` in its plan"
        )


def first_row(
    plan: Plan, champion: ModelVersion, challengers: list[ModelVersion], *, state: State, actor: str, now: datetime
) -> dict[str, Any]:
    """Return what a rollout's row says when it begins, but for its id, salt and weight."""
    first, *others = challengers
    return {
        "model": plan.model,
        "state": str(state),
        "champion_version": champion.version,
        "challenger_version": first.version,
        "challengers": [{"version": one.version, "digest": one.digest} for one in others] or None,
        "plan": plan.model_dump(mode="json"),
        "plan_hash": plan.digest,
        "created_by": actor,
        "step_index": 0,
        "step_entered_at": now,
        "errors": 0,
    }
