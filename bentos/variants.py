"""Remote variants: servers of somebody's, registered as model versions, listed and checked."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError
from sqlalchemy import Engine

from bentos.promotions import promote_version
from bentos.version_folders import is_ours
from inference.loading import SIGNATURE_FILE, read_part
from inference.signature import Signature, Task
from registry.digest import digest_folder
from registry.model_cache import ModelCache
from registry.reference import Reference
from registry.registry import Registry
from registry.versions import DIGEST_TAG, ModelVersion
from registry.wanted import WantedModels
from remotes.checking import check_remote
from remotes.definition import FAIRMIND_FOLDER, is_remote, read_remote
from remotes.errors import InvalidRemoteError
from remotes.files import write_remote
from remotes.making import RemoteWish, make_remote
from runners.mlmodel import read_mlmodel
from runners.schema import Description, foreign_signature

REMOTE_TAG: Final = "fairmind.remote"
"""The tag of a remote variant's version: the address of its server."""

UNGATED: Final = (
    "no gate was measured on it: it is answered by a server of its own. Measure it with `fairmind bias-test`, "
    "promote it with --override, or give it an alias as it is added"
)
_ADDED_WITH_ALIAS: Final = "added as a remote variant with this alias: no gate was measured on it"


@dataclass(frozen=True, slots=True)
class AddedVariant:
    """A remote variant that was registered; `alias` is None where it was given none."""

    version: ModelVersion
    protocol: str
    remote_version: str | None
    alias: str | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as the API and scripts have it."""
        return {
            "name": self.version.name,
            "version": self.version.version,
            "reference": str(self.version),
            "url": self.version.tags.get(REMOTE_TAG),
            "protocol": self.protocol,
            "remote_version": self.remote_version,
            "alias": self.alias,
            "gates": UNGATED,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Variants:
    """The remote variants of a deployment's registry."""

    registry: Registry
    cache: ModelCache
    control: Engine
    wanted: WantedModels
    is_trusted: bool

    def add(
        self,
        name: str,
        wish: RemoteWish,
        signature: Signature | None,
        *,
        alias: str | None,
        actor: str,
        now: datetime,
    ) -> AddedVariant:
        """Ask a server what it is and register it as the newest version of model `name`.

        It has no gate record: an alias given here overrides that, on record; later, a promotion has to.

        Raises:
            RemoteError: The server does not answer as it has to, or what is known of it is not enough.
            InvalidReferenceError: The name is none that a model can have.
            ReadOnlyRegistryError: The registry takes no versions from here.
            RolloutConflictError: An alias was asked for, and a rollout decides what the model serves.
        """
        Reference.parse(f"{name}/1")  # before anybody is asked: the registry takes no other names
        made = asyncio.run(make_remote(wish, signature))
        definition = made.model.definition
        with tempfile.TemporaryDirectory(prefix="fairmind-remote-") as temporary:
            folder = Path(temporary) / "model"
            write_remote(folder, made.model)
            tags = {
                DIGEST_TAG: digest_folder(folder),
                REMOTE_TAG: definition.address,
                f"{REMOTE_TAG}.protocol": str(definition.protocol),
                f"{REMOTE_TAG}.version": definition.version or "",
                f"{REMOTE_TAG}.by": actor,
            }
            version = self.registry.register(name, folder, tags)
        if alias is not None:
            promote_version(
                self.control,
                self.registry,
                Reference(name, version=version.version),
                alias=alias,
                override=_ADDED_WITH_ALIAS,
                actor=actor,
                now=now,
                wanted=self.wanted,
            )
        return AddedVariant(version, str(definition.protocol), definition.version, alias, made.notes)

    def listed(self) -> list[dict[str, Any]]:
        """Return all remote variants with what is registered of them; asks no server."""
        versions = [version for name in self.registry.names() for version in self.registry.versions(name)]
        return [_view(version) for version in versions if REMOTE_TAG in version.tags]

    def check(self, reference: Reference) -> dict[str, Any]:
        """Return whether a remote variant's server is ready, and with which version.

        Raises:
            InvalidRemoteError: The version is no remote variant, or its registry is not trusted.
            ModelNotFoundError: There is no such version.
        """
        version = self.registry.find(reference)
        folder = self.cache.fetch(self.registry, version)
        if not is_remote(folder):
            raise InvalidRemoteError(f"{version} is no remote variant; `fairmind variants list` shows those")
        if not self.is_trusted:  # whoever may write there chooses the URL, and which token is sent to it
            raise InvalidRemoteError(
                f"{version} comes from a registry that is not trusted: set FAIRMIND_REGISTRY_TRUSTED to its address"
            )
        found = check_remote(read_remote(folder).definition)
        return _view(version) | {"problem": found.problem, "reported": list(found.versions)}

    def signature_of(self, reference: Reference) -> Signature:
        """Return what a registered version takes, whoever made it.

        Raises:
            ModelNotFoundError: There is no such version.
            MlModelError: It does not say what it takes.
        """
        folder = self.cache.fetch(self.registry, self.registry.find(reference))
        if is_ours(folder):
            return read_part(folder / FAIRMIND_FOLDER / SIGNATURE_FILE, Signature)
        return mlflow_signature(folder)


def mlflow_signature(folder: Path) -> Signature:
    """Return what the MLflow model in `folder` says that it takes; its answers are of any kind.

    Raises:
        MlModelError: It does not say.
    """
    return foreign_signature(read_mlmodel(folder), Description(task=Task.OPAQUE))


def parse_signature(document: Mapping[str, Any]) -> Signature:
    """Return the signature that a document describes: `columns` with `name` and `type`, and perhaps `classes`.

    Raises:
        InvalidRemoteError: It does not; the message names the part.
    """
    classes = document.get("classes") or ()
    task = Task.OPAQUE if not classes else Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    try:
        return Signature.model_validate({"task": task, **document})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidRemoteError(f"the signature's {where or 'parts'}: {first['msg']}") from error


def read_signature(path: Path) -> Signature:
    """Return the signature in a file: YAML or JSON of ours, or the `MLmodel` of an MLflow model.

    Raises:
        InvalidRemoteError: It cannot be read, or describes none.
    """
    if path.name == "MLmodel":
        return mlflow_signature(path.parent)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidRemoteError(f"the signature in {path.name} cannot be read") from error
    if not isinstance(document, dict):
        raise InvalidRemoteError(f"the signature in {path.name} is no object with 'columns'")
    return parse_signature(document)


def _view(version: ModelVersion) -> dict[str, Any]:
    tags = version.tags
    return {
        "name": version.name,
        "version": version.version,
        "aliases": sorted(version.aliases),
        "url": tags.get(REMOTE_TAG),
        "protocol": tags.get(f"{REMOTE_TAG}.protocol"),
        "remote_version": tags.get(f"{REMOTE_TAG}.version") or None,
        "created_at": version.created_at.isoformat(),
    }
