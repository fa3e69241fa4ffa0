"""Servers of somebody's as versions: added, listed, checked, tested for bias, and a change that holds a rollout."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bentos.companion import Companion
from bentos.remote_checks import RemoteChecks
from bentos.tested_models import TestedModels
from bentos.variants import REMOTE_TAG, parse_signature, read_signature
from bentos.version_folders import VersionFolders
from inference.signature import Task
from monitoring.exposition import StateMetrics
from registry.versions import ModelVersion
from remotes.errors import InvalidRemoteError
from rollout.serving_store import follow_aliases, serving_epochs, serving_states
from tests.fakes.registry import FakeRegistry
from tests.fakes.remote_servers import FakeRemote, mlflow, oip, remote_server
from tests.unit.bentos.api_answers import Api, refused

COLUMNS = {"columns": [{"name": name, "type": "double", "nullable": True} for name in ("age", "income")]}


class KeepingRegistry(FakeRegistry):
    """Keeps what it is given, as a real one does."""

    kept: Path

    def register(self, name: str, folder: Path, tags: Mapping[str, str] | None = None) -> ModelVersion:
        place = self.kept / f"{name}-{len(self._versions.get(name, {}))}"
        shutil.copytree(folder, place)
        return super().register(name, place, tags)


@pytest.fixture
def registry(tmp_path: Path) -> KeepingRegistry:
    made = KeepingRegistry()
    made.kept = tmp_path / "kept"
    return made


def with_server(scenario: Callable[[FakeRemote], None], answer: Any = oip) -> None:
    """Run a scenario in a thread while a server runs in this one."""

    async def serve() -> None:
        async with remote_server(answer) as fake:
            await asyncio.to_thread(scenario, fake)

    asyncio.run(serve())


def add(api: Api, fake: FakeRemote, **more: Any) -> Any:
    answer = api("POST", "/api/v1/variants", json={"name": "loans", "url": fake.url, "model": "m", **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


def follow(companion: Companion) -> None:
    """Bring what serves and its files to where the registry's aliases are."""
    control = companion.control
    follow_aliases(control, companion.registry.aliased(), datetime.now(UTC), seen=serving_epochs(control))
    companion.folders.obtain(serving_states(control).values(), ask_registry=True)


def test_a_server_becomes_a_version_and_with_an_alias_it_serves(
    api: Api, companion: Companion, registry: FakeRegistry
) -> None:
    def scenario(fake: FakeRemote) -> None:
        added = add(api, fake, alias="champion")
        assert (added["reference"], added["remote_version"], added["notes"]) == ("loans/1", "3", [])
        (version,) = registry.versions("loans")
        assert version.digest is not None
        assert version.tags[REMOTE_TAG] == fake.url
        assert "no gate was measured" in version.tags["fairmind.override.reason"]
        assert serving_states(companion.control)["loans"].champion.version == "1"
        listed = api("GET", "/api/v1/variants").json()["variants"]
        assert [(one["name"], one["version"], one["protocol"]) for one in listed] == [("loans", "1", "oip")]
        assert api("POST", "/api/v1/variants/loans/1/check").json()["problem"] is None

    with_server(scenario)


def test_without_an_alias_its_promotion_needs_a_reason(api: Api) -> None:
    def scenario(fake: FakeRemote) -> None:
        add(api, fake, alias="champion")
        add(api, fake)
        plan = {"model": "loans", "challenger": "2", "steps": [{"weight": 0.2}]}
        assert refused(api("POST", "/api/v1/rollouts", json=plan))[:2] == (409, "gate_refused")
        assert api("POST", "/api/v1/rollouts?override=known", json=plan).status_code == 201

    with_server(scenario)


def test_a_signature_may_be_that_of_a_registered_version_or_written_down(api: Api) -> None:
    def scenario(fake: FakeRemote) -> None:
        by_hand = add(api, fake, protocol="mlflow", model=None, signature=COLUMNS | {"classes": [0, 1]})
        assert by_hand["remote_version"] == "mlflow-3"
        same = add(api, fake, protocol="mlflow", model=None, signature="loans/1")
        assert same["reference"] == "loans/2"

    with_server(scenario, mlflow)


def test_what_makes_no_variant_is_refused_with_what_to_do(api: Api) -> None:
    body = {"name": "loans", "url": "http://127.0.0.1:1", "model": "m"}
    assert refused(api("POST", "/api/v1/variants", json=body))[:2] == (503, "remote_unavailable")
    assert refused(api("POST", "/api/v1/variants", json=body | {"url": "there"}))[:2] == (422, "invalid_remote")
    assert refused(api("POST", "/api/v1/variants", json=body | {"urll": "x"}))[:2] == (422, "invalid_request")
    assert refused(api("POST", "/api/v1/variants/loans/1/check"))[:2] == (404, "model_not_found")


def test_a_change_holds_the_rollout_until_the_server_is_what_it_was(api: Api, companion: Companion) -> None:
    def scenario(fake: FakeRemote) -> None:
        add(api, fake, alias="champion")
        add(api, fake, alias="challenger")
        follow(companion)
        guarded = [{"metric": "error_rate", "margin": 0.02}]
        rollout = start_guarded(api, guardrails=guarded)
        companion.controller.tick(datetime.now(UTC))
        companion.remotes.look()
        assert state(api, rollout) == "canary"
        fake.version = "4"
        companion.remotes.look()
        assert state(api, rollout) == "paused"
        held = api("GET", f"/api/v1/rollouts/{rollout}").json()["held"]
        assert held[0].startswith("remote_changed: the remote server reports version 4, and was registered with")
        assert "reports version 4" in companion.remotes.problems()["loans/2"]
        fake.ready = False
        companion.remotes.look()
        assert state(api, rollout) == "paused", "who is away says nothing of its version"
        fake.ready, fake.version = True, "3"
        companion.remotes.look()
        assert state(api, rollout) == "canary"

    with_server(scenario)


def start_guarded(api: Api, **plan: Any) -> str:
    body = {"model": "loans", "unit": "request", "steps": [{"weight": 0.2}], **plan}
    answer = api("POST", "/api/v1/rollouts?override=known", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def state(api: Api, rollout: str) -> str:
    return str(api("GET", f"/api/v1/rollouts/{rollout}").json()["state"])


def test_gauges_say_which_servers_are_not_as_they_should_be(api: Api, companion: Companion) -> None:
    def scenario(fake: FakeRemote) -> None:
        add(api, fake, alias="champion")
        follow(companion)
        seen = []
        for fake.ready, fake.version in ((True, "3"), (True, "4"), (False, "3")):
            companion.remotes.look()
            metrics = StateMetrics()
            companion.remotes.set_gauges(metrics)
            labels = {"model": "loans", "model_version": "1"}
            names = ("fairmind_remote_up", "fairmind_remote_changed")
            seen.append([metrics.registry.get_sample_value(name, labels) for name in names])
        assert seen == [[1, 0], [1, 1], [0, 0]]

    with_server(scenario)


def test_a_bias_test_scores_through_the_server(api: Api, companion: Companion) -> None:
    def scenario(fake: FakeRemote) -> None:
        add(api, fake, alias="champion")
        follow(companion)
        instances = [{"features": {"age": age, "income": 1.0}} for age in (10, 90, 60)]
        tested = TestedModels(companion)
        with tested.opened(*tested.find("loans", None, None)) as served:
            from inference.columns import columns_from_rows

            columns = columns_from_rows([one["features"] for one in instances], served.signature)
            assert served.predict(columns, 3).prediction.tolist() == [0, 1, 1]
        assert fake.calls > 1

    with_server(scenario)


def test_rows_go_nowhere_that_a_registry_says_which_is_not_trusted(api: Api, companion: Companion) -> None:
    def scenario(fake: FakeRemote) -> None:
        add(api, fake, alias="champion")
        folders = VersionFolders(companion.cache, companion.registry, companion._preparations, trusts_remotes=False)
        states = serving_states(companion.control)
        folders.obtain(states.values(), ask_registry=True)
        located = folders.located(states["loans"]).champion
        assert located.folder is None
        assert "FAIRMIND_REGISTRY_TRUSTED" in (located.problem or "")
        checks, before = RemoteChecks(companion.control, companion.log, folders), fake.calls
        checks.look()
        assert (checks.problems(), fake.calls) == ({}, before)

    with_server(scenario)


def test_signatures_in_files_say_what_is_wrong_with_them(tmp_path: Path) -> None:
    path = tmp_path / "signature.yaml"
    path.write_text("columns:\n- {name: age, type: double}\nclasses: [a, b, c]\n", encoding="utf-8")
    assert read_signature(path).task is Task.MULTICLASS
    path.write_text("columns:\n- {name: age, type: number}\n", encoding="utf-8")
    with pytest.raises(InvalidRemoteError, match=r"columns\.0\.type"):
        read_signature(path)
    path.write_text("- age\n", encoding="utf-8")
    with pytest.raises(InvalidRemoteError, match="'columns'"):
        read_signature(path)
    with pytest.raises(InvalidRemoteError, match="cannot be read"):
        read_signature(tmp_path / "none.yaml")
    with pytest.raises(InvalidRemoteError, match="columns"):
        parse_signature({"classes": [0, 1]})
