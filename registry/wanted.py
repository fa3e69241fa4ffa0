"""Which model versions are to serve: every champion, or those that a deployment names."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from registry.errors import InvalidReferenceError, ModelNotFoundError, RepeatedModelError
from registry.reference import CHALLENGER, CHAMPION, Reference
from registry.registry import Registry
from registry.versions import ModelVersion

_LOOK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class WantedModel:
    """One model by name; a version or an alias pins what of it serves, neither takes its champion or its newest.

    >>> WantedModel.parse("credit/3")
    WantedModel(name='credit', version='3', alias=None)
    >>> WantedModel.parse("credit")
    WantedModel(name='credit', version=None, alias=None)
    """

    name: str
    version: str | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the model that `text` names: `name`, `name@alias` or `name/version`.

        Raises:
            InvalidReferenceError: The text is none of these.
        """
        reference = Reference.parse(text)
        bare = text.strip().removeprefix("models:/") == reference.name
        return cls(reference.name, reference.version, None if bare else reference.alias)

    def __str__(self) -> str:
        if self.version is None and self.alias is None:
            return self.name
        return str(Reference(self.name, self.version, self.alias))


def parse_wanted(text: str) -> tuple[WantedModel, ...]:
    """Return the models of a comma-separated list; none for an empty one, which stands for every champion.

    Raises:
        InvalidReferenceError: A part is no reference.
        RepeatedModelError: A model is named twice: one of its versions is the champion, not two.
    """
    wanted = tuple(WantedModel.parse(part) for part in text.split(",") if part.strip())
    names = [model.name for model in wanted]
    for name in names:
        if names.count(name) > 1:
            raise RepeatedModelError(name)
    return wanted


class WantedModels:
    """Looks up what is to serve: one search for all aliases, and one look-up for each version named otherwise.

    What was looked up is kept: a version named by number for good once it has a digest, others for half a minute.
    """

    def __init__(self, wanted: Iterable[WantedModel] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._wanted, self._clock = tuple(wanted), clock
        self._known: dict[WantedModel, tuple[ModelVersion, float]] = {}
        self._problems: dict[str, str] = {}

    def pin(self, name: str) -> WantedModel | None:
        """Return what a model is pinned to where that is not its champion, None where its champion serves."""
        return next(
            (
                one
                for one in self._wanted
                if one.name == name and (one.version or one.alias not in {None, CHAMPION})
            ),
            None,
        )

    def problems(self) -> dict[str, str]:
        """Return what was named and is not there, by reference, as of the last look."""
        return dict(self._problems)

    def find(self, registry: Registry) -> list[ModelVersion]:
        """Return the versions that are to serve, those that are to be champions with that alias and no others.

        Raises:
            RegistryUnavailableError: The registry cannot be reached.
        """
        aliased = registry.aliased()
        if not self._wanted:
            return aliased
        found: list[ModelVersion] = []
        problems: dict[str, str] = {}
        for wanted in self._wanted:
            mine = [version for version in aliased if version.name == wanted.name]
            try:
                champion = self._champion(registry, wanted, mine)
            except (ModelNotFoundError, InvalidReferenceError) as error:
                problems[str(wanted)] = str(error)
                continue
            found.append(dataclasses.replace(champion, aliases=frozenset({CHAMPION})))
            found += [
                dataclasses.replace(version, aliases=frozenset({CHALLENGER}))
                for version in mine
                if CHALLENGER in version.aliases and version.version != champion.version
            ]
        self._problems = problems
        return found

    def _champion(self, registry: Registry, wanted: WantedModel, mine: list[ModelVersion]) -> ModelVersion:
        if wanted.version is None:
            alias = wanted.alias or CHAMPION
            pointed = next((version for version in mine if alias in version.aliases), None)
            if pointed is not None:
                return pointed
            if wanted.alias is not None:
                raise ModelNotFoundError(str(wanted))
        kept = self._known.get(wanted)
        if kept is not None and self._clock() < kept[1]:
            return kept[0]
        found = self._look(registry, wanted)
        settled = wanted.version is not None and found.digest is not None
        self._known[wanted] = found, float("inf") if settled else self._clock() + _LOOK_SECONDS
        return found

    def _look(self, registry: Registry, wanted: WantedModel) -> ModelVersion:
        if wanted.version is not None:
            return registry.find(Reference(wanted.name, version=wanted.version))
        versions = registry.versions(wanted.name)
        if not versions:
            raise ModelNotFoundError(wanted.name)
        return versions[0]
