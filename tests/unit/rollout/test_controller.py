"""The controller: a good challenger is promoted by itself, a harmful one rolled back, and nothing happens twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from database.engine import reading
from rollout import rollouts
from rollout.controller import LASTING, LEASE
from rollout.decisions import MAX_ERRORS
from rollout.errors import LeaseLostError, RolloutConflictError
from rollout.evaluations import evaluations, repeat
from rollout.evidence import Evidence
from rollout.evidence_store import read_evidence
from rollout.history import Action, history
from rollout.lease import acquire, check
from rollout.plan import Plan
from rollout.serving_store import epochs_of
from rollout.tables import EVALUATION, OUTBOX, ROLLOUT
from rollout.verify import verify_log
from tests.unit.rollout.steering import CANARY, PLAN, STEP, Canary, Steering

SECONDS = timedelta(seconds=7)


def test_a_good_challenger_goes_through_shadow_canary_and_soak_and_is_promoted(steering: Steering) -> None:
    started = steering.start()
    assert (started.state, started.weight) == ("pending", 0.0)
    controller, salt = steering.controller(), steering.served().salt
    assert steering.tick(controller) == "shadow"
    assert (steering.served().shadow_bp, steering.served().weight_bp) == (5_000, 0)
    steering.see()
    assert steering.tick(controller, timedelta(minutes=5)) == "shadow"
    assert steering.tick(controller) == "canary"
    assert (steering.served().shadow_bp, steering.served().weight_bp, steering.found().weight) == (0, 5_000, 0.5)
    assert steering.tick(controller) == "canary"  # nobody was seen yet
    steering.see()
    assert steering.tick(controller) == "promoting"
    assert (steering.served().holdback_bp, steering.found().weight) == (500, 0.95)
    assert steering.tick(controller, timedelta(seconds=2)) == "promoting"
    assert steering.tick(controller, SECONDS) == "soak"
    steering.see(n=1_000)
    assert steering.champion() == "1"  # the alias is what is safe without us
    assert steering.tick(controller) == "promoted"
    assert (steering.served().champion.version, steering.served().challenger) == ("2", None)
    assert steering.served().salt == salt
    steering.follow()
    assert steering.served().champion.version == "2"  # though its alias has not moved yet
    assert controller.deliver(steering.now)
    assert steering.champion() == "2"
    steering.follow()
    assert steering.served().champion.version == "2"
    assert steering.actions() == [
        "started",
        "advanced",
        "advanced",
        "promotion_begun",
        "advanced",
        "promoted",
    ]
    (verified,) = verify_log(steering.control, steering.registry)
    assert (verified.problem, verified.note, verified.events) == (None, None, 6)


def test_every_epoch_belongs_to_the_step_that_was_served(steering: Steering) -> None:
    steering.start()
    controller = steering.controller()
    epochs = []
    for state in ("shadow", "canary", "promoting"):
        assert steering.tick(controller) == state
        epochs.append(steering.served().epoch)
        steering.see()
    rollouts.abort(steering.control, steering.rollout_id, reason=None, actor="ada", now=steering.now)
    with reading(steering.control) as connection:
        assert epochs_of(connection, steering.rollout_id) == dict(zip(epochs, range(3), strict=True))


@pytest.mark.parametrize("state", ["shadow", "canary", "promoting", pytest.param("soak", marks=pytest.mark.long)])
def test_harm_to_a_group_rolls_back_in_every_step(steering: Steering, state: str) -> None:
    steering.start()
    controller = steering.controller()
    while steering.tick(controller, SECONDS if steering.state() == "promoting" else STEP) != state:
        steering.see()
    if state == "promoting":
        steering.now += SECONDS
    steering.see(n=60_000, selected=(0.6, 0.3))
    assert steering.tick(controller, timedelta(seconds=31)) == "rolling_back"
    served = steering.served()
    assert (served.weight_bp, served.shadow_bp, served.holdback_bp) == (0, 0, None)
    assert (served.champion.version, served.rollout_id) == ("1", steering.rollout_id)
    assert "dp_diff:SEX" in str(steering.found().reason)
    assert steering.tick(controller, timedelta(seconds=2)) == "rolling_back"
    assert steering.tick(controller, SECONDS) == "rolled_back"
    assert "dp_diff:SEX" in str(steering.found().reason)
    assert steering.served().rollout_id is None
    (begun,) = [one for one in history(steering.control, steering.rollout_id) if one.action == "rollback_begun"]
    assert begun.evaluation_id in {one.id for one in evaluations(steering.control, steering.rollout_id)}
    assert steering.champion() == "1"
    with pytest.raises(RolloutConflictError, match="was rolled back: look at why"):
        steering.start()
    assert steering.start(rollback_cooldown=0).state == "pending"


def test_a_pause_does_not_stop_the_watch(canary: Canary) -> None:
    steering, controller = canary
    rollouts.pause(steering.control, steering.rollout_id, reason="lunch", actor="ada", now=steering.now)
    steering.see(selected=(0.6, 0.3))
    assert steering.tick(controller) == "rolling_back"


def test_an_uneven_split_holds_until_a_person_goes_on_in_spite_of_it(canary: Canary) -> None:
    steering, controller = canary
    steering.see(n=20_000, challenger=18_000)
    assert steering.tick(controller) == "paused"
    assert steering.found().held[0].startswith("srm: units assigned")
    assert steering.tick(controller) == "paused"
    rollouts.resume(steering.control, steering.rollout_id, actor="ada", now=steering.now, reason="known")
    assert steering.tick(controller) == "promoting"


def test_without_data_it_holds_and_goes_on_by_itself(steering: Steering) -> None:
    steering.start(**CANARY, no_data_after="15m")
    controller = steering.controller()
    steering.tick(controller)
    assert steering.tick(controller, timedelta(minutes=16)) == "paused"
    assert steering.found().held[0].startswith("no_data: ")
    steering.see()
    assert steering.tick(controller) == "canary"
    assert steering.tick(controller, timedelta(minutes=1)) == "promoting"
    assert steering.actions()[2:4] == ["paused", "resumed"]


def test_an_alias_moved_by_hand_holds_and_changes_nothing_served_until_it_is_back(canary: Canary) -> None:
    steering, controller = canary
    before = steering.served()
    steering.registry.set_alias("credit", "champion", "3")
    steering.follow()
    assert (steering.state(), steering.served()) == ("paused", before)
    steering.see()
    assert steering.tick(controller) == "paused"
    steering.registry.set_alias("credit", "champion", "1")
    steering.follow()
    assert (steering.state(), steering.served()) == ("canary", before)
    assert steering.tick(controller) == "promoting"


def test_a_challenger_that_is_not_here_yet_keeps_the_rollout_pending(steering: Steering) -> None:
    steering.start()
    controller, steering.ready = steering.controller(), False
    assert steering.tick(controller) == "pending"
    steering.ready = True
    assert steering.tick(controller) == "shadow"


def test_evidence_that_cannot_be_read_holds_and_after_some_looks_rolls_back(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering, controller = canary

    def fails(*_: object) -> None:
        raise OSError("the log is away")

    monkeypatch.setattr("rollout.controller.read_evidence", fails)
    assert [steering.tick(controller) for _ in range(MAX_ERRORS - 1)] == ["paused"] * (MAX_ERRORS - 1)
    assert steering.tick(controller) == "rolling_back"
    assert (steering.tick(controller), steering.served().rollout_id) == ("rolled_back", None)
    controller.deliver(steering.now)
    assert verify_log(steering.control, steering.registry)[0].problem is None


def test_one_look_that_failed_is_forgotten(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    steering, controller = canary
    with monkeypatch.context() as patched:
        patched.setattr("rollout.controller.evaluate", lambda *_args, **_more: 1 / 0)
        assert steering.tick(controller) == "paused"
        assert steering.row().errors == 1
    assert steering.tick(controller) == "canary"
    assert steering.row().errors == 0


@pytest.mark.parametrize("fault", ["plan", "decide"])
def test_a_fault_of_the_controller_serves_the_champion(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    steering, controller = canary
    if fault == "plan":
        with steering.control.begin() as connection:
            connection.execute(update(ROLLOUT).values(plan={"model": "credit", "of": "a later release"}))
    else:
        monkeypatch.setattr("rollout.controller.decide", lambda *_: {}["no such state"])
    assert steering.tick(controller) == "failed_safe"
    assert steering.served().weight_bp == 0
    assert steering.tick(controller) == "rolling_back"
    assert steering.tick(controller) == "rolled_back"


def test_goals_are_measured_and_nothing_moves(steering: Steering) -> None:
    goal = PLAN["guardrails"][0]
    started = steering.start(steps=[{"weight": 0.5}], guardrails=[], goals=[goal])
    assert started.state == "canary"
    controller = steering.controller()
    steering.see(errors=0.5)
    assert steering.tick(controller) == "canary"
    (looked,) = evaluations(steering.control, steering.rollout_id)
    assert [one.verdict for one in looked.evaluation.judgements] == ["violated"]


def test_of_two_controllers_one_acts_and_the_other_takes_over_when_it_is_gone(canary: Canary) -> None:
    steering, first = canary
    second = steering.controller()
    steering.now += STEP
    assert second.tick(steering.now)  # nothing was heard of the first for longer than a lease lasts
    assert not first.tick(steering.now)
    steering.now += LASTING
    assert first.tick(steering.now)
    first.stop(steering.now)
    assert second.tick(steering.now)


def test_who_lost_the_lease_in_the_middle_writes_nothing(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    steering, controller = canary
    steering.see()
    before = steering.row()

    def look_for_long(*_: object) -> int:
        assert acquire(steering.control, LEASE, "another", steering.now + timedelta(hours=1), LASTING)
        return 0

    monkeypatch.setattr("rollout.controller.mature", look_for_long)
    steering.now += STEP
    assert not controller.tick(steering.now)
    assert steering.row() == before
    with reading(steering.control) as connection:
        assert connection.execute(select(func.count()).select_from(EVALUATION)).scalar_one() == 0


def test_a_fence_tells_a_holder_that_came_back_from_the_one_that_was(steering: Steering) -> None:
    now, other = steering.now, "b"
    old = acquire(steering.control, "x", "a", now, LASTING)
    assert old is not None
    assert acquire(steering.control, "x", other, now, LASTING) is None
    assert acquire(steering.control, "x", "a", now, LASTING) == old
    assert acquire(steering.control, "x", other, now + LASTING, LASTING) is not None
    again = acquire(steering.control, "x", "a", now + 2 * LASTING, LASTING)
    assert again is not None
    assert again.fence == old.fence + 2
    with steering.control.begin() as connection:
        check(connection, again)
        with pytest.raises(LeaseLostError):
            check(connection, old)


def test_what_is_decided_by_hand_meanwhile_is_not_overwritten(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering, controller = canary
    steering.see()

    def pauses(*_: object) -> int:
        rollouts.pause(steering.control, steering.rollout_id, reason="wait", actor="bob", now=steering.now)
        return 0

    monkeypatch.setattr("rollout.controller.mature", pauses)
    assert steering.tick(controller) == "paused"
    assert (steering.found().reason, steering.actions()) == ("wait", ["started", "advanced", "paused"])


def test_evaluations_are_repeated_bit_by_bit_from_what_is_stored(canary: Canary) -> None:
    steering, controller = canary
    for rate in (0.5, 0.49, 0.45):
        steering.see(n=300, selected=(0.5, rate))
        steering.tick(controller)
    steering.tick(steering.controller(), timedelta(minutes=30))  # as after a restart
    plan = Plan.parse(steering.row().plan)
    stored = evaluations(steering.control, steering.rollout_id)
    assert [one.number for one in stored] == [1, 2, 3, 4]
    for one in stored:
        assert repeat(plan, one) == one.evaluation
    assert evaluations(steering.control, steering.rollout_id, limit=2) == stored[-2:]


@pytest.mark.long
def test_old_evaluations_are_thinned_out_but_for_those_that_decided(canary: Canary) -> None:
    steering, controller = canary
    steering.see(n=300)
    for _ in range(24):
        steering.tick(controller)
        steering.see(n=10)
    numbers = [one.number for one in evaluations(steering.control, steering.rollout_id)]
    assert numbers == [10, *range(14, 25)]
    decided = {one.evaluation_id for one in history(steering.control, steering.rollout_id)} - {None}
    assert decided <= {one.id for one in evaluations(steering.control, steering.rollout_id)}


def test_the_registry_may_be_away_when_a_rollout_ends(canary: Canary) -> None:
    steering, controller = canary
    steering.see()
    assert steering.tick(controller) == "promoting"
    steering.registry.away = True
    assert steering.tick(controller) == "promoted"
    assert not controller.deliver(steering.now)
    assert steering.served().champion.version == "2"
    with reading(steering.control) as connection:
        waiting = list(connection.execute(select(OUTBOX.c.attempts, OUTBOX.c.problem)))
    assert [attempts for attempts, _ in waiting] == [1, 1]
    assert all("away" in problem for _, problem in waiting)
    steering.registry.away = False
    (verified,) = verify_log(steering.control, steering.registry)
    assert (verified.problem, verified.note) == (
        None,
        "the head of the chain is about to be written to the registry",
    )
    steering.follow()
    assert steering.served().champion.version == "2"
    epoch = steering.served().epoch
    assert controller.deliver(steering.now)
    assert (steering.champion(), steering.served().epoch) == ("2", epoch + 1)
    assert controller.deliver(steering.now)
    assert steering.served().epoch == epoch + 1


def test_every_action_is_one_that_a_history_can_tell(canary: Canary) -> None:
    steering, _ = canary
    assert set(steering.actions()) <= set(map(str, Action))


def test_what_follows_from_a_long_look_is_dated_when_it_is_written(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering, controller = canary
    steering.see()

    def takes_a_minute(*_: object) -> None:
        steering.elapsed += 60

    monkeypatch.setattr("rollout.controller.mature", takes_a_minute)
    assert steering.tick(controller) == "promoting"
    assert steering.row().step_entered_at == steering.now + timedelta(minutes=1)


def test_the_lease_is_renewed_in_the_middle_of_a_look(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    steering, controller = canary
    steering.see()
    other, acts = steering.controller(), []

    def takes_long(*_: object) -> None:
        steering.elapsed += 8

    def is_read_while_another_tries(*what: Any) -> Evidence:
        acts.append(other.tick(steering.now + timedelta(seconds=16)))
        return read_evidence(*what)

    monkeypatch.setattr("rollout.controller.mature", takes_long)
    monkeypatch.setattr("rollout.controller.read_evidence", is_read_while_another_tries)
    assert steering.tick(controller) == "promoting"
    assert acts == [False]


def test_without_an_active_rollout_nothing_is_written(steering: Steering, monkeypatch: pytest.MonkeyPatch) -> None:
    steering.follow()
    controller = steering.controller()
    monkeypatch.setattr("rollout.controller.acquire", lambda *_: pytest.fail("a lease is a write"))
    assert controller.tick(steering.now) is None
    assert controller.deliver(steering.now)
