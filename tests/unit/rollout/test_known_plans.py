"""A rollout's plan is read once, and one that cannot be read keeps nothing from being shipped."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Engine

from rollout.known_plans import KnownPlans
from tests.unit.rollout.evidence_home import ROLLOUT, plan
from tests.unit.rollout.test_unit_retention import started


@pytest.mark.parametrize(
    ("content", "is_found"),
    [
        (plan().model_dump(mode="json"), True),
        ({"model": "credit", "steps": [{"weight": 0.2}]}, False),
        ({"model": "credit", "steps": "as an older release wrote it"}, False),
    ],
)
def test_plans_that_watch_something_are_found_and_read_once(
    engine: Engine, content: dict[str, Any], is_found: bool
) -> None:
    started(engine, plan=content)
    plans = KnownPlans(engine)
    found = plans.find(ROLLOUT)
    assert (found == plan()) is is_found
    assert plans.find(ROLLOUT) is found
    assert plans.find("nobody's") is None
