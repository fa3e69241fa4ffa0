"""The model registry of MLflow: its server, or the embedded database."""

from __future__ import annotations

import dataclasses
import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from registry.errors import (
    InvalidReferenceError,
    ModelNotFoundError,
    ReadOnlyRegistryError,
    RegistryUnavailableError,
)
from registry.reference import Reference
from registry.registration import register_files
from registry.settings import plain_address
from registry.store import bound_requests, quiet_mlflow
from registry.training_run import TrainingRun
from registry.versions import ModelVersion

_PAGE = 100
_STRANGER_SECONDS = 60.0


class MlflowRegistry:
    """Model versions in MLflow; implements `registry.registry.Registry`.

    Args:
        tracking_uri: An MLflow server (`http…`) or a database (`sqlite:///…`).
        registry_uri: The registry, where it is elsewhere.
        timeout_seconds: How long one request to a server may take.
        artifact_root: Where an embedded store keeps files; a server says that itself.
    """

    def __init__(
        self,
        tracking_uri: str,
        registry_uri: str | None = None,
        *,
        timeout_seconds: float = 10.0,
        artifact_root: Path | None = None,
    ) -> None:
        self._tracking_uri, self._registry_uri = tracking_uri, registry_uri or tracking_uri
        self._address = plain_address(self._registry_uri)
        self._timeout_seconds, self._artifact_root = timeout_seconds, artifact_root
        self._known: dict[tuple[str, str, int], tuple[ModelVersion, float]] = {}

    @cached_property
    def _client(self) -> Any:
        """MLflow's client, made on first use: importing it takes seconds, and a database that is away refuses."""
        quiet_mlflow()
        bound_requests(self._timeout_seconds)
        from mlflow import MlflowClient

        quiet_mlflow()  # again: importing MLflow sets its loggers up
        with self._translated(self._address):
            return MlflowClient(self._tracking_uri, self._registry_uri)

    def find(self, reference: Reference) -> ModelVersion:
        """Return the version that `reference` points at now."""
        with self._translated(str(reference)):
            if reference.alias is None:
                found = self._client.get_model_version(reference.name, reference.version)
            else:
                found = self._client.get_model_version_by_alias(reference.name, reference.alias)
        return _version(found, frozenset(found.aliases))

    def versions(self, name: str) -> list[ModelVersion]:
        """Return all versions of a model, newest first."""
        quote = '"' if "'" in name else "'"
        with self._translated(name):
            aliases = _by_version(self._client.get_registered_model(name).aliases)
            found = list(
                _pages(
                    lambda token: self._client.search_model_versions(
                        f"name={quote}{name}{quote}", max_results=_PAGE, page_token=token
                    )
                )
            )
        listed = [_version(item, aliases.get(str(item.version), frozenset())) for item in found]
        return sorted(listed, key=lambda version: int(version.version), reverse=True)

    def names(self) -> list[str]:
        """Return the names of all registered models, sorted."""
        return sorted(model.name for model in self._models())

    def aliased(self) -> list[ModelVersion]:
        """Return every version that an alias points at, over all models, sorted by name and version.

        The search carries only numbers: a version is read once and kept, since what is registered under a digest
        does not change; its aliases are always those of this call. Tags set later show in `find`. One without a
        digest is read again after a minute: somebody may have adopted it.
        """
        pointed: list[ModelVersion] = []
        kept: dict[tuple[str, str, int], tuple[ModelVersion, float]] = {}
        now = time.monotonic()
        for model in self._models():
            for number, aliases in _by_version(model.aliases).items():
                # A number is given again after its version was deleted, and then the model was updated.
                key = (model.name, number, model.last_updated_timestamp)
                known, until = self._known.get(key, (None, 0.0))
                if known is None or now >= until:
                    try:
                        known = self.find(Reference(model.name, version=number))
                    except ModelNotFoundError:  # deleted between the two calls
                        continue
                    until = math.inf if known.digest is not None else now + _STRANGER_SECONDS
                kept[key] = known, until
                pointed.append(_with_aliases(known, aliases))
        self._known = kept
        return sorted(pointed, key=lambda version: (version.name, int(version.version)))

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point `alias` at `version`; it leaves the version it pointed at."""
        reference = Reference.parse(f"{name}@{alias}")
        with self._translated(f"{name}/{version}"):
            self._client.set_registered_model_alias(name, reference.alias, version)

    def delete_alias(self, name: str, alias: str) -> None:
        """Take the alias away; an alias that is not there is no error."""
        with self._translated(name):
            self._client.delete_registered_model_alias(name, alias)

    def set_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Set or replace one tag of a version."""
        with self._translated(f"{name}/{version}"):
            self._client.set_model_version_tag(name, version, key, value)
        self._known = {key: kept for key, kept in self._known.items() if key[:2] != (name, version)}

    def download(self, version: ModelVersion, folder: Path) -> None:
        """Put the version's files into `folder`, which is made when it is missing."""
        from mlflow.artifacts import download_artifacts

        with self._translated(str(version)):
            location = self._location(version)
        folder.mkdir(parents=True, exist_ok=True)
        # MLflow puts the files into a folder of its own naming; a neighbour of ours, so that moving them is cheap.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as scratch:
            try:
                made = download_artifacts(
                    artifact_uri=location,
                    dst_path=scratch,
                    tracking_uri=self._tracking_uri,
                    registry_uri=self._registry_uri,
                )
            except Exception as error:  # MLflow lets errors of every storage client through
                raise RegistryUnavailableError(self._address, f"the files of {version} did not arrive") from error
            for path in Path(made).iterdir():
                shutil.move(path, folder / path.name)

    def run(self, run_id: str) -> TrainingRun | None:
        """Return what is known of the run that made a version; None where there is no such run any more."""
        try:
            with self._translated(run_id):
                found = self._client.get_run(run_id)
        except ModelNotFoundError:
            return None
        data = {one.dataset.name: one.dataset.digest for one in found.inputs.dataset_inputs}
        return TrainingRun(run_id, dict(found.data.params), dict(found.data.tags), data)

    def register(self, name: str, folder: Path, tags: Mapping[str, str]) -> ModelVersion:
        """Register the files of `folder` as the newest version of a model, which is made where there is none.

        Raises:
            ReadOnlyRegistryError: The registry, or the store of its files, refuses.
        """
        with self._translated(name):
            try:
                number = register_files(self._client, name, folder, tags, artifact_root=self._artifact_root)
            except OSError as error:
                reason = f"its artifact store refused ({type(error).__name__})"
                raise ReadOnlyRegistryError(self._address, reason) from error
        return self.find(Reference(name, version=number))

    def add_files(self, version: ModelVersion, folder: Path, place: str) -> None:
        """Put the files of `folder` beside the version's own, under the relative path `place`.

        Raises:
            ReadOnlyRegistryError: The store of its files refuses.
        """
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        with self._translated(str(version)):
            location = self._location(version)
        try:
            get_artifact_repository(location, tracking_uri=self._tracking_uri).log_artifacts(str(folder), place)
        except Exception as error:  # MLflow lets errors of every storage client through
            raise ReadOnlyRegistryError(
                self._address, f"its artifact store refused ({type(error).__name__})"
            ) from error

    def _location(self, version: ModelVersion) -> str:
        """Return where the files are: MLflow's own `models:/` download asks the process's global registry."""
        uri: str = self._client.get_model_version_download_uri(version.name, version.version)
        if not uri.startswith("models:/"):
            return uri
        location: str = self._client.get_logged_model(uri.removeprefix("models:/")).artifact_location
        return location

    def _models(self) -> list[Any]:
        with self._translated(self._address):
            return list(
                _pages(
                    lambda token: self._client.search_registered_models(max_results=_PAGE, page_token=token),
                )
            )

    @contextmanager
    def _translated(self, wanted: str) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except MlflowException as error:
            code = error.error_code
            absent_alias = code == "INVALID_PARAMETER_VALUE" and "not found" in str(error)
            if code in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"} or absent_alias:
                raise ModelNotFoundError(wanted) from error
            if code == "INVALID_PARAMETER_VALUE":
                raise InvalidReferenceError(wanted) from error
            raise RegistryUnavailableError(self._address, code.lower().replace("_", " ")) from error
        except (SQLAlchemyError, OSError) as error:
            raise RegistryUnavailableError(self._address, type(error).__name__) from error


def _pages(search: Any) -> Iterator[Any]:
    token: str | None = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


def _by_version(aliases: dict[str, Any]) -> dict[str, frozenset[str]]:
    """Return the aliases of each version that has one, from the version of each alias."""
    numbers = {str(number) for number in aliases.values()}
    return {number: frozenset(a for a, at in aliases.items() if str(at) == number) for number in numbers}


def _version(found: Any, aliases: frozenset[str]) -> ModelVersion:
    return ModelVersion(
        name=found.name,
        version=str(found.version),
        run_id=found.run_id or None,
        source=found.source,
        aliases=aliases,
        tags=dict(found.tags),
        created_at=datetime.fromtimestamp(found.creation_timestamp / 1000, tz=UTC),
    )


def _with_aliases(version: ModelVersion, aliases: frozenset[str]) -> ModelVersion:
    return dataclasses.replace(version, aliases=aliases)
