"""Where the files of the versions that are to serve lie on this machine; fetched and verified in one place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from registry.errors import RegistryError
from registry.model_cache import ModelCache
from registry.reference import Reference
from registry.registry import Registry
from rollout.serving_state import ServedVersion, ServingState

Key = tuple[str, str, str | None]
_RETRY_SECONDS = 60.0


class VersionFolders:
    """Verified local folders by model, version and digest.

    `find` and `located` are cheap and may be called several times a second; `obtain` hashes and downloads, and is
    called from one thread. A version that cannot be had stands in nobody's way: its problem is kept, it is tried
    again later.
    """

    def __init__(self, cache: ModelCache, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._cache, self._registry, self._clock = cache, registry, clock
        self._folders: dict[Key, Path] = {}
        self._problems: dict[Key, str] = {}
        self._not_before: dict[Key, float] = {}

    def find(self, model: str, version: ServedVersion) -> Path | None:
        """Return the verified folder, None while there is none."""
        folder = self._folders.get(_key(model, version))
        return folder if folder is not None and folder.is_dir() else None

    def located(self, state: ServingState) -> ServingState:
        """Return the state with the folder of each version, or the problem that keeps it from having one."""

        def locate(version: ServedVersion) -> ServedVersion:
            folder = self.find(state.model, version)
            problem = None if folder else self._problems.get(_key(state.model, version))
            return version.model_copy(update={"folder": folder and str(folder), "problem": problem})

        challenger = None if state.challenger is None else locate(state.challenger)
        return state.model_copy(update={"champion": locate(state.champion), "challenger": challenger})

    def missing(self, states: Iterable[ServingState]) -> set[Key]:
        """Return the versions that have no folder yet."""
        return {
            _key(state.model, version)
            for state in states
            for version in state.versions()
            if self.find(state.model, version) is None
        }

    def problems(self) -> dict[str, str]:
        """Return why versions are not here, by `model/version`."""
        return {f"{model}/{version}": problem for (model, version, _), problem in self._problems.items()}

    def obtain(self, states: Iterable[ServingState], *, ask_registry: bool) -> None:
        """Find, or where `ask_registry` says so fetch, what is missing; forget what is no longer wanted."""
        wanted = {_key(state.model, version) for state in states for version in state.versions()}
        for known in (self._folders, self._problems, self._not_before):
            for key in set(known) - wanted:
                known.pop(key, None)
        for key in sorted(wanted, key=str):
            if key in self._folders and self._folders[key].is_dir():
                continue
            model, version, digest = key
            folder = self._cache.find(model, version, digest)
            if folder is None and ask_registry and self._clock() >= self._not_before.get(key, 0.0):
                folder = self._fetch(key)
            if folder is not None:
                self._folders[key] = folder
                self._problems.pop(key, None)

    def _fetch(self, key: Key) -> Path | None:
        model, version, _ = key
        try:
            found = self._registry.find(Reference(model, version=version))
            return self._cache.fetch(self._registry, found)
        except (RegistryError, OSError) as error:
            self._problems[key] = str(error)
            self._not_before[key] = self._clock() + _RETRY_SECONDS
            return None


def _key(model: str, version: ServedVersion) -> Key:
    return model, version.version, version.digest
