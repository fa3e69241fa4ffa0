"""Which versions a deployment serves: every champion, or what it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.errors import InvalidReferenceError, RegistryUnavailableError, RepeatedModelError
from registry.wanted import WantedModel, WantedModels, parse_wanted
from tests.fakes.registry import FakeRegistry


class Counting(FakeRegistry):
    """Counts the look-ups of single versions and of models."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def find(self, reference):
        self.looks += 1
        return super().find(reference)

    def versions(self, name):
        self.looks += 1
        return super().versions(name)

    def aliased(self):
        before = self.looks
        found = super().aliased()
        self.looks = before
        return found


@pytest.fixture
def registry(tmp_path: Path) -> Counting:
    """`credit` with three versions, champion 1 and challenger 2; `plain` with two and no alias; `staged`."""
    registry = Counting()
    for name, count in (("credit", 3), ("plain", 2), ("staged", 2)):
        for _ in range(count):
            registry.register(name, tmp_path)
    registry.set_alias("credit", "champion", "1")
    registry.set_alias("credit", "challenger", "2")
    registry.set_alias("staged", "staging", "1")
    registry.looks = 0
    return registry


def serving(registry: Counting, text: str) -> dict[str, str]:
    return {
        f"{one.name}@{'+'.join(one.aliases)}": one.version
        for one in WantedModels(parse_wanted(text)).find(registry)
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", WantedModel("plain")),
        (" models:/plain/2 ", WantedModel("plain", version="2")),
        ("plain@staging", WantedModel("plain", alias="staging")),
        ("plain@champion", WantedModel("plain", alias="champion")),
    ],
)
def test_a_model_is_named_alone_by_version_or_by_alias(text: str, expected: WantedModel) -> None:
    assert parse_wanted(text) == (expected,)
    assert parse_wanted(str(expected)) == (expected,)


def test_an_empty_list_stands_for_every_champion(registry: Counting) -> None:
    assert parse_wanted(" , ") == ()
    assert WantedModels().find(registry) == registry.aliased()


@pytest.mark.parametrize("text", ["a/b/c", "@x", "credit@1"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError):
        parse_wanted(text)


def test_a_model_named_twice_is_refused() -> None:
    with pytest.raises(RepeatedModelError, match="'credit' is named twice"):
        parse_wanted("credit/1,plain,credit/2")


def test_a_bare_name_is_its_champion_and_where_there_is_none_its_newest(registry: Counting) -> None:
    assert serving(registry, "credit,plain") == {
        "credit@champion": "1",
        "credit@challenger": "2",
        "plain@champion": "2",
    }


def test_a_version_and_an_alias_pin_what_is_the_champion(registry: Counting) -> None:
    assert serving(registry, "credit/3,staged@staging") == {
        "credit@champion": "3",
        "credit@challenger": "2",
        "staged@champion": "1",
    }
    assert serving(registry, "credit/2") == {"credit@champion": "2"}


def test_what_is_not_there_is_told_and_keeps_nothing_else_from_serving(registry: Counting) -> None:
    wanted = WantedModels(parse_wanted("nobody,plain/9,staged@champion,credit"))
    assert {one.name for one in wanted.find(registry)} == {"credit"}
    assert set(wanted.problems()) == {"nobody", "plain/9", "staged@champion"}
    registry.set_alias("staged", "champion", "2")
    assert {one.name for one in wanted.find(registry)} == {"credit", "staged"}
    assert set(wanted.problems()) == {"nobody", "plain/9"}


def test_polling_asks_for_named_versions_once_and_for_those_without_a_digest_now_and_then(
    registry: Counting, tmp_path: Path
) -> None:
    now = [0.0]
    registry.register("plain", tmp_path, {"fairmind.digest": "sha256:abc"})
    wanted = WantedModels(parse_wanted("plain/3,staged,credit"), clock=lambda: now[0])
    for _ in range(5):
        wanted.find(registry)
    assert registry.looks == 2
    now[0] = 3600.0
    wanted.find(registry)
    assert registry.looks == 3


def test_a_registry_that_is_away_says_so(registry: Counting) -> None:
    registry.away = True
    with pytest.raises(RegistryUnavailableError):
        WantedModels(parse_wanted("plain")).find(registry)
