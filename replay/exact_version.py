"""The exact version that answered: its files, verified by digest, or what is known of it where they are gone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from monitoring.logged_prediction import LoggedPrediction
from registry.digest import digest_folder
from registry.errors import (
    DigestMismatchError,
    FilesChangedError,
    ModelNotFoundError,
    RegistryError,
    RegistryUnavailableError,
)
from registry.model_cache import ModelCache
from registry.reference import Reference
from registry.registry import Registry
from registry.versions import ModelVersion

_CLOCKS: Final = timedelta(minutes=1)
"""How far the registry's clock may go before that of the worker."""


class Registered(StrEnum):
    """What the registry says of the number that answered."""

    HERE = "here"
    DELETED = "deleted"
    GIVEN_AGAIN = "given_again"  # deleted, and another version has its number now
    NOT_KNOWN = "not_known"  # the registry is away


@dataclass(frozen=True, slots=True)
class ExactVersion:
    """What is known of the version that answered a prediction.

    `digest` is None where nobody knows it; `found` is what the registry has, None where it does not have it.
    `folder` holds its files, verified; without one, `problem` says why in one sentence.
    """

    name: str
    number: str
    digest: str | None
    registered: Registered
    found: ModelVersion | None
    folder: Path | None
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.name}/{self.number}"


def find_version(
    logged: LoggedPrediction, cache: ModelCache, registry: Registry, served_digest: str | None
) -> ExactVersion:
    """Return the version that answered, from a copy on this machine, or else from the registry.

    Args:
        logged: The prediction. Its record names the version by number, which a registry may give again.
        cache: Copies on this machine; one that was damaged is not used.
        registry: May be away.
        served_digest: The digest of that number in what serves now, None where another version does.
    """
    name, number = logged.model, logged.model_version
    registered, found = _look_up(logged, registry)
    copies = cache.copies(name, number)
    if registered is Registered.GIVEN_AGAIN:
        copies.pop(found.digest or "" if found is not None else "", None)
        found = served_digest = None
    digest = found.digest if found is not None and found.digest is not None else served_digest
    folder: Path | None
    problem = ""
    if found is not None:
        folder = copies.get(digest or "")
        if folder is None:
            folder, problem = _fetched(cache, registry, found)
        digest = digest or (None if folder is None else digest_folder(folder))  # it was registered without one
    elif len(copies) > 1:  # what serves now need not be what served then
        folder, problem = None, _several(logged, copies)
    elif digest is not None:
        folder = copies.get(digest)
    else:
        digest, folder = next(iter(copies.items()), (None, None))
    if folder is None and not problem:
        problem = _gone(logged, registered, digest, damaged=cache.is_damaged(name, number))
    return ExactVersion(name, number, digest, registered, found, folder, problem)


def _look_up(logged: LoggedPrediction, registry: Registry) -> tuple[Registered, ModelVersion | None]:
    try:
        found = registry.find(Reference(logged.model, version=logged.model_version))
    except ModelNotFoundError:
        return Registered.DELETED, None
    except RegistryError:
        return Registered.NOT_KNOWN, None
    if found.created_at > logged.served_at + _CLOCKS:
        return Registered.GIVEN_AGAIN, found
    return Registered.HERE, found


def _fetched(cache: ModelCache, registry: Registry, found: ModelVersion) -> tuple[Path | None, str]:
    try:
        return cache.fetch(registry, found), ""
    except (DigestMismatchError, FilesChangedError, RegistryUnavailableError) as error:
        return None, str(error)


def _several(logged: LoggedPrediction, copies: Iterable[str]) -> str:
    which = " and ".join(f"{digest[:19]}…" for digest in sorted(copies))
    return (
        f"several versions had the number {logged.model}/{logged.model_version} ({which}), the log names the one "
        "that answered by its number alone, and the registry does not say which it was"
    )


def _gone(logged: LoggedPrediction, registered: Registered, digest: str | None, *, damaged: bool) -> str:
    """Return in one sentence why there are no files to be had, and what is known."""
    which = "of unknown digest" if digest is None else f"{digest[:19]}…"
    told = {
        Registered.DELETED: "was deleted from the registry",
        Registered.GIVEN_AGAIN: "was deleted from the registry, and its number given to another version",
        Registered.NOT_KNOWN: "cannot be fetched: the registry is away",
    }[registered]
    copy = "the copy on this machine was changed and is not used" if damaged else "there is no copy on this machine"
    return (
        f"{logged.model}/{logged.model_version} ({which}), which answered at "
        f"{logged.served_at:%Y-%m-%d %H:%M:%S} UTC, {told} and {copy}: the answer cannot be reproduced"
    )
