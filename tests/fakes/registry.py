"""A model registry in memory; tests/unit/registry/test_registry_contract.py holds it to what MLflow does."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from registry.errors import ModelNotFoundError, ReadOnlyRegistryError, RegistryUnavailableError
from registry.reference import Reference
from registry.training_run import TrainingRun
from registry.versions import ModelVersion


class FakeRegistry:
    """Implements `registry.registry.Registry`; `away` makes every call fail as an unreachable server does,
    `read_only` those that add files."""

    def __init__(self) -> None:
        self.away = False
        self.read_only = False
        self.folders_taken = 1_000  # how many more it takes before its store is full
        self.downloads = 0
        self.runs: dict[str, TrainingRun] = {}
        self._versions: dict[str, dict[str, ModelVersion]] = {}
        self._aliases: dict[str, dict[str, str]] = {}
        self._clock = datetime(2026, 1, 1, tzinfo=UTC)

    def register(
        self, name: str, folder: Path, tags: Mapping[str, str] | None = None, run_id: str | None = None
    ) -> ModelVersion:
        """Register the files in `folder` as the next version of `name`; deleted numbers are given again."""
        versions = self._versions.setdefault(name, {})
        self._aliases.setdefault(name, {})
        self._clock += timedelta(seconds=1)
        number = str(len(versions) + 1)
        versions[number] = ModelVersion(
            name, number, run_id, str(folder), frozenset(), dict(tags or {}), self._clock
        )
        return versions[number]

    def delete(self, name: str, version: str) -> None:
        """Delete one version."""
        del self._versions[name][version]

    def wait_until(self, now: datetime) -> None:
        """Let the clock stand at `now` for what is registered next."""
        self._clock = now

    def find(self, reference: Reference) -> ModelVersion:
        self._reach()
        number = reference.version
        if reference.alias is not None:
            number = self._aliases.get(reference.name, {}).get(reference.alias)
        found = self._versions.get(reference.name, {}).get(number or "")
        if found is None:
            raise ModelNotFoundError(str(reference))
        return self._with_aliases(found)

    def versions(self, name: str) -> list[ModelVersion]:
        self._reach()
        if name not in self._versions:
            raise ModelNotFoundError(name)
        return [self._with_aliases(version) for version in reversed(self._versions[name].values())]

    def names(self) -> list[str]:
        self._reach()
        return sorted(self._versions)

    def aliased(self) -> list[ModelVersion]:
        self._reach()
        every = [version for name in self.names() for version in reversed(self.versions(name))]
        return [version for version in every if version.aliases]

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self.find(Reference(name, version=version))
        self._aliases[name][Reference.parse(f"{name}@{alias}").alias or ""] = version

    def delete_alias(self, name: str, alias: str) -> None:
        self._reach()
        if name not in self._aliases:
            raise ModelNotFoundError(name)
        self._aliases[name].pop(alias, None)

    def set_tag(self, name: str, version: str, key: str, value: str) -> None:
        found = self.find(Reference(name, version=version))
        self._versions[name][version] = dataclasses.replace(found, tags={**found.tags, key: value})

    def add_files(self, version: ModelVersion, folder: Path, place: str) -> None:
        self.find(Reference(version.name, version=version.version))
        if self.read_only or self.folders_taken == 0:
            raise ReadOnlyRegistryError("fake", "it is read-only")
        self.folders_taken -= 1
        shutil.copytree(folder, Path(version.source) / place, dirs_exist_ok=True)

    def run(self, run_id: str) -> TrainingRun | None:
        self._reach()
        return self.runs.get(run_id)

    def download(self, version: ModelVersion, folder: Path) -> None:
        self.find(Reference(version.name, version=version.version))
        self.downloads += 1
        shutil.copytree(version.source, folder, dirs_exist_ok=True)

    def _reach(self) -> None:
        if self.away:
            raise RegistryUnavailableError("fake", "it is away")

    def _with_aliases(self, version: ModelVersion) -> ModelVersion:
        aliases = self._aliases[version.name].items()
        return dataclasses.replace(version, aliases=frozenset(a for a, at in aliases if at == version.version))
