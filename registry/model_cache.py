"""Local copies of model versions: loaded from here, and the last known good when the registry is away."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from registry.digest import digest_folder
from registry.errors import DigestMismatchError
from registry.registry import Registry
from registry.versions import ModelVersion

_SHORT = 12


class ModelCache:
    """Model versions under `root/<name>/<version>-<digest>/`.

    A copy appears under its name only when it is complete; many processes may share one cache.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def fetch(self, registry: Registry, version: ModelVersion) -> Path:
        """Return the folder of the version's files, downloaded when there is no intact copy.

        Raises:
            DigestMismatchError: What was downloaded is not what was registered; nothing is kept.
            RegistryUnavailableError: There is no copy, and the registry cannot be reached.
        """
        kept = self.find(version.name, version.version, version.digest)
        if kept is not None:
            return kept
        home = self._home(version.name)
        incoming = home / f".incoming-{uuid4().hex}"
        try:
            registry.download(version, incoming)
            digest = digest_folder(incoming)
            if version.digest is not None and digest != version.digest:
                raise DigestMismatchError(str(version), expected=version.digest, found=digest)
            return _put(incoming, home / _folder_name(version.version, digest))
        finally:
            shutil.rmtree(incoming, ignore_errors=True)

    def find(self, name: str, version: str, digest: str | None) -> Path | None:
        """Return the folder of an intact copy, None when there is none; asks no registry.

        With a digest, a copy that was damaged on disk is as good as none. Without one (a version that is not
        ours) the copy is compared with the digest it was stored under.
        """
        home = self._home(name)
        pattern = f"{version}-*" if digest is None else _folder_name(version, digest)
        for folder in sorted(home.glob(pattern)):
            found = digest_folder(folder)
            if found == digest or (digest is None and folder.name == _folder_name(version, found)):
                return folder
        return None

    def _home(self, name: str) -> Path:
        # A name is not a path: no separators, and no leading dot (hidden, or the folder above).
        safe = quote(name, safe=" ")
        return self._root / (f"%2E{safe[1:]}" if safe.startswith(".") else safe)


def _folder_name(version: str, digest: str) -> str:
    return f"{version}-{digest.removeprefix('sha256:')[:_SHORT]}"


def _put(incoming: Path, folder: Path) -> Path:
    if folder.exists():  # a damaged copy, or one that another process has just put there
        folder.rename(incoming.with_name(f".replaced-{uuid4().hex}"))
    try:
        incoming.rename(folder)
    except OSError:
        if not folder.exists():
            raise
    for stale in folder.parent.glob(".replaced-*"):
        shutil.rmtree(stale, ignore_errors=True)
    return folder
