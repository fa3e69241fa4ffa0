"""`/api/v1/rollouts`: started, changed and ended over HTTP, each decision with its actor."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bentos.companion import Companion
from registry.reference import Reference
from rollout.serving_store import follow_aliases, serving_epochs, serving_states
from tests.fakes.registry import FakeRegistry
from tests.unit.bentos.api_answers import PLAN, Api, refused, start


@pytest.fixture(autouse=True)
def served(companion: Companion, registry: FakeRegistry) -> None:
    follow_aliases(companion.control, registry.aliased(), datetime.now(UTC), seen=serving_epochs(companion.control))


def test_the_actor_of_a_decision_is_the_key_that_the_front_door_checked(api: Api, registry: FakeRegistry) -> None:
    sent = {"X-Fairmind-Principal": "0123456789ab"}
    rollout = api("POST", "/api/v1/rollouts", json=PLAN, headers=sent).json()
    assert rollout["created_by"] == "0123456789ab"
    assert api("POST", f"/api/v1/rollouts/{rollout['id']}/promote", headers=sent).status_code == 200
    assert registry.versions("credit")[1].tags["fairmind.promoted.by"] == "0123456789ab"


def test_the_history_of_a_rollout_names_the_key_of_every_decision(api: Api) -> None:
    path = f"/api/v1/rollouts/{start(api)['id']}"
    for number, (what, body) in enumerate(
        {"weight": {"weight": 0.3}, "pause": {"reason": "x"}, "resume": None, "abort": None}.items()
    ):
        answer = api("POST", f"{path}/{what}", json=body, headers={"X-Fairmind-Principal": f"key-{number}"})
        assert answer.status_code == 200
    history = api("GET", path).json()["history"]
    assert [(event["action"], event["actor"]) for event in history] == [
        ("started", "api"),
        ("weight_changed", "key-0"),
        ("paused", "key-1"),
        ("resumed", "key-2"),
        ("aborted", "key-3"),
    ]


def test_a_rollout_goes_from_start_to_abort(api: Api, companion: Companion) -> None:
    rollout = start(api)
    path = f"/api/v1/rollouts/{rollout['id']}"
    assert (rollout["state"], rollout["weight"], rollout["created_by"]) == ("canary", 0.2, "api")
    assert api("GET", path).json().items() >= rollout.items()
    assert api("GET", "/api/v1/rollouts").json() == {"rollouts": [rollout]}
    assert api("POST", f"{path}/weight", json={"weight": 0.3}).json()["weight"] == 0.3
    assert serving_states(companion.control)["credit"].weight_bp == 3_000
    paused = api("POST", f"{path}/pause", json={"reason": "complaints"}).json()
    assert (paused["state"], paused["reason"]) == ("paused", "complaints")
    assert api("POST", f"{path}/resume").json()["state"] == "canary"
    assert api("POST", f"{path}/pause").json()["reason"] is None
    ended = api("POST", f"{path}/abort", json={"reason": "enough"}).json()
    assert (ended["state"], ended["reason"], bool(ended["finished_at"])) == ("rolled_back", "enough", True)


def test_a_promoted_rollout_moves_the_alias(api: Api, companion: Companion, registry: FakeRegistry) -> None:
    rollout = start(api)
    ended = api("POST", f"/api/v1/rollouts/{rollout['id']}/promote").json()
    assert ended["state"] == "promoted"
    assert {version.version: set(version.aliases) for version in registry.aliased()} == {
        "1": {"previous_champion"},
        "2": {"champion"},
    }
    assert serving_states(companion.control)["credit"].champion.version == "2"


def test_a_gate_refuses_a_start_and_a_promotion_with_409_unless_it_is_overridden(
    api: Api, registry: FakeRegistry
) -> None:
    plan = PLAN | {"challenger": "3"}
    assert refused(api("POST", "/api/v1/rollouts", json=plan))[:2] == (409, "gate_refused")
    started = api("POST", "/api/v1/rollouts?override=a%20pilot", json=plan)
    assert started.status_code == 201
    path = f"/api/v1/rollouts/{started.json()['id']}/promote"
    status, code, message = refused(api("POST", path))
    assert (status, code) == (409, "gate_refused")
    assert "equalized_odds_difference on SEX is 0.1700" in message
    assert refused(api("POST", path, json={"override": ""}))[:2] == (422, "invalid_request")
    assert api("POST", path, json={"override": "agreed with the board"}).json()["state"] == "promoted"
    (champion,) = [version for version in registry.aliased() if "champion" in version.aliases]
    assert champion.tags["fairmind.override.reason"] == "agreed with the board"


CONFLICTS: dict[str, dict[str, Any] | None] = {
    "weight": {"weight": 0.1},
    "pause": None,
    "resume": None,
    "abort": None,
    "promote": None,
}


@pytest.mark.parametrize("action", CONFLICTS)
def test_what_a_rollout_cannot_do_now_is_409_and_an_unknown_one_404(api: Api, action: str) -> None:
    path = f"/api/v1/rollouts/{start(api)['id']}"
    api("POST", f"{path}/abort")
    assert refused(api("POST", f"{path}/{action}", json=CONFLICTS[action]))[:2] == (409, "rollout_conflict")
    unknown = api("POST", f"/api/v1/rollouts/r-nope/{action}", json=CONFLICTS[action])
    assert refused(unknown)[:2] == (404, "rollout_not_found")


def test_a_second_rollout_is_409_and_an_unknown_one_404(api: Api) -> None:
    start(api)
    assert refused(api("POST", "/api/v1/rollouts", json=PLAN))[:2] == (409, "rollout_conflict")
    assert refused(api("GET", "/api/v1/rollouts/r-nope"))[:2] == (404, "rollout_not_found")
    unknown = api("POST", "/api/v1/rollouts", json=PLAN | {"model": "nope"})
    assert refused(unknown)[:2] == (404, "model_not_found")


GUARDED = PLAN | {"steps": [{"weight": 0.2}], "guardrails": [{"metric": "error_rate", "margin": 0.01}]}


def test_a_guarded_rollout_is_told_with_its_traffic_plan_decisions_and_evaluations(
    api: Api, companion: Companion
) -> None:
    answer = api("POST", "/api/v1/rollouts", json=GUARDED)
    rollout = answer.json()
    assert (answer.status_code, rollout["state"], rollout["is_guarded"]) == (201, "pending", True)
    assert rollout["traffic"] == {"rows": 0, "with_unit": 0}
    path, now = f"/api/v1/rollouts/{rollout['id']}", datetime.now(UTC)
    assert api("GET", path).json()["evaluation"] is None
    companion.controller._is_ready = lambda _model: True
    companion.controller.tick(now)
    companion.controller.tick(now)
    told = api("GET", path).json()
    assert (told["state"], told["plan"]["guardrails"][0]["metric"]) == ("canary", "error_rate")
    assert [one["verdict"] for one in told["evaluation"]["judgements"]] == ["no_data"]
    decisions = api("GET", f"{path}/decisions").json()["decisions"]
    assert [one["action"] for one in decisions] == ["started", "advanced"]
    assert decisions[1]["previous_hash"] == decisions[0]["hash"]
    (evaluation,) = api("GET", f"{path}/evaluations", params={"limit": 5}).json()["evaluations"]
    assert (evaluation["id"], evaluation["inputs"]["cells"]) == (told["evaluation"]["id"], {"error_rate": []})
    scraped = api("GET", "/metrics").text
    assert 'fairmind_rollout_verdict{model="credit",variant="challenger",metric="error_rate"' in scraped


def test_what_a_person_may_not_decide_yet_is_409_with_what_is_missing(api: Api, companion: Companion) -> None:
    path = f"/api/v1/rollouts/{api('POST', '/api/v1/rollouts', json=GUARDED).json()['id']}"
    assert refused(api("POST", f"{path}/approve"))[:2] == (409, "rollout_conflict")
    companion.controller._is_ready = lambda _model: True
    companion.controller.tick(datetime.now(UTC))
    status, code, message = refused(api("POST", f"{path}/promote"))
    assert (status, code) == (409, "rollout_gate_refused")
    assert "nothing was evaluated in this step yet" in message
    assert api("POST", f"{path}/promote", json={"override": "agreed"}).json()["state"] == "promoted"
    assert companion.registry.find(Reference("credit", alias="champion")).version == "2"


@pytest.mark.parametrize("what", ["decisions", "evaluations"])
def test_of_an_unknown_rollout_nothing_is_listed(api: Api, what: str) -> None:
    assert refused(api("GET", f"/api/v1/rollouts/r-nope/{what}"))[:2] == (404, "rollout_not_found")
