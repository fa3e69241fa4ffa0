"""Promotion by hand: the alias moves if the gates allow, and what serves follows at once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Engine

from registry.errors import GateRefusedError, ModelNotFoundError, RegistryError
from registry.promotion import Promotion, admit, promote
from registry.promotion import rollback as rollback_alias
from registry.reference import CHALLENGER, CHAMPION, Reference
from registry.registry import Registry
from registry.versions import ModelVersion
from registry.wanted import WantedModels
from rollout import rollouts
from rollout.approvals import check_promotion, promote_guarded
from rollout.errors import NoUnitsError, ReplayGateError, RolloutConflictError
from rollout.outbox import deliver, supersede
from rollout.plan import Plan
from rollout.replay_gate import ReplayGate
from rollout.replayed import check_replay
from rollout.rollouts import Rollout
from rollout.serving_store import follow_aliases, serving_epochs
from rollout.unit_share import UnitShare, unit_share

_TRAFFIC: Final = timedelta(days=1)


def recent_units(log: Engine, model: str, now: datetime) -> UnitShare:
    """Return how much of a model's traffic of the last day carries a unit."""
    return unit_share(log, model, now - _TRAFFIC, now)


def check_plan(plan: Plan, traffic: UnitShare) -> None:
    """Refuse a plan that this traffic can show nothing for.

    Raises:
        NoUnitsError: It assigns by units, and no row carries one.
    """
    needs_units = not plan.is_manual and plan.unit == "unit"
    if needs_units and traffic.rows and not traffic.with_unit:
        raise NoUnitsError(plan.model, traffic.rows)


def start_rollout(
    control: Engine,
    registry: Registry,
    plan: Plan,
    wanted: WantedModels,
    *,
    override: str | None,
    actor: str,
    now: datetime,
    traffic: UnitShare | None = None,
) -> Rollout:
    """Start a rollout, as `rollout.rollouts.start` does, of a model whose champion is what `wanted` says serves.

    With `traffic`, its recent traffic, the plan is checked against that.

    Raises:
        InvalidPlanError: The traffic can show nothing for the plan.
        RolloutConflictError: The model is pinned to something else, to which its promotion would give way; or what
            `start` says.
        GateRefusedError, ModelNotFoundError: As for `start`.
    """
    if traffic is not None:
        check_plan(plan, traffic)
    pin = wanted.pin(plan.model)
    if pin is not None:
        raise RolloutConflictError(
            f"FAIRMIND_BENTOS_MODELS pins what '{plan.model}' serves to '{pin}'; for a rollout, which splits "
            f"between its champion and a challenger, let it name '{plan.model}' alone"
        )
    return rollouts.start(control, plan, registry, actor=actor, now=now, override=override)


def promote_rollout(
    control: Engine, registry: Registry, rollout_id: str, *, override: str | None, actor: str, now: datetime
) -> Rollout:
    """End a rollout with its challenger as the champion.

    Raises:
        GateRefusedError: A gate refuses and there is no override; nothing changed.
        RolloutGateError: A guardrail has not passed or an approval is missing, and there is no override; or it
            needs somebody else than who started it; nothing changed.
        RolloutConflictError: The rollout is over.
    """
    rollout = rollouts.find(control, rollout_id)
    if rollout.finished_at is not None:
        raise RolloutConflictError(f"rollout '{rollout_id}' is over: {rollout.state}")
    reference = Reference(rollout.model, version=rollout.challenger_version)
    # Before the override is recorded on the version: what is refused leaves nothing there.
    check_promotion(control, rollout_id, override=override, actor=actor, now=now)
    admit(registry, registry.find(reference), override=override, actor=actor, now=now)
    if rollout.is_guarded:
        promoted = promote_guarded(control, rollout_id, override=override, actor=actor, now=now)
        deliver(control, registry, now)  # what fails is tried again by the controller
        return promoted
    rollouts.begin_promotion(control, rollout_id, actor=actor, now=now)
    try:
        _promote(registry, reference, alias=CHAMPION, override=override, actor=actor, now=now)
    except RegistryError as error:
        rollouts.withdraw_promotion(
            control, rollout_id, reason=f"its promotion failed: {error}", actor=actor, now=now
        )
        raise
    return rollouts.finish_promotion(control, rollout_id, actor=actor, now=now)


def promote_version(
    control: Engine,
    registry: Registry,
    reference: Reference,
    *,
    alias: str,
    override: str | None,
    actor: str,
    now: datetime,
    wanted: WantedModels | None = None,
    replay: ReplayGate | None = None,
) -> Promotion:
    """Point an alias at a version and let what serves follow, which is every champion or what `wanted` names.

    A rollout's promotion that still waits for the registry gives way to that. With `replay`, a version becomes
    champion only where a replay of it beside the champion stands for it.

    Raises:
        GateRefusedError: A gate refuses and there is no override; nothing changed.
        RolloutConflictError: The model has an active rollout, which decides what serves.
    """
    _refuse_during_rollout(control, reference.name)
    overridden = False
    if alias == CHAMPION:
        # Before the alias moves, or the outbox moves it on; and not for what the gates refuse.
        version = registry.find(reference)
        check = None if replay is None else partial(_check_replay, control, registry, replay, now)
        overridden = admit(registry, version, override=override, actor=actor, now=now, check=check)
        supersede(control, reference.name, now)
    promotion = _promote(registry, reference, alias=alias, override=override, actor=actor, now=now)
    follow(control, registry, now, wanted)
    return replace(promotion, overridden=overridden or promotion.overridden)


def roll_back(
    control: Engine,
    registry: Registry,
    name: str,
    *,
    actor: str,
    now: datetime,
    wanted: WantedModels | None = None,
) -> Promotion:
    """Put the previous champion back and let what serves follow, as for `promote_version`.

    Where a rollout's promotion still waits for the registry, that is the champion before the rollout.
    """
    _refuse_during_rollout(control, name)
    before_rollout = supersede(control, name, now)
    promotion = rollback_alias(registry, name, actor=actor, now=now, to=before_rollout)
    follow(control, registry, now, wanted)
    return promotion


def _check_replay(
    control: Engine, registry: Registry, gate: ReplayGate, now: datetime, version: ModelVersion
) -> None:
    """Refuse a version that no replay beside the champion stands for; the first champion has nobody beside it.

    Raises:
        GateRefusedError: None does.
    """
    try:
        champion = registry.find(Reference(version.name, alias=CHAMPION))
    except ModelNotFoundError:
        return
    if champion.version == version.version:
        return
    try:
        check_replay(control, gate, version, champion, now)
    except ReplayGateError as error:
        raise GateRefusedError(str(version), (), problem=str(error)) from error


def _promote(
    registry: Registry, reference: Reference, *, alias: str, override: str | None, actor: str, now: datetime
) -> Promotion:
    promotion = promote(registry, reference, alias=alias, override=override, actor=actor, now=now)
    if alias == CHAMPION and CHALLENGER in promotion.version.aliases:
        registry.delete_alias(reference.name, CHALLENGER)  # the champion challenges nobody
    return promotion


def follow(control: Engine, registry: Registry, now: datetime, wanted: WantedModels | None = None) -> list[str]:
    """Look at what the registry's aliases, or `wanted`, say and let what serves follow; return what changed."""
    seen = serving_epochs(control)
    return follow_aliases(control, (wanted or WantedModels()).find(registry), now, seen=seen)


def _refuse_during_rollout(control: Engine, name: str) -> None:
    active = rollouts.active_rollout(control, name)
    if active is not None:
        raise RolloutConflictError(
            f"rollout '{active.id}' decides what '{name}' serves; end it first: "
            f"`fairmind rollout promote {active.id}` or `fairmind rollout abort {active.id}`"
        )
