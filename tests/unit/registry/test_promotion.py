"""Who may become champion, what is written down, and the way back; against both registries."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from registry.digest import digest_folder
from registry.errors import AliasConflictError, GateRecordError, GateRefusedError, ModelNotFoundError
from registry.gate_record import GATES_TAG, GateKind, GateRecord, GateResult, GateVerdict
from registry.promotion import promote, rollback
from registry.reference import Reference
from registry.registry import Registry
from registry.versions import DIGEST_TAG
from tests.fakes.registry import FakeRegistry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def tags(files: Path, verdict: GateVerdict = GateVerdict.PASS, digest: str | None = None) -> dict[str, str]:
    gate = GateResult(
        kind=GateKind.BIAS,
        metric="equalized_odds_difference",
        attribute="SEX",
        value=0.17,
        limit=0.1,
        verdict=verdict,
    )
    actual = digest_folder(files)
    return {DIGEST_TAG: actual, GATES_TAG: GateRecord(digest=digest or actual, results=(gate,)).to_json()}


def champion(registry: Registry, name: str) -> str:
    return registry.find(Reference(name, alias="champion")).version


def test_a_version_that_passes_becomes_champion(registry: Registry, register, name, files) -> None:
    register(name, files, tags(files))
    done = promote(registry, Reference(name, version="1"), actor="ada", now=NOW)
    assert (done.alias, done.version.version, done.previous_version, done.overridden) == (
        "champion",
        "1",
        None,
        False,
    )
    assert done.version.aliases == {"champion"}
    assert done.version.tags["fairmind.promoted.by"] == "ada"
    assert done.version.tags["fairmind.promoted.at"] == "2026-05-01T12:00:00+00:00"


def test_the_version_before_stays_findable_and_comes_back(registry: Registry, register, name, files) -> None:
    for number in ("1", "2"):
        register(name, files, tags(files))
        done = promote(registry, Reference(name, version=number), actor="ada", now=NOW)
    assert done.previous_version is not None
    assert done.previous_version.version == "1"
    assert registry.find(Reference(name, alias="previous_champion")).version == "1"
    back = rollback(registry, name, actor="bob", now=NOW)
    assert champion(registry, name) == back.version.version == "1"
    left = registry.find(Reference(name, version="2"))
    assert left.aliases == set()
    assert left.tags["fairmind.rolled_back.by"] == "bob"
    with pytest.raises(ModelNotFoundError, match="previous_champion"):
        rollback(registry, name, actor="bob", now=NOW)


def test_a_refused_promotion_names_the_gate_and_changes_nothing(registry: Registry, register, name, files) -> None:
    register(name, files, tags(files))
    promote(registry, Reference(name, version="1"), actor="ada", now=NOW)
    register(name, files, tags(files, GateVerdict.FAIL))
    with pytest.raises(GateRefusedError, match=r"equalized_odds_difference on SEX is 0\.1700.*0\.0700") as caught:
        promote(registry, Reference(name, version="2"), actor="ada", now=NOW)
    assert [refusing.metric for refusing in caught.value.refusing] == ["equalized_odds_difference"]
    assert champion(registry, name) == "1"
    assert set(registry.find(Reference(name, version="2")).tags) == {DIGEST_TAG, GATES_TAG}


def test_an_override_promotes_and_is_signed(registry: Registry, register, name, files) -> None:
    register(name, files, tags(files, GateVerdict.FAIL))
    done = promote(registry, Reference(name, version="1"), override=" agreed ", actor="ada", now=NOW)
    assert done.overridden
    assert {key: done.version.tags[f"fairmind.override.{key}"] for key in ("reason", "by", "at")} == {
        "reason": "agreed",
        "by": "ada",
        "at": NOW.isoformat(),
    }


def test_an_override_that_was_not_needed_is_not_recorded(registry: Registry, register, name, files) -> None:
    register(name, files, tags(files))
    done = promote(registry, Reference(name, version="1"), override="to be safe", actor="ada", now=NOW)
    assert not done.overridden
    assert not any(key.startswith("fairmind.override") for key in done.version.tags)


def test_an_override_without_a_reason_is_none(registry: Registry, register, name, files) -> None:
    register(name, files, tags(files, GateVerdict.FAIL))
    with pytest.raises(GateRefusedError):
        promote(registry, Reference(name, version="1"), override="  ", actor="ada", now=NOW)


def test_a_version_without_a_record_is_refused_with_the_remedy(registry: Registry, register, name, files) -> None:
    register(name, files, {DIGEST_TAG: digest_folder(files)})
    with pytest.raises(GateRecordError, match=r"no record.*fairmind train.*--override"):
        promote(registry, Reference(name, version="1"), actor="ada", now=NOW)
    assert promote(registry, Reference(name, version="1"), override="adopted", actor="ada", now=NOW).overridden


def test_a_record_about_other_files_is_refused(registry: Registry, register, name, files) -> None:
    register(name, files, tags(files, digest="sha256:" + "0" * 64))
    with pytest.raises(GateRecordError, match="other files"):
        promote(registry, Reference(name, version="1"), actor="ada", now=NOW)


def test_the_challenger_alias_is_gated_and_leaves_the_champion_alone(
    registry: Registry, register, name, files
) -> None:
    register(name, files, tags(files))
    promote(registry, Reference(name, version="1"), actor="ada", now=NOW)
    register(name, files, tags(files))
    done = promote(registry, Reference(name, version="2"), alias="challenger", actor="ada", now=NOW)
    assert done.version.aliases == {"challenger"}
    assert champion(registry, name) == "1"
    with pytest.raises(ModelNotFoundError):
        registry.find(Reference(name, alias="previous_champion"))


def test_promoting_the_champion_again_keeps_the_way_back(registry: Registry, register, name, files) -> None:
    for number in ("1", "2"):
        register(name, files, tags(files))
        promote(registry, Reference(name, version=number), actor="ada", now=NOW)
    again = promote(registry, Reference(name, alias="champion"), actor="ada", now=NOW)
    assert again.previous_version is None
    assert registry.find(Reference(name, alias="previous_champion")).version == "1"


class MovedByAnother(FakeRegistry):
    """Somebody points the champion elsewhere as soon as the promotion has signed the version."""

    def set_tag(self, name: str, version: str, key: str, value: str) -> None:
        super().set_tag(name, version, key, value)
        self.set_alias(name, "champion", "2")


def test_an_alias_moved_meanwhile_is_a_conflict(files: Path) -> None:
    registry = MovedByAnother()
    for _ in range(3):
        registry.register("credit", files, tags(files))
    registry.set_alias("credit", "champion", "1")
    with pytest.raises(AliasConflictError, match="expected version 1, found version 2"):
        promote(registry, Reference("credit", version="3"), actor="ada", now=NOW)
    assert champion(registry, "credit") == "2"
