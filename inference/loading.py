"""From a model version's `fairmind` folder to a model that answers; what a serving worker calls."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from inference import linear, trees
from inference.decision import Decision
from inference.errors import RuntimeLoadError
from inference.linear import LinearRuntime
from inference.runtime import Runtime
from inference.served_model import ServedModel
from inference.signature import Signature
from inference.stored import Stored, read_stored
from inference.trees import TreeRuntime

_Model = TypeVar("_Model", bound=BaseModel)

SIGNATURE_FILE, DECISION_FILE = "signature.json", "decision.json"


def load_model(folder: Path) -> ServedModel:
    """Return the model stored in `folder`, the version's `fairmind` folder.

    Imports numpy, pydantic and, for tree ensembles, treelite's native library; runs no code from the folder.

    Raises:
        RuntimeLoadError: A file is missing, damaged, written by a newer format, or does not fit the others.
    """
    signature = _read(folder / SIGNATURE_FILE, Signature)
    decision = _read(folder / DECISION_FILE, Decision)
    stored = read_stored(folder)
    try:
        decision.check(signature)
        runtime, outputs, columns = _restore(stored)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RuntimeLoadError(str(folder), f"its parts do not fit together ({error})") from error
    expected = len(signature.classes)
    if outputs != expected:
        raise RuntimeLoadError(str(folder), f"the signature has {expected} classes, the runtime {outputs}")
    unknown = columns - signature.names
    if unknown:
        raise RuntimeLoadError(str(folder), f"column '{min(unknown)}' is not in its signature")
    return ServedModel(signature, decision, runtime)


def _restore(stored: Stored) -> tuple[Runtime, int, frozenset[str]]:
    """Return the runtime, its number of classes (0 for a regressor), and the columns it reads."""
    columns = frozenset(str(block["column"]) for block in stored.parameters["blocks"])
    if stored.kind == linear.KIND:
        runtime = LinearRuntime.from_stored(stored)
        return runtime, runtime.classes, columns
    if stored.kind == trees.KIND:
        ensemble = TreeRuntime.from_stored(stored)
        return ensemble, ensemble.classes, columns
    raise ValueError(f"unknown kind of runtime {stored.kind!r}; train it again or upgrade")


def _read(path: Path, kind: type[_Model]) -> _Model:
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RuntimeLoadError(str(path.parent), f"{path.name} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise RuntimeLoadError(str(path.parent), f"{path.name} is damaged") from error
