"""Where the files of the versions that are to serve lie on this machine; fetched and verified in one place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from bentos.preparations import Located, Preparations
from inference.loading import SIGNATURE_FILE
from registry.errors import RegistryError
from registry.model_cache import ModelCache
from registry.reference import Reference
from registry.registry import Registry
from remotes.definition import is_remote
from rollout.serving_state import ServedVersion, ServingState
from runners.preparation import FAIRMIND_FOLDER
from runners.specification import SPECIFICATION_FILE

Key = tuple[str, str, str | None]
_RETRY_SECONDS = 60.0
_UNTRUSTED: Final = (
    "it is a remote variant, to whose server rows would be sent, and its registry is not trusted "
    "(FAIRMIND_REGISTRY_TRUSTED)"
)


class VersionFolders:
    """Verified local folders by model, version and digest.

    `find` and `located` are cheap and may be called several times a second; `obtain` hashes and downloads, and is
    called from one thread. A version that cannot be had stands in nobody's way: its problem is kept, it is tried
    again later.

    What workers load is a version's own files where they hold a form of ours, and otherwise what `foreign` makes of
    them. Files that say how to be run do not speak for themselves: that form is made here, or it is none.
    """

    def __init__(
        self,
        cache: ModelCache,
        registry: Registry,
        foreign: Preparations,
        clock: Callable[[], float] = time.monotonic,
        *,
        trusts_remotes: bool = True,
    ) -> None:
        self._cache, self._registry, self._foreign, self._clock = cache, registry, foreign, clock
        self._trusts_remotes = trusts_remotes
        self._sources: dict[Key, Path] = {}
        self._folders: dict[Key, Path] = {}
        self._labels: dict[Key, str] = {}
        self._problems: dict[Key, str] = {}
        self._not_before: dict[Key, float] = {}

    def find(self, model: str, version: ServedVersion) -> Path | None:
        """Return the verified folder, None while there is none."""
        folder = self._folders.get(_key(model, version))
        return folder if folder is not None and folder.is_dir() else None

    def obtain_other(self, name: str, version: ServedVersion) -> Located:
        """Return where a version can be loaded from that need not be one that is to serve; it is fetched.

        A foreign one is prepared beside those that are to serve: until then the problem says how far it is.

        Raises:
            RegistryError: There is no such version, or it cannot be had.
        """
        source = self._cache.find(name, version.version, version.digest)
        if source is None:
            found = self._registry.find(Reference(name, version=version.version))
            source = self._cache.fetch(self._registry, found)
        if not is_ours(source):
            return self._foreign.ask(source)
        problem = self._distrust(source)
        return Located(source if problem is None else None, problem, "")

    def located(self, state: ServingState) -> ServingState:
        """Return the state with the folder of each version, or the problem that keeps it from having one."""

        def locate(version: ServedVersion) -> ServedVersion:
            key = _key(state.model, version)
            folder = self.find(state.model, version)
            problem = None if folder else self._problems.get(key)
            # Workers tell versions apart by their digest: a foreign one gets one that changes with what is loaded.
            digest = version.digest if folder is None else self._labels.get(key, version.digest)
            return version.model_copy(
                update={"folder": folder and str(folder), "problem": problem, "digest": digest}
            )

        located = {
            "champion": locate(state.champion),
            "challenger": None if state.challenger is None else locate(state.challenger),
            "others": tuple(map(locate, state.others)),
        }
        return state.model_copy(update=located)

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
        known = list(self._problems.items())  # in one step: the thread that obtains goes on changing them
        return {f"{model}/{version}": problem for (model, version, _), problem in known}

    def obtain(self, states: Iterable[ServingState], *, ask_registry: bool) -> None:
        """Find, or where `ask_registry` says so fetch, what is missing; forget what is no longer wanted."""
        wanted = {_key(state.model, version) for state in states for version in state.versions()}
        for known in (self._sources, self._folders, self._labels, self._problems, self._not_before):
            for key in set(known) - wanted:
                known.pop(key, None)
        for key in sorted(wanted, key=str):
            source = self._source(key, ask_registry=ask_registry)
            if source is not None:
                self._place(key, source)
        self._foreign.keep_only(self._sources.values())

    def _source(self, key: Key, *, ask_registry: bool) -> Path | None:
        """Return where the version's own files lie, None while they are not here."""
        known = self._sources.get(key)
        if known is not None and known.is_dir():
            return known
        folder = self._cache.find(*key)
        if folder is None and ask_registry and self._clock() >= self._not_before.get(key, 0.0):
            folder = self._fetch(key)
        if folder is not None:
            self._sources[key] = folder
        return folder

    def _place(self, key: Key, source: Path) -> None:
        """Note where the version is loaded from, or why it cannot be yet."""
        if is_ours(source):
            self._labels.pop(key, None)
            problem = self._distrust(source)
            folder = source if problem is None else None
        else:
            located = self._foreign.locate(source)
            self._labels[key] = located.label
            folder, problem = located.folder, located.problem
        if folder is None:
            self._folders.pop(key, None)
        else:
            self._folders[key] = folder
        if problem is None:
            self._problems.pop(key, None)
        else:
            self._problems[key] = problem

    def _distrust(self, source: Path) -> str | None:
        """Return why rows are not to be sent where a remote variant says; None for all other versions."""
        return None if self._trusts_remotes or not is_remote(source) else _UNTRUSTED

    def _fetch(self, key: Key) -> Path | None:
        model, version, _ = key
        try:
            found = self._registry.find(Reference(model, version=version))
            return self._cache.fetch(self._registry, found)
        except (RegistryError, OSError) as error:
            self._problems[key] = str(error)
            self._not_before[key] = self._clock() + _RETRY_SECONDS
            return None


def is_ours(folder: Path) -> bool:
    """Return whether a version's files hold a form that a worker loads without running anything of theirs."""
    fairmind = folder / FAIRMIND_FOLDER
    return (fairmind / SIGNATURE_FILE).is_file() and not (fairmind / SPECIFICATION_FILE).exists()


def _key(model: str, version: ServedVersion) -> Key:
    return model, version.version, version.digest
