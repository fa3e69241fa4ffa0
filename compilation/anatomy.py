"""A fitted model taken apart: columns, preprocessing as blocks, estimator, decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn import model_selection
from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline

from compilation.compile_boosters import is_booster
from compilation.encoder_blocks import Reduced
from compilation.native_categories import as_plain_categories
from compilation.pipeline_blocks import Tail, reduce_preprocessing
from compilation.probing import probed_columns
from inference.decision import Decision
from inference.errors import CompileError
from inference.preprocessing import Block, CategoryBlock, NumberBlock
from inference.signature import Column, ColumnType, Signature, Task

# Absent before scikit-learn 1.5, and this runs in strangers' environments too.
_FIXED: Any = getattr(model_selection, "FixedThresholdClassifier", None)
_TUNED: Any = getattr(model_selection, "TunedThresholdClassifierCV", None)
_THRESHOLDS = tuple(kind for kind in (_FIXED, _TUNED) if kind is not None)
_HISTOGRAM = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A fitted model, and what it was reduced to.

    `model` is without its threshold, which is the `decision`. `blocks` make the `features` that `estimator` takes,
    or, where there is a `tail`, that its steps take. Where the preprocessing has no blocks, `refusal` says why.
    Unless blocks are all there is, the signature was found by asking the model.
    """

    model: Any
    decision: Decision
    signature: Signature
    estimator: Any
    blocks: tuple[Block, ...]
    features: int
    tail: Tail | None = None
    refusal: CompileError | None = None


def dissect(model: Any, frame: pd.DataFrame) -> Anatomy:
    """Return the anatomy of a fitted pipeline, or of a fitted estimator on numbers.

    Args:
        model: A Pipeline, or an estimator, fitted on a data frame.
        frame: Rows it was fitted on or could have been; says the columns' types. Other columns are left aside.

    Raises:
        CompileError: The model is no kind that can be served, or does not answer these rows.
    """
    model, decision = _unwrap_threshold(model)
    steps = [step for _, step in model.steps] if isinstance(model, Pipeline) else [model]
    names = _feature_names(model, steps)
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise CompileError(f"column '{absent[0]}'", "it is not in the data frame")
    task, classes, outputs = _answer(steps[-1])
    types = {name: _type_of(name, frame[name]) for name in names}
    try:
        estimator, before = as_plain_categories(steps[-1])
        front = reduce_preprocessing([*steps[:-1], *before], names, types)
        if front.tail is None:
            columns = tuple(_column(name, types[name], front.reduced, steps[-1], frame[name]) for name in names)
        else:
            columns = probed_columns(model, frame, types, _unanswered(steps[-1]))
    except _DataError:
        raise
    except CompileError as refusal:
        columns = probed_columns(model, frame, types, refusal)
        signature = Signature(columns=columns, task=task, classes=classes, outputs=outputs)
        return Anatomy(model, decision, signature, steps[-1], (), 0, refusal=refusal)
    signature = Signature(columns=columns, task=task, classes=classes, outputs=outputs)
    blocks = tuple(part.block for part in front.reduced)
    return Anatomy(model, decision, signature, estimator, blocks, front.features, front.tail)


def final_estimator(model: Any) -> Any:
    """Return the estimator at the end of a pipeline, below a threshold if there is one, as what its blocks feed."""
    model, _ = _unwrap_threshold(model)
    estimator = model.steps[-1][1] if isinstance(model, Pipeline) else model
    return as_plain_categories(estimator)[0]


def _unanswered(estimator: Any) -> CompileError:
    return CompileError(type(estimator).__name__, "the model does not answer the first complete row of the data")


class _DataError(CompileError):
    """The rows do not fit the model: no other form of it would take them."""


def _feature_names(model: Any, steps: list[Any]) -> list[str]:
    # A pipeline asks its first step, which may be the word "passthrough".
    named = (getattr(step, "feature_names_in_", None) for step in [model, *steps])
    names = next((found for found in named if found is not None), None)
    if names is None:
        raise CompileError(type(model).__name__, "it was not fitted on a data frame with named columns")
    return [str(name) for name in names]


def _unwrap_threshold(model: Any) -> tuple[Any, Decision]:
    if not isinstance(model, _THRESHOLDS):
        return model, Decision()
    kind = type(model).__name__
    inner = model.estimator_
    positive = getattr(model, "pos_label", None)
    if positive is not None and positive != inner.classes_[-1]:
        raise CompileError(kind, "the threshold is on the probability of the first class")
    if model.response_method == "decision_function" or not hasattr(inner, "predict_proba"):
        raise CompileError(kind, "the threshold is not on a probability")
    tuned = _TUNED is not None and isinstance(model, _TUNED)
    threshold: Any = model.best_threshold_ if tuned else model.threshold
    value = 0.5 if threshold == "auto" else float(threshold)
    if not 0.0 <= value <= 1.0:
        raise CompileError(kind, "the threshold is outside 0 to 1")
    return inner, Decision(threshold=value)


def _answer(estimator: Any) -> tuple[Task, tuple[int | float | bool | str, ...], tuple[str, ...]]:
    """Return the task, the classes, and the names of the values where there are several."""
    name = type(estimator).__name__
    if is_regressor(estimator):
        outputs = _outputs(estimator)
        return Task.REGRESSION, (), tuple(f"y{place}" for place in range(outputs)) if outputs > 1 else ()
    if not is_classifier(estimator):
        raise CompileError(name, "it is neither a classifier nor a regressor")
    if not hasattr(estimator, "predict_proba"):
        raise CompileError(name, "it has no probabilities to serve; calibrate it with CalibratedClassifierCV")
    classes: Any = estimator.classes_
    if isinstance(classes, list) or getattr(estimator, "multilabel_", False):
        raise CompileError(name, "it has more than one output, of which a classifier may have one only")
    labels = tuple(np.asarray(classes).tolist())
    if len(labels) < 2:
        raise CompileError(name, "it knows one class only")
    return Task.BINARY if len(labels) == 2 else Task.MULTICLASS, labels, ()


def _outputs(estimator: Any) -> int:
    """Return how many values a regressor gives for one row, as it says of itself in one of many ways."""
    for attribute in ("n_outputs_", "_n_targets", "n_targets_"):
        if isinstance(getattr(estimator, attribute, None), int | np.integer):
            return int(getattr(estimator, attribute))
    for attribute in (
        "_y",
        "y_train_",
        "coef_",
    ):  # of neighbours, of Gaussian processes, [N, M]; of linear models [M, F]
        values: Any = getattr(estimator, attribute, None)
        if np.ndim(values) == 2:
            return int(np.shape(values)[0 if attribute == "coef_" else 1])
    return len(estimator.estimators_) if type(estimator).__name__ == "MultiOutputRegressor" else 1


def _type_of(name: str, values: pd.Series[Any]) -> ColumnType:
    kind = values.dtype
    if isinstance(kind, pd.CategoricalDtype):
        kind = kind.categories.dtype
        values = values.cat.categories.to_series()
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


def _column(
    name: str, kind: ColumnType, reduced: Sequence[Reduced], estimator: Any, values: pd.Series[Any]
) -> Column:
    parts = [part for part in reduced if part.block.column == name]
    if kind is ColumnType.LONG and parts and all(part.imputed for part in parts):
        kind = ColumnType.DOUBLE  # an integer column has no missing value, and this pipeline has an answer for one
    passes = takes_missing_values(estimator)
    nullable = kind in {ColumnType.DOUBLE, ColumnType.STRING} and all(_fills(part, passes) for part in parts)
    if not nullable and bool(values.isna().any()):
        raise _DataError(f"column '{name}'", "it has missing values and nothing in the pipeline fills them")
    return Column(name=name, type=kind, nullable=nullable, categories=_categories(name, kind, parts, passes))


def takes_missing_values(estimator: Any) -> bool:
    """Return whether a missing number may reach the estimator itself."""
    return type(estimator).__name__ in _HISTOGRAM or is_booster(estimator)


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
