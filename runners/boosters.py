"""XGBoost's and LightGBM's models compiled from their own files, and proven against the runner's answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from compilation.booster_trees import lightgbm_graph, xgboost_graph
from compilation.candidates import Candidate
from compilation.compile import CompiledModel
from compilation.parity import Proof
from compilation.selection import select_runtimes
from compilation.tree_graph import TreeGraph
from compilation.ubjson import read_ubjson
from compilation.verify import verify
from inference.errors import CompileError
from inference.frames import columns_from_frame
from inference.onnx_output import OnnxOutput
from inference.onnx_runtime import OnnxRuntime
from inference.preprocessing import NumberBlock
from inference.runtime import RemoteRuntime
from inference.served_model import ServedModel
from inference.signature import Column, ColumnType, Signature
from runners.loading import load_runner
from runners.mlmodel import MlModel
from runners.policy import RunnerPolicy
from runners.preparation import FAIRMIND_FOLDER
from runners.rows import Rows, write_profile
from runners.runtime import RunnerRuntime

BOOSTERS: Final = frozenset({"xgboost", "lightgbm"})

_NUMBERS: Final = frozenset({ColumnType.DOUBLE, ColumnType.LONG, ColumnType.BOOLEAN})


def compile_booster(
    model: MlModel, prepared: Path, rows: Rows, into: Path, policy: RunnerPolicy | None = None
) -> Proof:
    """Write the compiled form of a booster, with its proof and its profile, into the folder `into/fairmind`.

    Args:
        model: The version's files, of the flavour xgboost or lightgbm.
        prepared: The version in its runner.
        rows: To prove it on.
        into: An empty folder.
        policy: Bounds of its runner.

    Raises:
        CompileError: The model has no graph, or takes something else than numbers.
        ParityError: The graph does not answer as the runner does.
    """
    served = load_runner(prepared, policy)
    try:
        signature = _typed(served.signature)
        graph = _graph(model, served, signature)
        if graph.features != len(signature.columns):
            raise CompileError(model.flavour, f"it has {graph.features} features, {len(signature.columns)} columns")
        runtime = OnnxRuntime(
            blocks=tuple(NumberBlock(column.name, place) for place, column in enumerate(signature.columns)),
            graph=graph.content,
            output=graph.output,
            single=graph.single,
            classes=graph.classes,
        )
        candidate = Candidate("onnx-trees", CompiledModel(signature, served.decision, runtime))
        selected = select_runtimes([candidate], _Answers(served, signature), rows.frame(signature))
    finally:
        _close(served)
    selected.compiled.save(into / FAIRMIND_FOLDER)
    selected.proof.save(into / FAIRMIND_FOLDER)
    write_profile(rows, into / FAIRMIND_FOLDER)
    return selected.proof


def verify_booster(folder: Path, prepared: Path, rows: Rows, policy: RunnerPolicy | None = None) -> Proof:
    """Return a new proof of the compiled form in `folder/fairmind` against the answers of the runner."""
    served = load_runner(prepared, policy)
    try:
        signature = _typed(served.signature)
        return verify(folder, _Answers(served, signature), rows.frame(signature))
    finally:
        _close(served)


@dataclass(frozen=True, slots=True)
class _Answers:
    """The model in its runner, asked as a scikit-learn model is."""

    served: ServedModel
    signature: Signature

    def predict(self, frame: pd.DataFrame) -> NDArray[Any]:
        return self.served.predict(*columns_from_frame(frame, self.signature)).prediction

    def predict_proba(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        probabilities = self.served.predict(*columns_from_frame(frame, self.signature)).probabilities
        if probabilities is None:
            raise CompileError("the model", "it gives no probabilities")
        return probabilities


def _typed(signature: Signature) -> Signature:
    """Return the signature with columns of numbers where nobody said what they are: boosters take nothing else."""

    def typed(column: Column) -> Column:
        if column.type is ColumnType.ANY:
            return column.model_copy(update={"type": ColumnType.DOUBLE})
        if column.type not in _NUMBERS:
            raise CompileError(f"column '{column.name}'", "it is no number")
        return column

    return signature.model_copy(update={"columns": tuple(map(typed, signature.columns))})


def _graph(model: MlModel, served: ServedModel, signature: Signature) -> TreeGraph:
    if model.data is None:
        raise CompileError(model.flavour, "its model file is not named")
    path = model.folder / model.data
    if model.flavour == "lightgbm":
        graph = lightgbm_graph(_lightgbm_text(path, served))
    else:
        content = path.read_bytes()
        graph = xgboost_graph(content, iterations=_iterations(content) if signature.classes else None)
    if graph.output is OnnxOutput.LOGIT and not signature.classes:
        return replace(graph, output=OnnxOutput.SIGMOID, classes=0)  # the plain booster gives a number
    if graph.classes != len(signature.classes):
        raise CompileError(model.flavour, "its answer is a probability for each class, without their labels")
    return graph


def _lightgbm_text(path: Path, served: ServedModel) -> str:
    """Return LightGBM's text: the file, or, where that is a Python object, what the runner that opens it says."""
    if path.suffix != ".lgb" and isinstance(served.runtime, RunnerRuntime):
        return served.runtime.export()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise CompileError("LightGBM", f"its {path.name} cannot be read") from error


def _iterations(content: bytes) -> int | None:
    """Return how many rounds scikit-learn's interface of XGBoost uses, where training stopped early."""
    try:
        text = content.lstrip()[1:].lstrip().startswith(b'"')
        best = (json.loads(content) if text else read_ubjson(content))["learner"]["attributes"].get(
            "best_iteration"
        )
        return None if best is None else int(best) + 1
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _close(served: ServedModel) -> None:
    if isinstance(served.runtime, RemoteRuntime):
        served.runtime.close()
