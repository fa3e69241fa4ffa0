"""The digest that binds a version's record, cache and proof to its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

# MLflow writes registered_model_meta into a version's folder on download: it names the version, so it can only
# exist after the digest was taken. The gate record holds the digest, so it cannot be part of what it is the digest
# of. Hidden files are left by file systems and editors, not by training.
_NOT_PART = frozenset({"registered_model_meta", "fairmind/gates.json"})
_CHUNK = 1 << 20


def digest_folder(folder: Path) -> str:
    """Return `sha256:<hex>` over the relative paths and contents of all files in `folder`, in sorted order.

    The same files give the same digest on every machine, whatever their times, owners and order on disk. Each path
    and each content goes in with its length, so that no two different folders can spell the same stream.
    """
    total = hashlib.sha256()
    for relative, path in _files(folder):
        name = relative.encode()
        total.update(len(name).to_bytes(8, "big") + name)
        total.update(path.stat().st_size.to_bytes(8, "big"))
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                total.update(chunk)
    return f"sha256:{total.hexdigest()}"


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for relative in sorted(found):
        hidden = any(part.startswith(".") for part in relative.split("/"))
        if not hidden and relative not in _NOT_PART:
            yield relative, found[relative]
