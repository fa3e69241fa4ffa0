"""From a fitted scikit-learn pipeline to a compiled model. Used when a model is trained, never in a worker."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier, is_regressor
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline

from inference.compile_estimators import compile_estimator, takes_missing_values
from inference.decision import Decision
from inference.encoder_blocks import Reduced
from inference.errors import CompileError
from inference.linear import LinearRuntime
from inference.loading import DECISION_FILE, SIGNATURE_FILE
from inference.pipeline_blocks import reduce_preprocessing
from inference.preprocessing import CategoryBlock, NumberBlock
from inference.served_model import ServedModel
from inference.signature import Column, ColumnType, Signature, Task
from inference.stored import write_stored
from inference.trees import TreeRuntime


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """A model reduced to what serving needs; `inference.parity.prove` says whether it is the same model."""

    signature: Signature
    decision: Decision
    runtime: LinearRuntime | TreeRuntime

    def served(self) -> ServedModel:
        """Return the model as a worker would have it."""
        return ServedModel(self.signature, self.decision, self.runtime)

    def save(self, folder: Path) -> None:
        """Write the model into `folder`, the version's `fairmind` folder; made when it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / SIGNATURE_FILE).write_text(self.signature.model_dump_json(indent=1), encoding="utf-8")
        (folder / DECISION_FILE).write_text(self.decision.model_dump_json(), encoding="utf-8")
        write_stored(self.runtime.stored(), folder)


def compile_model(model: Any, frame: pd.DataFrame) -> CompiledModel:
    """Return the compiled form of a fitted pipeline, or of a fitted estimator on numbers.

    Args:
        model: A Pipeline of a ColumnTransformer (or plain steps) and an estimator, fitted on a data frame.
        frame: Rows it was fitted on or could have been; says the columns' types. Other columns are left aside.

    Raises:
        CompileError: Some part has no compiled form; names it. Nothing is ever approximated.
    """
    model, decision = _unwrap_threshold(model)
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    columns = _feature_names(model, steps)
    absent = [column for column in columns if column not in frame.columns]
    if absent:
        raise CompileError(f"column '{absent[0]}'", "it is not in the data frame")
    types = {column: _type_of(column, frame[column]) for column in columns}
    reduced, features = reduce_preprocessing(steps[:-1], columns, types)
    signature = Signature(
        columns=tuple(_column(name, types[name], reduced, steps[-1], frame[name]) for name in columns),
        task=_task(steps[-1]),
        classes=_classes(steps[-1]),
    )
    runtime = compile_estimator(steps[-1], [part.block for part in reduced], features)
    return CompiledModel(signature, decision, runtime)


def _feature_names(model: Any, steps: list[Any]) -> list[str]:
    # A pipeline asks its first step, which may be the word "passthrough".
    named = (getattr(step, "feature_names_in_", None) for step in [model, *steps])
    names = next((found for found in named if found is not None), None)
    if names is None:
        raise CompileError(type(model).__name__, "it was not fitted on a data frame with named columns")
    return [str(name) for name in names]


def final_estimator(model: Any) -> Any:
    """Return the estimator at the end of a pipeline, below a threshold if there is one."""
    model, _ = _unwrap_threshold(model)
    return model.steps[-1][1] if isinstance(model, Pipeline) else model


def _unwrap_threshold(model: Any) -> tuple[Any, Decision]:
    if not isinstance(model, FixedThresholdClassifier | TunedThresholdClassifierCV):
        return model, Decision()
    kind = type(model).__name__
    inner = model.estimator_
    positive = getattr(model, "pos_label", None)
    if positive is not None and positive != inner.classes_[-1]:
        raise CompileError(kind, "the threshold is on the probability of the first class")
    if model.response_method == "decision_function" or not hasattr(inner, "predict_proba"):
        raise CompileError(kind, "the threshold is not on a probability")
    tuned = isinstance(model, TunedThresholdClassifierCV)
    threshold: Any = model.best_threshold_ if tuned else model.threshold
    value = 0.5 if threshold == "auto" else float(threshold)
    if not 0.0 <= value <= 1.0:
        raise CompileError(kind, "the threshold is outside 0 to 1")
    return inner, Decision(threshold=value)


def _type_of(name: str, values: pd.Series[Any]) -> ColumnType:
    kind = values.dtype
    if pd.api.types.is_bool_dtype(kind):
        return ColumnType.BOOLEAN
    if pd.api.types.is_integer_dtype(kind):
        return ColumnType.LONG
    if pd.api.types.is_float_dtype(kind):
        return ColumnType.DOUBLE
    present = values.dropna()
    if all(isinstance(value, str) for value in present.unique()):
        return ColumnType.STRING
    raise CompileError(f"column '{name}'", f"dtype {kind} is neither number, boolean nor string")


def _column(name: str, kind: ColumnType, reduced: list[Reduced], estimator: Any, values: pd.Series[Any]) -> Column:
    parts = [part for part in reduced if part.block.column == name]
    if kind is ColumnType.LONG and parts and all(part.imputed for part in parts):
        kind = ColumnType.DOUBLE  # an integer column has no missing value, and this pipeline has an answer for one
    passes = takes_missing_values(estimator)
    nullable = kind in {ColumnType.DOUBLE, ColumnType.STRING} and all(_fills(part, passes) for part in parts)
    if not nullable and bool(values.isna().any()):
        raise CompileError(f"column '{name}'", "it has missing values and nothing in the pipeline fills them")
    return Column(name=name, type=kind, nullable=nullable, categories=_categories(name, kind, parts, passes))


def _fills(part: Reduced, passes: bool) -> bool:
    """Return whether a missing value gets a feature that the estimator takes."""
    if isinstance(part.block, NumberBlock):
        return part.nullable or passes
    return part.nullable and (passes or not bool(np.isnan(part.block.table[-1]).any()))


def _categories(name: str, kind: ColumnType, parts: list[Reduced], passes: bool) -> tuple[str | bool, ...] | None:
    """Return what the column may hold where some part of the pipeline refuses everything else."""
    closed = [part.categories for part in parts if part.categories is not None]
    for part in parts:
        if isinstance(part.block, CategoryBlock) and part.categories is None and kind is not ColumnType.BOOLEAN:
            if passes or not bool(np.isnan(part.block.table[-2]).any()):
                continue
            if kind is not ColumnType.STRING:
                raise CompileError(f"column '{name}'", "unknown categories become NaN, which the model refuses")
            closed.append(part.block.categories)
    if not closed:
        return None
    shared = [value for value in closed[0] if all(value in other for other in closed)]
    return tuple(value for value in shared if isinstance(value, str | bool))


def _task(estimator: Any) -> Task:
    if is_regressor(estimator):
        return Task.REGRESSION
    if not is_classifier(estimator):
        raise CompileError(type(estimator).__name__, "it is neither a classifier nor a regressor")
    return Task.BINARY if len(estimator.classes_) == 2 else Task.MULTICLASS


def _classes(estimator: Any) -> tuple[int | float | bool | str, ...]:
    if is_regressor(estimator):
        return ()
    if isinstance(estimator.classes_, list):
        raise CompileError(type(estimator).__name__, "it has more than one output")
    return tuple(np.asarray(estimator.classes_).tolist())
