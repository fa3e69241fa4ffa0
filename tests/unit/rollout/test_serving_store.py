"""What serves follows the registry's aliases, except while a rollout decides it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Engine

from registry.reference import CHALLENGER, CHAMPION
from rollout import rollouts
from rollout.history import Action, history
from rollout.plan import Plan
from rollout.serving_state import ServedVersion, ServingState
from rollout.serving_store import deployment_salt, follow_aliases, new_salt, serving_epochs, serving_states
from tests.fakes.registry import FakeRegistry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
PLAN = Plan.parse({"model": "credit", "steps": [{"weight": 0.1}]})


def follow(engine: Engine, registry: FakeRegistry) -> list[str]:
    return follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))


def served(engine: Engine) -> ServingState:
    return serving_states(engine)["credit"]


def test_the_champion_is_served_with_the_challenger_beside_it_at_no_weight(
    engine: Engine, registry: FakeRegistry
) -> None:
    assert follow(engine, registry) == ["credit"]
    state = served(engine)
    assert state.champion == ServedVersion(version="1", digest="sha256:1")
    assert state.challenger == ServedVersion(version="2", digest="sha256:2")
    assert (state.epoch, state.weight_bp, state.rollout_id) == (1, 0, None)


def test_what_did_not_change_is_not_written_again(engine: Engine, registry: FakeRegistry) -> None:
    follow(engine, registry)
    before = served(engine)
    assert follow(engine, registry) == []
    assert served(engine) == before


def test_every_moved_alias_is_a_new_epoch_under_the_same_salt(engine: Engine, registry: FakeRegistry) -> None:
    follow(engine, registry)
    salt = served(engine).salt
    registry.set_alias("credit", CHAMPION, "3")
    assert follow(engine, registry) == ["credit"]
    assert (served(engine).champion.version, served(engine).epoch) == ("3", 2)
    registry.delete_alias("credit", CHALLENGER)
    follow(engine, registry)
    assert (served(engine).challenger, served(engine).epoch) == (None, 3)
    assert served(engine).salt == salt


def test_a_version_that_holds_both_aliases_challenges_nobody(engine: Engine, registry: FakeRegistry) -> None:
    registry.set_alias("credit", CHALLENGER, "1")
    follow(engine, registry)
    assert served(engine).challenger is None


def test_a_model_without_a_champion_is_not_served(engine: Engine, registry: FakeRegistry, tmp_path: Path) -> None:
    registry.register("other", tmp_path)
    registry.set_alias("other", CHALLENGER, "1")
    follow(engine, registry)
    assert set(serving_states(engine)) == {"credit"}


def test_a_model_that_lost_its_champion_is_no_longer_served(engine: Engine, registry: FakeRegistry) -> None:
    follow(engine, registry)
    registry.delete_alias("credit", CHAMPION)
    assert follow(engine, registry) == ["credit"]
    assert serving_states(engine) == {}
    assert follow(engine, registry) == []


def test_a_model_served_again_goes_on_from_the_epoch_it_had(engine: Engine, registry: FakeRegistry) -> None:
    """An epoch names one state of serving for ever: predictions are stamped with it."""
    follow(engine, registry)
    registry.delete_alias("credit", CHAMPION)
    follow(engine, registry)
    registry.set_alias("credit", CHAMPION, "3")
    follow(engine, registry)
    assert (served(engine).champion.version, served(engine).epoch) == ("3", 3)


def test_aliases_older_than_the_last_change_are_left_to_the_next_look(
    engine: Engine, registry: FakeRegistry
) -> None:
    follow(engine, registry)
    seen, old = serving_epochs(engine), registry.aliased()
    registry.set_alias("credit", CHAMPION, "3")
    follow(engine, registry)
    assert follow_aliases(engine, old, NOW, seen=seen) == []
    assert served(engine).champion.version == "3"


def test_a_model_first_seen_meanwhile_is_left_to_the_next_look(engine: Engine, registry: FakeRegistry) -> None:
    seen, old = serving_epochs(engine), registry.aliased()
    registry.set_alias("credit", CHAMPION, "3")
    follow(engine, registry)
    assert follow_aliases(engine, old, NOW, seen=seen) == []
    assert served(engine).champion.version == "3"


def test_a_version_of_strangers_is_followed_without_a_digest(
    engine: Engine, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.register("other", tmp_path)
    registry.set_alias("other", CHAMPION, "1")
    follow(engine, registry)
    assert serving_states(engine)["other"].champion == ServedVersion(version="1", digest=None)


def test_a_champion_moved_by_hand_during_a_rollout_pauses_it_and_changes_nothing_served(
    engine: Engine, registry: FakeRegistry
) -> None:
    follow(engine, registry)
    rollout = rollouts.start(engine, PLAN, registry, actor="ada", now=NOW)
    before = served(engine)
    registry.set_alias("credit", CHAMPION, "3")
    assert follow(engine, registry) == []
    assert served(engine) == before
    paused = rollouts.find(engine, rollout.id)
    assert (paused.state, paused.version) == ("paused", rollout.version + 1)
    assert "moved by hand" in str(paused.reason)
    follow(engine, registry)
    assert rollouts.find(engine, rollout.id) == paused


def test_of_replicas_that_all_see_a_moved_champion_one_pauses_the_rollout(
    engine: Engine, registry: FakeRegistry
) -> None:
    follow(engine, registry)
    rollout = rollouts.start(engine, PLAN, registry, actor="ada", now=NOW)
    registry.set_alias("credit", CHAMPION, "3")
    with ThreadPoolExecutor(4) as pool:
        together = threading.Barrier(4)

        def look() -> list[str]:
            together.wait(30)
            return follow(engine, registry)

        assert [future.result() for future in [pool.submit(look) for _ in range(4)]] == [[]] * 4
    assert [event.action for event in history(engine, rollout.id)] == [Action.STARTED, Action.PAUSED]


def test_a_challenger_moved_by_hand_during_a_rollout_changes_nothing(
    engine: Engine, registry: FakeRegistry
) -> None:
    follow(engine, registry)
    rollout = rollouts.start(engine, PLAN, registry, actor="ada", now=NOW)
    before = served(engine)
    registry.set_alias("credit", CHALLENGER, "3")
    assert follow(engine, registry) == []
    assert served(engine) == before
    assert rollouts.find(engine, rollout.id) == rollout


def test_a_champion_taken_away_during_a_rollout_pauses_it_and_changes_nothing_served(
    engine: Engine, registry: FakeRegistry
) -> None:
    follow(engine, registry)
    rollout = rollouts.start(engine, PLAN, registry, actor="ada", now=NOW)
    before = served(engine)
    registry.delete_alias("credit", CHAMPION)
    assert follow(engine, registry) == []
    assert served(engine) == before
    assert rollouts.find(engine, rollout.id).state == "paused"
    rollouts.abort(engine, rollout.id, reason=None, actor="ada", now=NOW)
    assert follow(engine, registry) == ["credit"]
    assert serving_states(engine) == {}


def test_after_a_rollout_the_aliases_decide_again(engine: Engine, registry: FakeRegistry) -> None:
    follow(engine, registry)
    rollout = rollouts.start(engine, PLAN, registry, actor="ada", now=NOW)
    registry.set_alias("credit", CHAMPION, "3")
    follow(engine, registry)
    rollouts.abort(engine, rollout.id, reason=None, actor="ada", now=NOW)
    assert follow(engine, registry) == ["credit"]
    assert served(engine).champion.version == "3"


def test_the_deployment_has_one_salt_however_many_ask_for_it_first(engine: Engine) -> None:
    salts: list[str] = []
    threads = [threading.Thread(target=lambda: salts.append(deployment_salt(engine))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(salts) == 8
    assert len(set(salts)) == 1
    assert len(salts[0]) == 32


def test_salts_are_fresh() -> None:
    assert len({new_salt() for _ in range(1_000)}) == 1_000


def test_aliases_older_than_a_change_undo_nothing(engine: Engine, registry: FakeRegistry) -> None:
    """A poll reads the aliases, a promotion goes through, and only then the poll writes what it read."""
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))
    seen, stale = serving_epochs(engine), registry.aliased()
    registry.set_alias("credit", "champion", "3")
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))
    assert follow_aliases(engine, stale, NOW, seen=seen) == []
    assert serving_states(engine)["credit"].champion.version == "3"


def test_epochs_go_on_where_they_were_when_a_model_is_served_again(engine: Engine, registry: FakeRegistry) -> None:
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))
    before = serving_states(engine)["credit"].epoch
    registry.delete_alias("credit", "champion")
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))
    assert serving_states(engine) == {}
    registry.set_alias("credit", "champion", "1")
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))
    assert serving_states(engine)["credit"].epoch == before + 2
