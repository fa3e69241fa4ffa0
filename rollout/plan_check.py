"""Plans that cannot pass are refused before they serve anybody."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine

from rollout.errors import UnderpoweredPlanError
from rollout.linter import Finding, lint
from rollout.measured_traffic import measure_traffic
from rollout.plan import Plan


def check_power(log: Engine, plan: Plan, now: datetime) -> list[Finding]:
    """Return what is found of a plan at the traffic of the last day; a manual split is not looked at.

    Raises:
        UnderpoweredPlanError: It cannot pass, whatever the challenger is like.
    """
    if plan.is_manual:
        return []
    found = lint(plan, measure_traffic(log, plan, now))
    errors = [one for one in found if one.level == "error"]
    if errors:
        raise UnderpoweredPlanError([one.message for one in errors])
    return found
