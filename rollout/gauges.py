"""What a scrape tells of rollouts, read from the control database: so that every replica tells the same."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, func, select

from database.engine import reading
from monitoring.exposition import StateMetrics
from rollout.history import Action
from rollout.outbox import Kind
from rollout.tables import EVALUATION, OUTBOX, ROLLOUT, ROLLOUT_EVENT, SERVING_STATE


def set_rollout_gauges(engine: Engine, state: StateMetrics, now: datetime) -> None:
    """Set the state of each served model's newest rollout, for how long nothing was done to it, and what was done;
    of an active one also what its last evaluation says of each guardrail, of one that was promoted how long its
    alias has waited to be moved.

    A model that had a rollout has a count for everything that can be done, 0 where it was not: a counter that
    begins at 1 has risen by nothing.
    """
    served = select(SERVING_STATE.c.model).where(SERVING_STATE.c.champion_version.is_not(None))
    newest = (
        select(ROLLOUT.c.model, ROLLOUT.c.state)
        .where(ROLLOUT.c.model.in_(served))
        .order_by(ROLLOUT.c.created_at, ROLLOUT.c.id)
    )
    changed = (
        select(ROLLOUT.c.model, ROLLOUT_EVENT.c.at)
        .join(ROLLOUT_EVENT, (ROLLOUT_EVENT.c.rollout_id == ROLLOUT.c.id))
        .where(ROLLOUT.c.finished_at.is_(None), ROLLOUT_EVENT.c.number == ROLLOUT.c.version)
    )
    counted = (
        select(ROLLOUT.c.model, ROLLOUT_EVENT.c.action, func.count())
        .join(ROLLOUT_EVENT, ROLLOUT_EVENT.c.rollout_id == ROLLOUT.c.id)
        .group_by(ROLLOUT.c.model, ROLLOUT_EVENT.c.action)
    )
    looked = select(EVALUATION.c.rollout_id, func.max(EVALUATION.c.number).label("number"))
    newest_look = looked.group_by(EVALUATION.c.rollout_id).subquery()
    evaluated = (
        select(ROLLOUT.c.model, EVALUATION.c.evaluation)
        .join(newest_look, newest_look.c.rollout_id == ROLLOUT.c.id)
        .join(
            EVALUATION,
            (EVALUATION.c.rollout_id == newest_look.c.rollout_id) & (EVALUATION.c.number == newest_look.c.number),
        )
        .where(ROLLOUT.c.finished_at.is_(None))
    )
    waiting = (
        select(OUTBOX.c.model, func.min(OUTBOX.c.created_at))
        .where(OUTBOX.c.kind == Kind.PROMOTE, OUTBOX.c.done_at.is_(None))
        .group_by(OUTBOX.c.model)
    )
    with reading(engine) as connection:
        for model, since in connection.execute(waiting):
            state.promotion_waiting.labels(model).set(max(0.0, (now - since).total_seconds()))
        for model, evaluation in connection.execute(evaluated):
            for one in evaluation["judgements"]:
                state.rollout_verdict.labels(model, one["arm"], one["guardrail"], one["verdict"]).set(1)
        states = {row.model: row.state for row in connection.execute(newest)}
        for model, found in states.items():
            state.rollout_state.labels(model, found).set(1)
        for model, at in connection.execute(changed):
            state.rollout_unchanged.labels(model).set(max(0.0, (now - at).total_seconds()))
        decisions = {(model, action): count for model, action, count in connection.execute(counted)}
    for model in sorted({model for model, _ in decisions}):
        for action in Action:
            state.decisions.labels(model, str(action)).set(decisions.get((model, str(action)), 0))
