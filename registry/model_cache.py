"""Local copies of model versions: loaded from here, and the last known good when the registry is away."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote
from uuid import uuid4

from registry.digest import digest_folder
from registry.errors import DigestMismatchError, FilesChangedError
from registry.incoming import incoming, place, write_settled
from registry.registry import Registry
from registry.versions import ModelVersion

_SHORT = 12


class ModelCache:
    """Model versions under `root/<name>/<version>-<digest>/`.

    A copy appears under its name only when it is complete; many processes may share one cache. The digest of a
    version that was registered without one is that of its first copy, which is remembered.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def fetch(self, registry: Registry, version: ModelVersion) -> Path:
        """Return the folder of the version's files, downloaded when there is no intact copy.

        Raises:
            DigestMismatchError: What was downloaded is not what was registered; nothing is kept.
            FilesChangedError: The version has no digest of its own, and its files are not those of the first copy.
            RegistryUnavailableError: There is no copy, and the registry cannot be reached.
        """
        home = self._home(version.name)
        first = _First.read(home, version) if version.digest is None else None
        kept = self.find(version.name, version.version, version.digest)
        # A number can be given again after its version was deleted; what lies here is then another version's copy.
        if kept is not None and (version.digest is not None or first is not None):
            return kept
        with incoming(home) as folder:
            registry.download(version, folder)
            digest = digest_folder(folder)
            if version.digest is not None and digest != version.digest:
                raise DigestMismatchError(str(version), expected=version.digest, found=digest)
            if version.digest is None:
                _First.check(home, version, first, digest)
            return _put(folder, home / _folder_name(version.version, digest))

    def find(self, name: str, version: str, digest: str | None) -> Path | None:
        """Return the folder of an intact copy, None when there is none; asks no registry.

        With a digest, a copy that was damaged on disk is as good as none. Without one (a version that is not
        ours) the copy is compared with the digest it was stored under.
        """
        home = self._home(name)
        wanted = digest or _First.digest_of(home, version)
        pattern = f"{version}-*" if wanted is None else _folder_name(version, wanted)
        for folder in sorted(home.glob(pattern)):
            found = digest_folder(folder)
            if found == digest or (digest is None and folder.name == _folder_name(version, found)):
                return folder
        return None

    def copies(self, name: str, version: str) -> dict[str, Path]:
        """Return the intact copies under a version's number, by their digests.

        There are several where the number was given again after its version was deleted.
        """
        found: dict[str, Path] = {}
        for folder in sorted(self._home(name).glob(f"{version}-*")):
            digest = digest_folder(folder)
            if folder.name == _folder_name(version, digest):
                found[digest] = folder
        return found

    def is_damaged(self, name: str, version: str) -> bool:
        """Return whether there is a copy under a version's number whose files are not those it was made of."""
        return len(list(self._home(name).glob(f"{version}-*"))) > len(self.copies(name, version))

    def _home(self, name: str) -> Path:
        # A name is not a path: no separators, and no leading dot (hidden, or the folder above).
        safe = quote(name, safe=" ")
        return self._root / (f"%2E{safe[1:]}" if safe.startswith(".") else safe)


@dataclass(frozen=True, slots=True)
class _First:
    """What a version without a digest was when it was first fetched, in a file beside its copies."""

    digest: str
    created_at: str

    @staticmethod
    def path(home: Path, number: str) -> Path:
        return home / f".first-{number}.json"

    @classmethod
    def load(cls, home: Path, number: str) -> Self | None:
        try:
            found = json.loads(cls.path(home, number).read_text(encoding="utf-8"))
            return cls(str(found["digest"]), str(found["created_at"]))
        except (OSError, ValueError, KeyError, TypeError):  # damaged is as good as none
            return None

    @classmethod
    def read(cls, home: Path, version: ModelVersion) -> Self | None:
        first = cls.load(home, version.version)
        return first if first is not None and first.created_at == version.created_at.isoformat() else None

    @classmethod
    def digest_of(cls, home: Path, number: str) -> str | None:
        first = cls.load(home, number)
        return None if first is None else first.digest

    @classmethod
    def check(cls, home: Path, version: ModelVersion, first: Self | None, digest: str) -> None:
        path = cls.path(home, version.version)
        if first is not None:
            if first.digest != digest:
                raise FilesChangedError(str(version), expected=first.digest, found=digest, record=str(path))
            return
        text = json.dumps({"digest": digest, "created_at": version.created_at.isoformat()})
        write_settled(path, text)


def _folder_name(version: str, digest: str) -> str:
    return f"{version}-{digest.removeprefix('sha256:')[:_SHORT]}"


def _put(arrived: Path, folder: Path) -> Path:
    if folder.exists():  # a damaged copy, or one that another process has just put there
        folder.rename(arrived.with_name(f".replaced-{uuid4().hex}"))
    try:
        place(arrived, folder)
    except OSError:
        if not folder.exists():
            raise
    for stale in folder.parent.glob(".replaced-*"):
        shutil.rmtree(stale, ignore_errors=True)
    return folder
