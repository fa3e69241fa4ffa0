"""From a model version's `fairmind` folder to a model that answers; what a serving worker calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from inference import linear, onnx_pipeline_runtime, onnx_runtime, trees
from inference.crossover import CrossoverRuntime
from inference.decision import Decision
from inference.errors import RuntimeLoadError
from inference.linear import LinearRuntime
from inference.onnx_pipeline_runtime import OnnxPipelineRuntime
from inference.onnx_runtime import OnnxRuntime
from inference.runtime import Runtime
from inference.served_model import ServedModel
from inference.signature import Signature
from inference.stored import Stored, read_runtimes
from inference.trees import TreeRuntime

_Model = TypeVar("_Model", bound=BaseModel)

SIGNATURE_FILE, DECISION_FILE = "signature.json", "decision.json"
REMOTE_FILE: Final = "remote.json"
"""Says, in a version's `fairmind` folder, that a server of somebody's answers for it (`remotes`)."""

_Kind = type[LinearRuntime] | type[TreeRuntime] | type[OnnxRuntime] | type[OnnxPipelineRuntime]
_KINDS: Final[Mapping[str, _Kind]] = {
    linear.KIND: LinearRuntime,
    trees.KIND: TreeRuntime,
    onnx_runtime.KIND: OnnxRuntime,
    onnx_pipeline_runtime.KIND: OnnxPipelineRuntime,
}


def load_model(folder: Path) -> ServedModel:
    """Return the model stored in `folder`, the version's `fairmind` folder.

    Imports numpy, pydantic and, for what is not linear, ONNX Runtime or treelite's native library; runs no code
    from the folder.

    Raises:
        RuntimeLoadError: A file is missing, damaged, written by another format, or does not fit the others; or it
            is a remote variant.
    """
    if (folder / REMOTE_FILE).exists():
        reason = "it is a remote variant: only its server has the model, and its answers cannot be reproduced"
        raise RuntimeLoadError(str(folder), reason)
    signature = read_part(folder / SIGNATURE_FILE, Signature)
    decision = read_part(folder / DECISION_FILE, Decision)
    stored = read_runtimes(folder)
    try:
        decision.check(signature)
        runtimes = [_restore(part, signature) for part, _ in stored]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RuntimeLoadError(str(folder), f"its parts do not fit together ({error})") from error
    if len(runtimes) == 1:
        return ServedModel(signature, decision, runtimes[0])
    crossing = CrossoverRuntime(runtimes, [from_rows for _, from_rows in stored])
    return ServedModel(signature, decision, crossing)


def _restore(stored: Stored, signature: Signature) -> Runtime:
    """Return the runtime; ValueError unless it reads the signature's columns and answers its classes."""
    restored = _KINDS.get(stored.kind)
    if restored is None:
        raise ValueError(f"unknown kind of runtime {stored.kind!r}; train it again or upgrade")
    runtime = restored.from_stored(stored)
    expected = len(signature.classes)
    if runtime.classes != expected:
        raise ValueError(f"the signature has {expected} classes, the runtime {runtime.classes}")
    columns = runtime.columns if isinstance(runtime, OnnxPipelineRuntime) else {b.column for b in runtime.blocks}
    unknown = columns - signature.names
    if unknown:
        raise ValueError(f"column '{min(unknown)}' is not in its signature")
    return runtime


def read_part(path: Path, kind: type[_Model]) -> _Model:
    """Return one of the JSON files of a version's `fairmind` folder.

    Raises:
        RuntimeLoadError: It is missing or damaged.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RuntimeLoadError(str(path.parent), f"{path.name} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        raise RuntimeLoadError(str(path.parent), f"{path.name} is damaged") from error
