"""The report of a rollout, from what the control database keeps of it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, select

from database.engine import reading
from registry.errors import RegistryError
from registry.registry import Registry
from rollout.evaluations import evaluations
from rollout.history import history
from rollout.outbox import waiting_promotion
from rollout.plan import Plan
from rollout.report_html import Chain, html
from rollout.rollouts import find
from rollout.tables import ROLLOUT
from rollout.verify import verify_log


def report(engine: Engine, registry: Registry, rollout_id: str, now: datetime) -> str:
    """Return a rollout as one HTML page that needs no other file.

    Raises:
        RolloutNotFoundError: There is none with this id.
        InvalidPlanError: This release cannot read its plan.
    """
    rollout = find(engine, rollout_id)
    with reading(engine) as connection:
        plan = Plan.parse(connection.execute(select(ROLLOUT.c.plan).where(ROLLOUT.c.id == rollout_id)).scalar_one())
        waits = waiting_promotion(connection, rollout_id)
    return html(
        rollout,
        plan,
        history(engine, rollout_id),
        evaluations(engine, rollout_id),
        now=now,
        chain=_chain(engine, registry, rollout_id),
        waits=None if waits is None else waits.told,
    )


def _chain(engine: Engine, registry: Registry, rollout_id: str) -> Chain:
    try:
        (found,) = verify_log(engine, registry, rollout_id)
    except RegistryError as error:
        return Chain(is_whole=False, told=f"It could not be compared with the registry: {error}")
    if found.problem is not None:
        return Chain(is_whole=False, told=found.problem)
    counted = f"{found.events} decisions and {found.evaluations} evaluations checked."
    return Chain(is_whole=True, told=counted if found.note is None else f"{counted} {found.note}")
