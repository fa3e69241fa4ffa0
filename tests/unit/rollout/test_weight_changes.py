"""Weights by hand of several challengers: all of them at once, each within its slot."""

from __future__ import annotations

import pytest

from rollout.errors import InvalidPlanError, RolloutConflictError
from rollout.history import history
from rollout.rollout_views import told
from rollout.weight_changes import set_weights
from tests.unit.rollout.steering import Steering

SPLIT = {"guardrails": [], "challengers": ["2", "3"], "steps": [{"weights": [0.1, 0.2]}]}


def shares(steering: Steering) -> dict[str, float]:
    return {one["variant"]: one["share"] for one in told(steering.control, steering.rollout_id)["shares"]}


def test_each_challenger_of_a_manual_split_gets_its_new_share(steering: Steering) -> None:
    steering.start(**SPLIT)
    assert shares(steering) == {"champion": 0.7, "challenger": 0.1, "challenger-2": 0.2}
    changed = set_weights(steering.control, steering.rollout_id, [0.3, 0.05], actor="ada", now=steering.now)
    assert changed.weight == 0.3
    assert shares(steering) == {"champion": 0.65, "challenger": 0.3, "challenger-2": 0.05}
    assert [(one.version, one.digest) for one in steering.served().others] == [("3", "sha256:3")]
    assert history(steering.control, steering.rollout_id)[-1].reason == "weights 0.3, 0.05"


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([0.1], "a weight for each"),
        ([0.1] * 3, "a weight for each"),
        ([0.4, 0.1], "at most 1/3"),
        ([0.1, -0.1], "outside"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(steering: Steering, weights: list[float], said: str) -> None:
    steering.start(**SPLIT)
    before = steering.served()
    with pytest.raises(InvalidPlanError, match=said):
        set_weights(steering.control, steering.rollout_id, weights, actor="ada", now=steering.now)
    assert steering.served() == before
    assert steering.actions() == ["started"]


@pytest.mark.parametrize("kind", ["guardrails", "goals"])
def test_of_several_that_are_measured_the_plan_has_the_weights(steering: Steering, kind: str) -> None:
    measured = {"guardrails": [], kind: [{"metric": "error_rate", "margin": 0.02}]}
    steering.start(challengers=["2", "3"], steps=[{"weights": [0.1, 0.2]}], **measured)
    steering.tick(steering.controller())
    with pytest.raises(RolloutConflictError, match="several challengers"):
        set_weights(steering.control, steering.rollout_id, [0.05, 0.1], actor="ada", now=steering.now)
