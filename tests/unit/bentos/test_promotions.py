"""Promotion: the gates are asked, the alias moves, and what serves follows in the same call."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from bentos.promotions import check_plan, follow, promote_rollout, promote_version, roll_back, start_rollout
from registry.errors import GateRefusedError, InvalidReferenceError, ModelNotFoundError, RegistryUnavailableError
from registry.promotion import Promotion
from registry.reference import Reference
from registry.wanted import WantedModels, parse_wanted
from rollout import rollouts
from rollout.errors import NoUnitsError, RolloutConflictError, RolloutGateError, RolloutNotFoundError
from rollout.plan import Plan
from rollout.rollouts import Rollout
from rollout.serving_state import ServingState
from rollout.serving_store import follow_aliases, serving_epochs, serving_states
from rollout.unit_share import UnitShare
from tests.fakes.databases import migrated_engine
from tests.fakes.registry import FakeRegistry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def control(tmp_path: Path, registry: FakeRegistry) -> Engine:
    engine = migrated_engine(tmp_path / "fairmind.db", "control")
    follow_aliases(engine, registry.aliased(), NOW, seen=serving_epochs(engine))
    return engine


def served(control: Engine) -> ServingState:
    return serving_states(control)["credit"]


def aliases(registry: FakeRegistry) -> dict[str, str]:
    return {alias: version.version for version in registry.aliased() for alias in version.aliases}


def promote(
    control: Engine,
    registry: FakeRegistry,
    version: str,
    *,
    alias: str = "champion",
    override: str | None = None,
) -> Promotion:
    reference = Reference("credit", version=version)
    return promote_version(control, registry, reference, alias=alias, override=override, actor="ada", now=NOW)


def start(control: Engine, registry: FakeRegistry, challenger: str, override: str | None = None) -> Rollout:
    plan = Plan.parse({"model": "credit", "challenger": challenger, "steps": [{"weight": 0.1}]})
    return rollouts.start(control, plan, registry, actor="ada", now=NOW, override=override)


def finish(control: Engine, registry: FakeRegistry, rollout: Rollout, override: str | None = None) -> Rollout:
    return promote_rollout(control, registry, rollout.id, override=override, actor="ada", now=NOW)


def test_a_promoted_version_is_served_when_the_call_returns(control: Engine, registry: FakeRegistry) -> None:
    promotion = promote(control, registry, "2")
    assert promotion.previous_version is not None
    assert (promotion.version.version, promotion.previous_version.version) == ("2", "1")
    assert (served(control).champion.version, served(control).challenger) == ("2", None)


def test_a_challenger_that_became_champion_challenges_nobody(control: Engine, registry: FakeRegistry) -> None:
    promote(control, registry, "2")
    assert aliases(registry) == {"champion": "2", "previous_champion": "1"}


def test_another_challenger_stands_beside_the_champion(control: Engine, registry: FakeRegistry) -> None:
    promote(control, registry, "3", alias="challenger", override="to compare only")
    challenger = served(control).challenger
    assert challenger is not None
    assert (served(control).champion.version, challenger.version) == ("1", "3")


def test_a_refused_promotion_changes_neither_alias_nor_serving(control: Engine, registry: FakeRegistry) -> None:
    before = (aliases(registry), served(control))
    with pytest.raises(GateRefusedError, match=r"equalized_odds_difference on SEX is 0\.1700"):
        promote(control, registry, "3")
    assert (aliases(registry), served(control)) == before


def test_an_override_promotes_and_is_signed(control: Engine, registry: FakeRegistry) -> None:
    assert promote(control, registry, "3", override="agreed").overridden
    assert served(control).champion.version == "3"
    tags = registry.find(Reference("credit", version="3")).tags
    assert (tags["fairmind.override.reason"], tags["fairmind.override.by"]) == ("agreed", "ada")


@pytest.mark.parametrize("reference", [Reference("credit", version="9"), Reference("nope", version="1")])
def test_a_version_that_is_not_there_is_not_promoted(
    control: Engine, registry: FakeRegistry, reference: Reference
) -> None:
    with pytest.raises(ModelNotFoundError):
        promote_version(control, registry, reference, alias="champion", override=None, actor="a", now=NOW)


def test_an_alias_that_reads_like_a_version_is_refused(control: Engine, registry: FakeRegistry) -> None:
    with pytest.raises(InvalidReferenceError):
        promote(control, registry, "2", alias="v7")


def test_a_registry_that_is_away_promotes_nothing(control: Engine, registry: FakeRegistry) -> None:
    before = served(control)
    registry.away = True
    with pytest.raises(RegistryUnavailableError):
        promote(control, registry, "2")
    assert served(control) == before


def test_the_previous_champion_comes_back_and_is_served(control: Engine, registry: FakeRegistry) -> None:
    promote(control, registry, "2")
    back = roll_back(control, registry, "credit", actor="bob", now=NOW)
    assert back.version.version == served(control).champion.version == "1"
    with pytest.raises(ModelNotFoundError):
        roll_back(control, registry, "credit", actor="bob", now=NOW)


def test_during_a_rollout_aliases_are_its_own_and_the_way_out_is_named(
    control: Engine, registry: FakeRegistry
) -> None:
    promote(control, registry, "2")
    rollout = start(control, registry, "1")
    before = (aliases(registry), served(control))
    with pytest.raises(RolloutConflictError, match=f"fairmind rollout abort {rollout.id}"):
        promote(control, registry, "1")
    with pytest.raises(RolloutConflictError, match=f"fairmind rollout promote {rollout.id}"):
        roll_back(control, registry, "credit", actor="bob", now=NOW)
    assert (aliases(registry), served(control)) == before


def test_a_promoted_rollout_moves_the_alias_and_what_serves_to_its_challenger(
    control: Engine, registry: FakeRegistry
) -> None:
    ended = finish(control, registry, start(control, registry, "2"))
    assert (ended.state, ended.finished_at) == ("promoted", NOW)
    assert aliases(registry) == {"champion": "2", "previous_champion": "1"}
    assert served(control).champion.version == "2"
    assert follow_aliases(control, registry.aliased(), NOW, seen=serving_epochs(control)) == []


def test_a_rollout_whose_challenger_a_gate_refuses_goes_on_as_it_was(
    control: Engine, registry: FakeRegistry
) -> None:
    rollout = start(control, registry, "3", override="a pilot")
    before = (aliases(registry), served(control))
    with pytest.raises(GateRefusedError):
        finish(control, registry, rollout)
    assert (aliases(registry), served(control)) == before
    assert rollouts.find(control, rollout.id) == rollout
    assert finish(control, registry, rollout, override="agreed").state == "promoted"


def test_an_override_of_a_promotion_that_is_refused_is_not_on_record(
    control: Engine, registry: FakeRegistry
) -> None:
    guardrails = [{"metric": "error_rate", "margin": 0.02}]
    plan = {"model": "credit", "challenger": "3", "steps": [{"weight": 0.1}], "guardrails": guardrails}
    rollout = rollouts.start(control, Plan.parse(plan), registry, actor="ada", now=NOW, override="a pilot")
    with pytest.raises(RolloutConflictError, match="is pending"):
        finish(control, registry, rollout, override="in a hurry")
    assert registry.find(Reference("credit", version="3")).tags["fairmind.override.reason"] == "a pilot"


def test_a_promotion_cut_off_after_the_alias_moved_is_finished_by_repeating_it(
    control: Engine, registry: FakeRegistry
) -> None:
    rollout = start(control, registry, "2")
    rollouts.begin_promotion(control, rollout.id, actor="ada", now=NOW)
    registry.set_alias("credit", "champion", "2")
    follow(control, registry, NOW)
    assert rollouts.find(control, rollout.id).state == "promoting"
    ended = finish(control, registry, rollout)
    assert (ended.state, ended.reason) == ("promoted", None)
    assert served(control).champion.version == "2"


def test_a_registry_that_fails_while_the_alias_moves_holds_the_rollout_and_changes_nothing_served(
    control: Engine, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = start(control, registry, "2")
    before = served(control)

    def refuse(_name: str, _alias: str, _version: str) -> None:
        raise RegistryUnavailableError("fake", "it went away")

    monkeypatch.setattr(registry, "set_alias", refuse)
    with pytest.raises(RegistryUnavailableError):
        finish(control, registry, rollout)
    held = rollouts.find(control, rollout.id)
    assert held.state == "paused"
    assert "its promotion failed" in (held.reason or "")
    assert served(control) == before
    monkeypatch.undo()
    assert finish(control, registry, rollout).state == "promoted"


def test_a_rollout_that_is_over_or_unknown_is_not_promoted(control: Engine, registry: FakeRegistry) -> None:
    rollout = start(control, registry, "2")
    rollouts.abort(control, rollout.id, reason=None, actor="ada", now=NOW)
    with pytest.raises(RolloutConflictError, match="is over: rolled_back"):
        finish(control, registry, rollout)
    assert aliases(registry)["champion"] == "1"
    with pytest.raises(RolloutNotFoundError):
        promote_rollout(control, registry, "r-nope", override=None, actor="a", now=NOW)


@pytest.mark.parametrize("models", ["credit/3", "credit/1", "credit@stable"])
def test_a_model_that_is_pinned_serves_what_it_is_pinned_to_and_starts_no_rollout(
    control: Engine, registry: FakeRegistry, models: str
) -> None:
    registry.set_alias("credit", "stable", "3")
    wanted = WantedModels(parse_wanted(models))
    follow(control, registry, NOW, wanted)
    before = served(control)
    plan = Plan.parse({"model": "credit", "challenger": "2", "steps": [{"weight": 0.1}]})
    with pytest.raises(RolloutConflictError, match=f"FAIRMIND_BENTOS_MODELS pins .* '{models}'"):
        start_rollout(control, registry, plan, wanted, override=None, actor="ada", now=NOW)
    follow(control, registry, NOW, wanted)
    assert served(control) == before
    assert before.champion.version == ("1" if models == "credit/1" else "3")
    assert rollouts.rollouts(control) == []


@pytest.mark.parametrize("models", ["", "credit", "credit@champion", "other/3,credit"])
def test_a_model_that_follows_its_champion_starts_one(control: Engine, registry: FakeRegistry, models: str) -> None:
    plan = Plan.parse({"model": "credit", "challenger": "2", "steps": [{"weight": 0.1}]})
    wanted = WantedModels(parse_wanted(models))
    started = start_rollout(control, registry, plan, wanted, override=None, actor="ada", now=NOW)
    assert served(control).rollout_id == started.id


def test_no_rollout_takes_the_place_of_a_version_that_another_process_pinned(
    control: Engine, registry: FakeRegistry
) -> None:
    follow(control, registry, NOW, WantedModels(parse_wanted("credit/3")))
    with pytest.raises(RolloutConflictError, match=r"serves version 3 .* champion is version 1.*BENTOS_MODELS"):
        start(control, registry, "2")
    assert served(control).champion.version == "3"
    assert rollouts.rollouts(control) == []


@pytest.mark.parametrize(
    ("changes", "rows", "with_unit", "refused"),
    [
        ({}, 100, 0, True),
        ({}, 100, 1, False),
        ({}, 0, 0, False),
        ({"unit": "request"}, 100, 0, False),
        ({"guardrails": []}, 100, 0, False),
    ],
)
def test_a_plan_by_units_is_refused_where_no_traffic_carries_one(
    changes: dict[str, Any], rows: int, with_unit: int, refused: bool
) -> None:
    guardrails = [{"metric": "error_rate", "margin": 0.01}]
    plan = Plan.parse({"model": "credit", "steps": [{"weight": 0.1}], "guardrails": guardrails} | changes)
    traffic = UnitShare(rows, with_unit)
    if not refused:
        check_plan(plan, traffic)
        return
    with pytest.raises(NoUnitsError, match="on_missing_key: request"):
        check_plan(plan, traffic)


def test_a_manual_split_that_wants_four_eyes_is_promoted_by_somebody_else(
    control: Engine, registry: FakeRegistry
) -> None:
    plan = Plan.parse({"model": "credit", "challenger": "3", "steps": [{"weight": 0.1}], "four_eyes": True})
    started = rollouts.start(control, plan, registry, actor="ada", now=NOW, override="a pilot")
    before = registry.find(Reference("credit", version="3")).tags
    with pytest.raises(RolloutGateError, match="wants four eyes"):
        promote_rollout(control, registry, started.id, override="in a hurry", actor="ada", now=NOW)
    assert rollouts.find(control, started.id).state == "canary"
    assert registry.find(Reference("credit", version="3")).tags == before
    ended = promote_rollout(control, registry, started.id, override="the board agreed", actor="bob", now=NOW)
    assert (ended.state, aliases(registry)["champion"]) == ("promoted", "3")
