"""Registered models as they are shown: everything a person asks of a version, in JSON-able values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bentos.companion import Companion
from bentos.model_views import model_view, models_view, version_view
from registry.digest import digest_folder
from registry.errors import ModelNotFoundError
from registry.gate_record import GATES_TAG
from registry.reference import Reference
from rollout import rollouts
from rollout.plan import Plan
from rollout.serving_store import follow_aliases, serving_epochs
from tests.fakes.registry import FakeRegistry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_version_tells_where_it_comes_from_and_what_its_gates_said(registry: FakeRegistry, credit: Any) -> None:
    shown = version_view(registry.find(Reference("credit", alias="champion")))
    assert shown == {
        "name": "credit",
        "version": "1",
        "aliases": ["champion"],
        "created_at": "2026-01-01T00:00:01+00:00",
        "run_id": None,
        "digest": digest_folder(credit.folder),
        "gates": [
            {
                "kind": "bias",
                "metric": "equalized_odds_difference",
                "attribute": "SEX",
                "value": 0.17,
                "limit": 0.1,
                "verdict": "pass",
                "required": False,
                "gating": True,
                "message": "",
                "test_id": None,
            }
        ],
        "tags": {"fairmind.digest": digest_folder(credit.folder)},
    }
    assert json.loads(json.dumps(shown)) == shown


def test_a_version_without_a_record_and_one_with_an_unreadable_one_are_told_apart(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    assert version_view(registry.register("bare", tmp_path))["gates"] is None
    unreadable = version_view(registry.register("bare", tmp_path, {GATES_TAG: "{"}))
    assert unreadable["gates"] == {"error": "its gate record cannot be read"}


def test_models_are_listed_by_name_with_versions_newest_first_served_or_not(
    companion: Companion, registry: FakeRegistry, tmp_path: Path
) -> None:
    registry.register("another", tmp_path)
    follow_aliases(companion.control, registry.aliased(), NOW, seen=serving_epochs(companion.control))
    another, credit = models_view(registry, companion.control)
    assert (another["name"], another["serving"]) == ("another", None)
    assert [version["version"] for version in credit["versions"]] == ["3", "2", "1"]
    assert credit["serving"]["champion"] == "1"


def test_what_serves_shows_the_rollout_and_its_weight(companion: Companion, registry: FakeRegistry) -> None:
    plan = Plan.parse({"model": "credit", "steps": [{"weight": 0.25}]})
    rollout = rollouts.start(companion.control, plan, registry, actor="ada", now=NOW)
    assert model_view(registry, companion.control, "credit")["serving"] == {
        "epoch": 1,
        "champion": "1",
        "challenger": "2",
        "weight": 0.25,
        "rollout_id": rollout.id,
    }


def test_an_unknown_model_is_named(companion: Companion, registry: FakeRegistry) -> None:
    with pytest.raises(ModelNotFoundError, match="'nope'"):
        model_view(registry, companion.control, "nope")


def test_without_models_the_list_is_empty(companion: Companion) -> None:
    assert models_view(FakeRegistry(), companion.control) == []
