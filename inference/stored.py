"""The form of a compiled model on disk: JSON, plain arrays and a tree blob; nothing in it can run code."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import RuntimeLoadError

FORMAT = 1
RUNTIME_FILE, ARRAYS_FILE, TREES_FILE = "runtime.json", "arrays.npz", "trees.bin"


@dataclass(frozen=True, slots=True)
class Stored:
    """A runtime taken apart: its kind, what JSON can hold, its arrays, and its trees in treelite's own format."""

    kind: str
    parameters: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    trees: bytes | None = None


def write_stored(stored: Stored, folder: Path) -> None:
    """Write the runtime into `folder`, which exists."""
    buffer = io.BytesIO()
    np.savez(buffer, **stored.arrays)  # type: ignore[arg-type]  # numpy's stub takes every key for allow_pickle
    files = {ARRAYS_FILE: buffer.getvalue()}
    if stored.trees is not None:
        files[TREES_FILE] = stored.trees
    for name, content in files.items():
        (folder / name).write_bytes(content)
    head = {
        "format": FORMAT,
        "kind": stored.kind,
        "files": {name: _sha256(content) for name, content in files.items()},
        "parameters": stored.parameters,
    }
    text = json.dumps(head, allow_nan=False, ensure_ascii=True, indent=1)
    (folder / RUNTIME_FILE).write_text(text, encoding="utf-8")


def read_stored(folder: Path) -> Stored:
    """Return the runtime stored in `folder`.

    Every file is compared with the digest that runtime.json holds before it is read: the tree library is native
    code and does not survive a damaged file.

    Raises:
        RuntimeLoadError: A file is missing, damaged, or written by a newer format.
    """
    try:
        head = json.loads((folder / RUNTIME_FILE).read_text(encoding="utf-8"))
        if not isinstance(head, dict):
            raise RuntimeLoadError(str(folder), f"{RUNTIME_FILE} is not an object")
        if head.get("format") != FORMAT:
            reason = f"its format is {head.get('format')!r}, this version reads {FORMAT}; train it again or upgrade"
            raise RuntimeLoadError(str(folder), reason)
        files = {str(name): (folder / Path(name).name).read_bytes() for name in head["files"]}
        for name, content in files.items():
            if _sha256(content) != head["files"][name]:
                raise RuntimeLoadError(str(folder), f"{name} is damaged")
        with np.load(io.BytesIO(files[ARRAYS_FILE]), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return Stored(str(head["kind"]), dict(head["parameters"]), arrays, files.get(TREES_FILE))
    except OSError as error:
        name = Path(str(error.filename or folder)).name
        raise RuntimeLoadError(str(folder), f"{name} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RuntimeLoadError(str(folder), f"{RUNTIME_FILE} or {ARRAYS_FILE} is damaged") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
