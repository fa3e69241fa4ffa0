"""What people decide about a rollout with guardrails: approved, promoted, lowered, aborted, and by whom."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rollout import rollouts
from rollout.approvals import approve, promote_guarded
from rollout.errors import InvalidPlanError, RolloutConflictError, RolloutGateError
from rollout.history import history
from tests.unit.rollout.steering import CANARY, Canary, Steering


def test_a_step_that_needs_approval_waits_for_somebody_else(steering: Steering) -> None:
    step = CANARY["steps"][0] | {"requires_approval": True}
    steering.start(steps=[step], four_eyes=True)
    controller = steering.controller()
    steering.tick(controller)
    with pytest.raises(RolloutConflictError, match="awaiting_approval"):
        approve(steering.control, steering.rollout_id, reason=None, actor="bob", now=steering.now)
    steering.see()
    assert steering.tick(controller) == "awaiting_approval"
    with pytest.raises(RolloutGateError, match="wants four eyes"):
        approve(steering.control, steering.rollout_id, reason=None, actor="ada", now=steering.now)
    approved = approve(steering.control, steering.rollout_id, reason=None, actor="bob", now=steering.now)
    assert (approved.state, approved.approved_by) == ("awaiting_approval", "bob")
    assert steering.tick(controller, timedelta(seconds=1)) == "promoting"


def test_what_has_not_passed_is_approved_with_a_reason_only(steering: Steering) -> None:
    step = CANARY["steps"][0] | {"max_duration": "20m"}
    steering.start(steps=[step], on_inconclusive="require_approval")
    controller = steering.controller()
    steering.tick(controller)
    steering.see(n=600)
    assert steering.tick(controller) == "canary"
    assert steering.tick(controller) == "awaiting_approval"
    with pytest.raises(RolloutGateError, match="has not passed"):
        approve(steering.control, steering.rollout_id, reason=None, actor="bob", now=steering.now)
    approve(steering.control, steering.rollout_id, reason="a pilot", actor="bob", now=steering.now)
    assert steering.tick(controller, timedelta(seconds=1)) == "promoting"
    assert "in spite of" in str(history(steering.control, steering.rollout_id)[-1].reason)


def test_a_promotion_by_hand_needs_what_has_passed_or_a_reason_which_is_kept(canary: Canary) -> None:
    steering, controller = canary
    for seen in (False, True):
        if seen:
            steering.see(n=600)
            steering.tick(controller)
        with pytest.raises(RolloutGateError, match="to promote it in spite of that"):
            promote_guarded(steering.control, steering.rollout_id, override=" ", actor="ada", now=steering.now)
    ended = promote_guarded(
        steering.control, steering.rollout_id, override="the board agreed", actor="ada", now=steering.now
    )
    assert (ended.state, steering.served().champion.version) == ("promoted", "2")
    assert "by hand, in spite of" in str(history(steering.control, steering.rollout_id)[-1].reason)
    assert "the board agreed" in str(history(steering.control, steering.rollout_id)[-1].reason)


def test_a_guarded_weight_may_be_lowered_and_not_raised(canary: Canary) -> None:
    steering, _ = canary
    lowered = rollouts.set_weight(steering.control, steering.rollout_id, 0.05, actor="ada", now=steering.now)
    assert (lowered.weight, steering.served().weight_bp) == (0.05, 500)
    with pytest.raises(InvalidPlanError, match="it can be lowered"):
        rollouts.set_weight(steering.control, steering.rollout_id, 0.06, actor="ada", now=steering.now)


def test_several_challengers_are_loaded_weighted_and_never_promoted(steering: Steering) -> None:
    plan = {"challengers": ["2", "3"], "steps": [{"weights": [0.1, 0.2]}], "rollback_cooldown": 0}
    steering.start(**plan)
    assert [(one.version, one.weight_bp) for one in steering.served().others] == [("3", 0)]
    controller = steering.controller()
    assert steering.tick(controller) == "canary"
    assert steering.served().weight_bp == 1_000
    assert [(one.version, one.weight_bp) for one in steering.served().others] == [("3", 2_000)]
    for refused in (
        lambda: rollouts.set_weight(steering.control, steering.rollout_id, 0.05, actor="a", now=steering.now),
        lambda: promote_guarded(steering.control, steering.rollout_id, override="x", actor="a", now=steering.now),
    ):
        with pytest.raises(RolloutConflictError, match="several challengers"):
            refused()


def test_a_pending_rollout_is_cancelled_and_a_begun_one_rolled_back_by_an_abort(steering: Steering) -> None:
    steering.start()
    ended = rollouts.abort(steering.control, steering.rollout_id, reason="no", actor="ada", now=steering.now)
    assert (ended.state, ended.finished_at, steering.served().rollout_id) == ("cancelled", steering.now, None)
    steering.start()
    controller = steering.controller()
    steering.tick(controller)
    ended = rollouts.abort(steering.control, steering.rollout_id, reason="no", actor="ada", now=steering.now)
    assert (ended.state, steering.served().shadow_bp) == ("rolling_back", 0)
    with pytest.raises(RolloutConflictError, match="is rolling_back"):
        rollouts.abort(steering.control, steering.rollout_id, reason=None, actor="ada", now=steering.now)
    assert steering.tick(controller) == "rolled_back"
    assert (steering.found().reason, steering.actions()) == (
        "no",
        ["started", "advanced", "aborted", "rolled_back"],
    )
