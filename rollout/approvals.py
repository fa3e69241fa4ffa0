"""What people decide about a rollout with guardrails: that it goes on, and that it has shown enough."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row

from database.engine import reading
from rollout import evaluations
from rollout.decisions import Move
from rollout.errors import RolloutConflictError, RolloutGateError
from rollout.evaluations import StoredEvaluation
from rollout.guards import granted, missing
from rollout.history import Action, change
from rollout.plan import Plan
from rollout.rollouts import GOING_ON, Rollout, active_row, as_rollout, row_of
from rollout.states import State
from rollout.transitions import carry_out

_FRESH: Final = timedelta(minutes=1)


def approve(engine: Engine, rollout_id: str, *, reason: str | None, actor: str, now: datetime) -> Rollout:
    """Approve the step that a rollout awaits; the controller takes it once it has looked at the evidence again.

    Raises:
        RolloutGateError: The plan wants four eyes and it is its creator's own; or its guardrails have not shown
            what the step needs, and there is no reason to go on in spite of that.
        RolloutConflictError: It awaits no approval.
    """
    with engine.begin() as connection:
        row = active_row(connection, rollout_id, {State.AWAITING_APPROVAL})
        plan = Plan.parse(row.plan)
        _check_eyes(plan, row, actor)
        lacking = _missing(evaluations.newest(connection, rollout_id), row, plan, now, for_the_end=False)
        if lacking and not (reason and reason.strip()):
            raise RolloutGateError(
                f"rollout '{rollout_id}' does not show what its step needs: {'; '.join(lacking)}; to go on in "
                "spite of that, say why (`--reason`)"
            )
        overridden = reason if lacking else None
        values = {"approved_by": actor, "overridden": overridden}
        change(connection, row, Action.APPROVED, actor=actor, now=now, said=reason, **values)
        return as_rollout(row_of(connection, rollout_id))


def check_promotion(engine: Engine, rollout_id: str, *, override: str | None, actor: str, now: datetime) -> None:
    """Refuse what `promote_guarded` would refuse now, of a manual split that four eyes are wanted; change nothing.

    Raises:
        RolloutGateError, RolloutConflictError: As for `promote_guarded`.
    """
    with reading(engine) as connection:
        row = row_of(connection, rollout_id)
        plan = Plan.parse(row.plan)
        if plan.guardrails:
            _lacking_at_the_end(connection, row, plan, override=override, actor=actor, now=now)
        else:
            _check_eyes(plan, row, actor)


def promote_guarded(engine: Engine, rollout_id: str, *, override: str | None, actor: str, now: datetime) -> Rollout:
    """End a rollout with guardrails by hand, with the challenger as the champion; the alias follows.

    Before all required guardrails have passed, and all steps that want an approval have it, this needs an
    `override`, which stands in the decision.

    Raises:
        RolloutGateError: A required guardrail has not passed, or an approval is missing, and there is no override;
            or the plan wants four eyes and it is its creator's own.
        RolloutConflictError: It is over, being rolled back, or has several challengers.
    """
    with engine.begin() as connection:
        row = row_of(connection, rollout_id)
        plan = Plan.parse(row.plan)
        lacking = _lacking_at_the_end(connection, row, plan, override=override, actor=actor, now=now)
        grounds = granted(plan, row.step_index, lacking)
        reason = f"by hand, {grounds}" + (f"; {override}" if lacking else "")
        move = Move(State.PROMOTED, row.step_index, reason)
        newest = evaluations.newest(connection, rollout_id)
        carry_out(
            connection,
            row,
            plan,
            move,
            actor=actor,
            now=now,
            evaluation_id=None if newest is None else newest.id,
            override=override,
        )
        return as_rollout(row_of(connection, rollout_id))


def _lacking_at_the_end(
    connection: Connection, row: Row[Any], plan: Plan, *, override: str | None, actor: str, now: datetime
) -> list[str]:
    """Return what is missing for a promotion by hand, which an override goes over; refuse what may not be."""
    active_row(connection, row.id, GOING_ON - {State.PENDING})
    if row.challengers:
        raise RolloutConflictError(
            f"rollout '{row.id}' has several challengers: abort it, and promote one of them with "
            "`fairmind models promote`"
        )
    _check_eyes(plan, row, actor)
    newest = evaluations.newest(connection, row.id)
    lacking = [*_missing(newest, row, plan, now, for_the_end=True), *_unapproved(plan, row)]
    if lacking and not (override and override.strip()):
        raise RolloutGateError(
            f"rollout '{row.id}' has not passed: {'; '.join(lacking)}; to promote it in spite of that, "
            "say why (`--override`)"
        )
    return lacking


def _check_eyes(plan: Plan, row: Row[Any], actor: str) -> None:
    if plan.four_eyes and actor == row.created_by:
        raise RolloutGateError(
            f"the plan of rollout '{row.id}' wants four eyes: somebody else than {actor}, who started it, decides"
        )


def _unapproved(plan: Plan, row: Row[Any]) -> list[str]:
    """Return which steps from here on want an approval that nobody gave; one counts for its own step."""
    first = row.step_index + (row.approved_by is not None)
    wanted = [number for number in range(first, len(plan.steps)) if plan.steps[number].requires_approval]
    return [f"step {number + 1} was not approved" for number in wanted]


def _missing(
    newest: StoredEvaluation | None, row: Row[Any], plan: Plan, now: datetime, *, for_the_end: bool
) -> list[str]:
    """Return what the newest evaluation lacks; all of it where there is none of this step.

    One that is older than two looks says nothing of what happened since: its age is among it.
    """
    if newest is None or newest.step != row.step_index:
        return ["nothing was evaluated in this step yet"]
    lacking = missing(plan, row.step_index, newest.evaluation, for_the_end=for_the_end)
    age = now - newest.at
    is_old = age > max(2 * plan.eval_interval, _FRESH)
    aged = [f"its last evaluation is {age.total_seconds():,.0f} s old"] if is_old else []
    return [*newest.evaluation.holds, *lacking, *aged]
