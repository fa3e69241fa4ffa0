"""What people decide about a rollout with guardrails: approved, promoted, lowered, aborted, and by whom."""

from __future__ import annotations

from datetime import timedelta

import pytest

from rollout import rollouts
from rollout.approvals import approve, promote_guarded
from rollout.errors import InvalidPlanError, RolloutConflictError, RolloutGateError
from rollout.history import history
from rollout.weight_changes import set_weights
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


def test_a_promotion_by_hand_of_what_has_passed_is_somebody_elses_too_where_four_eyes_are_wanted(
    steering: Steering,
) -> None:
    steering.start(**CANARY, four_eyes=True)
    controller = steering.controller()
    steering.tick(controller)
    steering.see()
    assert steering.tick(controller) == "promoting"
    for override in (None, "in a hurry"):
        with pytest.raises(RolloutGateError, match="wants four eyes"):
            promote_guarded(steering.control, steering.rollout_id, override=override, actor="ada", now=steering.now)
    ended = promote_guarded(steering.control, steering.rollout_id, override=None, actor="bob", now=steering.now)
    assert ended.state == "promoted"


@pytest.mark.parametrize("is_approved", [False, True])
def test_an_approval_that_a_step_wants_is_missed_by_a_promotion_by_hand(
    steering: Steering, is_approved: bool
) -> None:
    steering.start(steps=[CANARY["steps"][0] | {"requires_approval": True}])
    controller = steering.controller()
    steering.tick(controller)
    steering.see()
    assert steering.tick(controller) == "awaiting_approval"
    if is_approved:
        approve(steering.control, steering.rollout_id, reason=None, actor="bob", now=steering.now)
    else:
        with pytest.raises(RolloutGateError, match="has not passed: step 1 was not approved"):
            promote_guarded(steering.control, steering.rollout_id, override=None, actor="bob", now=steering.now)
    override = None if is_approved else "the board agreed"
    promote_guarded(steering.control, steering.rollout_id, override=override, actor="bob", now=steering.now)
    reason = str(history(steering.control, steering.rollout_id)[-1].reason)
    assert ("in spite of: step 1 was not approved" in reason) is not is_approved


def test_an_approval_counts_for_its_own_step(steering: Steering) -> None:
    wanted = CANARY["steps"][0] | {"requires_approval": True}
    steering.start(steps=[wanted | {"weight": 0.05}, wanted])
    controller = steering.controller()
    steering.tick(controller)
    steering.see()
    assert steering.tick(controller) == "awaiting_approval"
    approve(steering.control, steering.rollout_id, reason=None, actor="bob", now=steering.now)
    with pytest.raises(RolloutGateError, match="has not passed: step 2 was not approved"):
        promote_guarded(steering.control, steering.rollout_id, override=None, actor="bob", now=steering.now)


def test_an_evaluation_that_is_old_proves_nothing_to_a_person(steering: Steering) -> None:
    steering.start(steps=[CANARY["steps"][0] | {"requires_approval": True}])
    controller = steering.controller()
    steering.tick(controller)
    steering.see()
    assert steering.tick(controller) == "awaiting_approval"
    late = steering.now + timedelta(seconds=61)
    with pytest.raises(RolloutGateError, match="its last evaluation is 61 s old"):
        approve(steering.control, steering.rollout_id, reason=None, actor="bob", now=late)
    approve(steering.control, steering.rollout_id, reason=None, actor="bob", now=late - timedelta(seconds=1))
    with pytest.raises(RolloutGateError, match="its last evaluation is 61 s old"):
        promote_guarded(steering.control, steering.rollout_id, override=None, actor="bob", now=late)


def test_a_guarded_weight_may_be_lowered_and_not_raised(canary: Canary) -> None:
    steering, _ = canary
    lowered = set_weights(steering.control, steering.rollout_id, [0.05], actor="ada", now=steering.now)
    assert (lowered.weight, steering.served().weight_bp) == (0.05, 500)
    with pytest.raises(InvalidPlanError, match="it can be lowered"):
        set_weights(steering.control, steering.rollout_id, [0.06], actor="ada", now=steering.now)


def test_a_lowered_weight_stays_until_somebody_resumes(steering: Steering) -> None:
    steering.start(steps=[CANARY["steps"][0] | {"weight": 0.05}, *CANARY["steps"]])
    controller = steering.controller()
    steering.tick(controller)
    steering.see()
    for weight in (0.02, 0.0):
        lowered = set_weights(steering.control, steering.rollout_id, [weight], actor="ada", now=steering.now)
        assert (lowered.state, lowered.weight, steering.served().weight_bp) == ("paused", weight, weight * 10_000)
        assert steering.tick(controller) == "paused"
    assert steering.found().reason == "the weight was lowered to 0 by hand"
    rollouts.resume(steering.control, steering.rollout_id, actor="ada", now=steering.now)
    assert (steering.tick(controller), steering.served().weight_bp) == ("canary", 5_000)


def test_what_is_paused_for_something_else_keeps_its_weight(canary: Canary) -> None:
    steering, _ = canary
    rollouts.pause(steering.control, steering.rollout_id, reason=None, actor="ada", now=steering.now)
    with pytest.raises(RolloutConflictError, match="is paused"):
        set_weights(steering.control, steering.rollout_id, [0.05], actor="ada", now=steering.now)


def test_several_challengers_are_loaded_weighted_and_never_promoted(steering: Steering) -> None:
    plan = {"challengers": ["2", "3"], "steps": [{"weights": [0.1, 0.2]}], "rollback_cooldown": 0}
    steering.start(**plan)
    assert [(one.version, one.weight_bp) for one in steering.served().others] == [("3", 0)]
    controller = steering.controller()
    assert steering.tick(controller) == "canary"
    assert steering.served().weight_bp == 1_000
    assert [(one.version, one.weight_bp) for one in steering.served().others] == [("3", 2_000)]
    for refused in (
        lambda: set_weights(steering.control, steering.rollout_id, [0.05], actor="a", now=steering.now),
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
