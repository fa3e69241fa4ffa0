"""The plans of rollouts by their id, each read once: a plan never changes."""

from __future__ import annotations

import logging

from sqlalchemy import Engine, select

from database.engine import reading
from rollout.errors import InvalidPlanError
from rollout.plan import Plan
from rollout.tables import ROLLOUT

_log = logging.getLogger(__name__)


class KnownPlans:
    """Reads plans from the control database, for who counts their evidence."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._plans: dict[str, Plan | None] = {}

    def find(self, rollout_id: str) -> Plan | None:
        """Return a rollout's plan; None where it watches nothing, or there is none that this release can read.

        Raises:
            SQLAlchemyError: The database is away.
        """
        if rollout_id not in self._plans:
            self._plans[rollout_id] = self._read(rollout_id)
        return self._plans[rollout_id]

    def _read(self, rollout_id: str) -> Plan | None:
        with reading(self._engine) as connection:
            content = connection.execute(
                select(ROLLOUT.c.plan).where(ROLLOUT.c.id == rollout_id)
            ).scalar_one_or_none()
        if content is None:
            return None
        try:
            plan = Plan.parse(content)
        except InvalidPlanError as error:
            # What cannot be read must not keep the log from being shipped.
            _log.error("rollout '%s' is not analysed: its plan cannot be read (%s)", rollout_id, error)
            return None
        return plan if plan.watched else None
