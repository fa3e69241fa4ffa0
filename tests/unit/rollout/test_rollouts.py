"""Rollouts: each change is made once or not at all, and what serves says the same as the rollout."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from database.engine import reading
from registry.errors import GateRefusedError, ModelNotFoundError, RegistryUnavailableError
from registry.gate_record import GateRecord
from registry.reference import Reference
from rollout import rollouts
from rollout.errors import InvalidPlanError, ReplayGateError, RolloutConflictError, RolloutNotFoundError
from rollout.plan import Plan
from rollout.rollouts import Rollout
from rollout.serving_state import ServingState
from rollout.serving_store import follow_aliases, serving_epochs, serving_states
from rollout.weight_changes import set_weights
from tests.fakes.registry import FakeRegistry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
RACERS = 8


def plan(weight: float = 0.1, **more: Any) -> Plan:
    return Plan.parse({"model": "credit", "steps": [{"weight": weight}], **more})


def served(engine: Engine) -> ServingState:
    return serving_states(engine)["credit"]


@pytest.fixture
def start(engine: Engine, registry: FakeRegistry) -> Callable[..., Rollout]:
    """Starts a rollout of a model that is served already."""
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))

    def begin(now: datetime = NOW, **changes: Any) -> Rollout:
        return rollouts.start(engine, plan(**changes), registry, actor="ada", now=now)

    return begin


Start = Callable[..., Rollout]


def promote(engine: Engine, rollout_id: str, now: datetime = NOW) -> Rollout:
    """What a promotion does here before and after the alias is moved."""
    rollouts.begin_promotion(engine, rollout_id, actor="ada", now=NOW)
    return rollouts.finish_promotion(engine, rollout_id, actor="ada", now=now)


def race(contender: Callable[[int], object]) -> list[object]:
    """Return what each of the contenders, let go at once, returned or raised."""
    barrier = threading.Barrier(RACERS)
    results: list[object] = [None] * RACERS

    def run(number: int) -> None:
        barrier.wait()
        try:
            results[number] = contender(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_start_gives_the_challenger_its_share_under_a_new_epoch(engine: Engine, start: Start) -> None:
    before = served(engine)
    rollout = start(weight=0.1)
    assert (rollout.state, rollout.version, rollout.weight) == ("canary", 1, 0.1)
    assert (rollout.champion_version, rollout.challenger_version, rollout.created_by) == ("1", "2", "ada")
    assert (rollout.created_at, rollout.finished_at) == (NOW, None)
    state = served(engine)
    assert state.challenger is not None
    assert (state.champion.version, state.challenger.version, state.weight_bp) == ("1", "2", 1_000)
    assert (state.challenger.digest, state.rollout_id, state.epoch) == ("sha256:2", rollout.id, before.epoch + 1)


def test_a_model_that_was_not_followed_yet_is_served_by_its_rollout(engine: Engine, registry: FakeRegistry) -> None:
    rollout = rollouts.start(engine, plan(), registry, actor="ada", now=NOW)
    assert (served(engine).epoch, served(engine).rollout_id) == (1, rollout.id)


def test_a_plan_may_name_the_challenger_by_its_number(start: Start) -> None:
    assert start(challenger="3").challenger_version == "3"


def test_each_rollout_randomises_anew_and_keeps_its_salt_while_the_weight_moves(
    engine: Engine, start: Start
) -> None:
    salts = [served(engine).salt]
    for _ in range(3):
        rollout = start()
        salts.append(served(engine).salt)
        set_weights(engine, rollout.id, [0.3], actor="ada", now=NOW)
        assert served(engine).salt == salts[-1]
        rollouts.abort(engine, rollout.id, reason=None, actor="ada", now=NOW)
    assert len(set(salts)) == 4


def test_a_model_has_one_active_rollout(engine: Engine, start: Start) -> None:
    first = start()
    before = served(engine)
    with pytest.raises(RolloutConflictError, match="active rollout; promote or abort it first"):
        start(challenger="3")
    assert served(engine) == before
    assert [rollout.id for rollout in rollouts.rollouts(engine)] == [first.id]
    rollouts.abort(engine, first.id, reason=None, actor="ada", now=NOW)
    assert start(challenger="3").state == "canary"


def test_models_do_not_stand_in_each_others_way(
    engine: Engine, registry: FakeRegistry, start: Start, tmp_path
) -> None:
    start()
    for digest in ("sha256:1", "sha256:2"):
        passed = GateRecord(digest=digest).to_json()
        registry.register("other", tmp_path, {"fairmind.digest": digest, "fairmind.gates": passed})
    registry.set_alias("other", "champion", "1")
    other = Plan.parse({"model": "other", "challenger": "2", "steps": [{"weight": 0.5}]})
    rollouts.start(engine, other, registry, actor="ada", now=NOW)
    assert (served(engine).weight_bp, serving_states(engine)["other"].weight_bp) == (1_000, 5_000)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"challenger": "1"}, RolloutConflictError),
        ({"challenger": "9"}, ModelNotFoundError),
        ({"model": "nope"}, ModelNotFoundError),
    ],
)
def test_a_start_without_two_versions_is_refused_and_changes_nothing(
    engine: Engine, registry: FakeRegistry, changes: dict[str, str], error: type[Exception]
) -> None:
    with pytest.raises(error):
        rollouts.start(engine, plan(**changes), registry, actor="ada", now=NOW)
    assert rollouts.rollouts(engine) == []
    assert serving_states(engine) == {}


def test_a_challenger_that_a_gate_refuses_is_started_by_an_override_only_which_is_recorded(
    engine: Engine, registry: FakeRegistry
) -> None:
    refused = plan(challenger="4")
    with pytest.raises(GateRefusedError, match="roc_auc"):
        rollouts.start(engine, refused, registry, actor="ada", now=NOW)
    assert rollouts.rollouts(engine) == []
    assert serving_states(engine) == {}
    begun = rollouts.start(engine, refused, registry, actor="ada", now=NOW, override="agreed")
    assert registry.find(Reference("credit", version="4")).tags["fairmind.override.reason"] == "agreed"
    rollouts.abort(engine, begun.id, reason=None, actor="ada", now=NOW)
    assert rollouts.start(engine, refused, registry, actor="bob", now=NOW).challenger_version == "4"


def test_without_a_champion_alias_nothing_starts(engine: Engine, registry: FakeRegistry) -> None:
    registry.delete_alias("credit", "champion")
    with pytest.raises(ModelNotFoundError, match="credit@champion"):
        rollouts.start(engine, plan(), registry, actor="ada", now=NOW)


def test_a_registry_that_is_away_starts_nothing_and_stops_nothing(
    engine: Engine, registry: FakeRegistry, start: Start
) -> None:
    rollout = start()
    registry.away = True
    with pytest.raises(RegistryUnavailableError):
        start()
    assert rollouts.abort(engine, rollout.id, reason=None, actor="ada", now=NOW).state == "rolled_back"


def test_a_weight_is_set_and_followed_and_counted(engine: Engine, start: Start) -> None:
    rollout = start(weight=0.1)
    epoch = served(engine).epoch
    changed = set_weights(engine, rollout.id, [0.25], actor="ada", now=NOW)
    assert (changed.weight, changed.version) == (0.25, 2)
    assert (served(engine).weight_bp, served(engine).epoch) == (2_500, epoch + 1)


@pytest.mark.parametrize("weight", [-0.1, 0.6, float("nan"), float("inf")])
def test_a_weight_outside_zero_to_one_half_changes_nothing(engine: Engine, start: Start, weight: float) -> None:
    rollout = start()
    before = served(engine)
    with pytest.raises(InvalidPlanError):
        set_weights(engine, rollout.id, [weight], actor="ada", now=NOW)
    assert served(engine) == before
    assert rollouts.find(engine, rollout.id) == rollout


def test_a_pause_leaves_what_is_served_and_refuses_a_weight_until_it_is_resumed(
    engine: Engine, start: Start
) -> None:
    rollout = start()
    before = served(engine)
    paused = rollouts.pause(engine, rollout.id, reason="complaints", actor="ada", now=NOW)
    assert (paused.state, paused.reason) == ("paused", "complaints")
    assert served(engine) == before
    with pytest.raises(RolloutConflictError, match="is paused; this needs it to be canary"):
        set_weights(engine, rollout.id, [0.2], actor="ada", now=NOW)
    resumed = rollouts.resume(engine, rollout.id, actor="ada", now=NOW)
    assert (resumed.state, resumed.reason) == ("canary", None)
    assert set_weights(engine, rollout.id, [0.2], actor="ada", now=NOW).weight == 0.2


@pytest.mark.parametrize("is_paused", [False, True])
def test_an_abort_gives_every_unit_to_the_champion(engine: Engine, start: Start, is_paused: bool) -> None:
    rollout = start()
    if is_paused:
        rollouts.pause(engine, rollout.id, reason=None, actor="ada", now=NOW)
    ended = rollouts.abort(engine, rollout.id, reason="bad numbers", actor="ada", now=LATER)
    assert (ended.state, ended.reason, ended.weight) == ("rolled_back", "bad numbers", 0.0)
    assert ended.finished_at == LATER
    state = served(engine)
    assert (state.champion.version, state.weight_bp, state.rollout_id) == ("1", 0, None)


@pytest.mark.parametrize("is_paused", [False, True])
def test_a_promoted_challenger_is_the_champion_with_nobody_beside_it(
    engine: Engine, start: Start, is_paused: bool
) -> None:
    rollout = start()
    epoch = served(engine).epoch
    if is_paused:
        rollouts.pause(engine, rollout.id, reason="the alias was moved", actor="ada", now=NOW)
    rollouts.begin_promotion(engine, rollout.id, actor="ada", now=NOW)
    ended = rollouts.finish_promotion(engine, rollout.id, actor="ada", now=LATER)
    assert (ended.state, ended.finished_at, ended.reason) == ("promoted", LATER, None)
    state = served(engine)
    assert (state.champion.version, state.champion.digest, state.challenger) == ("2", "sha256:2", None)
    assert (state.weight_bp, state.rollout_id, state.epoch) == (0, None, epoch + 1)


def test_a_rollout_that_was_decided_for_is_finished_or_withdrawn_and_not_aborted(
    engine: Engine, start: Start
) -> None:
    rollout = start()
    before = served(engine)
    assert rollouts.begin_promotion(engine, rollout.id, actor="ada", now=NOW).state == "promoting"
    assert rollouts.begin_promotion(engine, rollout.id, actor="ada", now=NOW).state == "promoting"
    assert served(engine) == before
    for change in ("abort", "pause", "resume", "weight"):
        with pytest.raises(RolloutConflictError, match="is promoting"):
            CHANGES[change](engine, rollout.id)
    held = rollouts.withdraw_promotion(engine, rollout.id, reason="the registry was away", actor="ada", now=NOW)
    assert (held.state, held.reason) == ("paused", "the registry was away")
    assert served(engine) == before
    with pytest.raises(RolloutConflictError, match="needs it to be promoting"):
        rollouts.finish_promotion(engine, rollout.id, actor="ada", now=NOW)
    assert CHANGES["abort"](engine, rollout.id).state == "rolled_back"


CHANGES: dict[str, Callable[[Engine, str], Rollout]] = {
    "weight": lambda engine, name: set_weights(engine, name, [0.2], actor="ada", now=NOW),
    "pause": lambda engine, name: rollouts.pause(engine, name, reason=None, actor="ada", now=NOW),
    "resume": lambda engine, name: rollouts.resume(engine, name, actor="ada", now=NOW),
    "abort": lambda engine, name: rollouts.abort(engine, name, reason=None, actor="ada", now=NOW),
    "promote": promote,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("end", ["abort", "promote"])
def test_a_rollout_that_is_over_stays_as_it_is(engine: Engine, start: Start, end: str, change: str) -> None:
    ended = CHANGES[end](engine, start().id)
    before = served(engine)
    with pytest.raises(RolloutConflictError, match=f"is {ended.state}"):
        CHANGES[change](engine, ended.id)
    assert rollouts.find(engine, ended.id) == ended
    assert served(engine) == before


@pytest.mark.parametrize("change", [*CHANGES, "find"])
def test_an_unknown_rollout_is_named(engine: Engine, change: str) -> None:
    with pytest.raises(RolloutNotFoundError, match="'r-nope'"):
        (CHANGES | {"find": rollouts.find})[change](engine, "r-nope")


def test_rollouts_are_listed_newest_first_and_the_active_one_is_found(engine: Engine, start: Start) -> None:
    assert rollouts.active_rollout(engine, "credit") is None
    first = start()
    rollouts.abort(engine, first.id, reason=None, actor="ada", now=NOW)
    second = start(now=LATER)
    assert [rollout.id for rollout in rollouts.rollouts(engine)] == [second.id, first.id]
    assert rollouts.active_rollout(engine, "credit") == second
    assert rollouts.active_rollout(engine, "other") is None


def test_a_rollout_is_json(engine: Engine, start: Start) -> None:
    ended = rollouts.abort(engine, start().id, reason="why", actor="ada", now=LATER)
    told = json.loads(json.dumps(ended.to_dict()))
    assert (told["id"], told["reason"], told["weight"]) == (ended.id, "why", 0.0)
    assert (told["created_at"], told["finished_at"]) == (NOW.isoformat(), LATER.isoformat())


def test_the_plan_is_kept_with_the_rollout(engine: Engine, start: Start) -> None:
    rollout = start(weight=0.2, challenger="3")
    with reading(engine) as connection:
        kept = rollouts.row_of(connection, rollout.id).plan
    assert Plan.parse(kept) == plan(weight=0.2, challenger="3")


def test_of_many_starts_at_once_exactly_one_wins(engine: Engine, start: Start) -> None:
    results = race(lambda number: start(weight=(number + 1) / 100))
    (winner,) = [result for result in results if isinstance(result, Rollout)]
    assert sum(isinstance(result, RolloutConflictError) for result in results) == RACERS - 1
    assert [rollout.id for rollout in rollouts.rollouts(engine)] == [winner.id]
    assert (served(engine).rollout_id, served(engine).weight_bp) == (winner.id, round(winner.weight * 10_000))


def test_of_many_ends_at_once_exactly_one_wins_and_serving_agrees(engine: Engine, start: Start) -> None:
    rollout = start()
    results = race(lambda number: CHANGES["abort" if number % 2 else "promote"](engine, rollout.id))
    (winner,) = [result for result in results if isinstance(result, Rollout)]
    assert sum(isinstance(result, RolloutConflictError) for result in results) == RACERS - 1
    assert rollouts.find(engine, rollout.id) == winner
    assert served(engine).champion.version == {"promoted": "2", "rolled_back": "1"}[winner.state]


def test_weights_set_at_once_all_count_and_the_last_one_serves(engine: Engine, start: Start) -> None:
    rollout = start()
    epoch = served(engine).epoch
    results = race(lambda number: set_weights(engine, rollout.id, [number / 100], actor="ada", now=NOW))
    assert all(isinstance(result, Rollout) for result in results)
    last = rollouts.find(engine, rollout.id)
    assert last.version == rollout.version + RACERS
    assert (served(engine).epoch, served(engine).weight_bp) == (epoch + RACERS, round(last.weight * 10_000))


def test_a_challenger_whose_gates_refuse_gets_no_traffic_without_an_override_on_record(
    engine: Engine, registry: FakeRegistry, tmp_path: Path
) -> None:
    refused = registry.register("credit", tmp_path, {"fairmind.digest": "sha256:9"})  # nobody measured it
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))
    plan = Plan.parse({"model": "credit", "challenger": refused.version, "steps": [{"weight": 0.5}]})
    with pytest.raises(GateRefusedError):
        rollouts.start(engine, plan, registry, actor="ann", now=NOW)
    assert rollouts.rollouts(engine) == []
    rollouts.start(engine, plan, registry, actor="ann", now=NOW, override="a pilot")
    tags = registry.find(Reference("credit", version=refused.version)).tags
    assert (tags["fairmind.override.reason"], tags["fairmind.override.by"]) == ("a pilot", "ann")


def test_an_override_of_the_replay_gate_is_recorded_and_must_say_why(
    engine: Engine, registry: FakeRegistry
) -> None:
    def begin(override: str | None) -> Rollout:
        asked = plan(replay={})
        follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))
        return rollouts.start(engine, asked, registry, actor="ada", now=NOW, override=override)

    for nothing in (None, " "):
        with pytest.raises(ReplayGateError, match="was not replayed"):
            begin(nothing)
    began = begin("no traffic yet")
    tags = registry.find(Reference("credit", version=began.challenger_version)).tags
    assert (tags["fairmind.override.reason"], tags["fairmind.override.by"]) == ("no traffic yet", "ada")
