"""The form of a compiled runtime on disk: JSON, plain arrays and one blob; nothing in it can run code."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.errors import RuntimeLoadError

FORMAT = 2
RUNTIME_FILE, ARRAYS_FILE, BLOB_FILE = "runtime.json", "arrays.npz", "model.bin"
LIST_FILE = "runtimes.json"


@dataclass(frozen=True, slots=True)
class Stored:
    """A runtime taken apart: its kind, what JSON can hold, its arrays, and its model in its library's own format.

    `blob` is an ONNX graph or treelite's serialized trees; None for what numpy computes.
    """

    kind: str
    parameters: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    blob: bytes | None = None


def write_runtimes(runtimes: Sequence[tuple[Stored, int]], folder: Path) -> None:
    """Write runtimes into folders of their own below `folder`, each with the number of rows from which it is used.

    The first is used from one row on.
    """
    entries = []
    for index, (stored, from_rows) in enumerate(runtimes):
        name = f"runtime-{index}"
        (folder / name).mkdir()
        write_stored(stored, folder / name)
        entries.append({"folder": name, "from_rows": from_rows})
    text = json.dumps({"format": FORMAT, "runtimes": entries}, indent=1)
    (folder / LIST_FILE).write_text(text, encoding="utf-8")


def read_runtimes(folder: Path) -> list[tuple[Stored, int]]:
    """Return the runtimes that `write_runtimes` wrote, with the numbers of rows from which they are used.

    Raises:
        RuntimeLoadError: A file is missing, damaged, or written by another format.
    """
    if not (folder / LIST_FILE).exists() and (folder / RUNTIME_FILE).exists():
        _check_format(1, folder)  # the form before there could be two runtimes
    try:
        head = json.loads((folder / LIST_FILE).read_text(encoding="utf-8"))
        _check_format(head.get("format"), folder)
        entries = [(str(entry["folder"]), int(entry["from_rows"])) for entry in head["runtimes"]]
    except OSError as error:
        raise RuntimeLoadError(str(folder), f"{LIST_FILE} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RuntimeLoadError(str(folder), f"{LIST_FILE} is damaged") from error
    starts = [from_rows for _, from_rows in entries]
    if starts[:1] != [1] or starts != sorted(set(starts)):
        raise RuntimeLoadError(
            str(folder), f"{LIST_FILE} is damaged: its runtimes do not follow each other from one row"
        )
    return [(read_stored(folder / Path(name).name), from_rows) for name, from_rows in entries]


def _check_format(found: object, folder: Path) -> None:
    if found != FORMAT:
        reason = f"its format is {found!r}, this version reads {FORMAT}; train it again or upgrade"
        raise RuntimeLoadError(str(folder), reason)


def write_stored(stored: Stored, folder: Path) -> None:
    """Write the runtime into `folder`, which exists."""
    buffer = io.BytesIO()
    np.savez(buffer, **stored.arrays)  # type: ignore[arg-type]  # numpy's stub takes every key for allow_pickle
    files = {ARRAYS_FILE: buffer.getvalue()}
    if stored.blob is not None:
        files[BLOB_FILE] = stored.blob
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

    Every file is compared with the digest that runtime.json holds before it is read: the libraries that take the
    blob are native code, and not all survive a damaged file.

    Raises:
        RuntimeLoadError: A file is missing, damaged, or written by a newer format.
    """
    try:
        head = json.loads((folder / RUNTIME_FILE).read_text(encoding="utf-8"))
        if not isinstance(head, dict):
            raise RuntimeLoadError(str(folder), f"{RUNTIME_FILE} is not an object")
        _check_format(head.get("format"), folder)
        files = {str(name): (folder / Path(name).name).read_bytes() for name in head["files"]}
        for name, content in files.items():
            if _sha256(content) != head["files"][name]:
                raise RuntimeLoadError(str(folder), f"{name} is damaged")
        with np.load(io.BytesIO(files[ARRAYS_FILE]), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return Stored(str(head["kind"]), dict(head["parameters"]), arrays, files.get(BLOB_FILE))
    except OSError as error:
        name = Path(str(error.filename or folder)).name
        raise RuntimeLoadError(str(folder), f"{name} cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RuntimeLoadError(str(folder), f"{RUNTIME_FILE} or {ARRAYS_FILE} is damaged") from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
