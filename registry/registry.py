"""What the platform needs of a model registry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from registry.reference import Reference
from registry.training_run import TrainingRun
from registry.versions import ModelVersion


class Registry(Protocol):
    """Model versions and the aliases that point at them.

    Every method may raise `RegistryUnavailableError`, and `ModelNotFoundError` for a model, version or alias
    that is not there.
    """

    def find(self, reference: Reference) -> ModelVersion:
        """Return the version that `reference` points at now."""
        ...

    def versions(self, name: str) -> list[ModelVersion]:
        """Return all versions of a model, newest first."""
        ...

    def names(self) -> list[str]:
        """Return the names of all registered models, sorted."""
        ...

    def aliased(self) -> list[ModelVersion]:
        """Return every version that an alias points at, over all models, sorted by name and version.

        Meant to be polled: one search call per page of models, plus nothing when no alias moved.
        """
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point `alias` at `version`; it leaves the version it pointed at."""
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Take the alias away; an alias that is not there is no error."""
        ...

    def set_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Set or replace one tag of a version."""
        ...

    def register(self, name: str, folder: Path, tags: Mapping[str, str]) -> ModelVersion:
        """Register the files of `folder` as the newest version of a model, which is made where there is none.

        Raises `ReadOnlyRegistryError` where the registry or the store of its files refuses.
        """
        ...

    def add_files(self, version: ModelVersion, folder: Path, place: str) -> None:
        """Put the files of `folder` beside the version's own, under the relative path `place`.

        Raises `ReadOnlyRegistryError` where the store of its files refuses.
        """
        ...

    def download(self, version: ModelVersion, folder: Path) -> None:
        """Put the version's files into `folder`, which is made when it is missing."""
        ...

    def run(self, run_id: str) -> TrainingRun | None:
        """Return what is known of the run that made a version; None where there is no such run any more."""
        ...
