"""Histogram gradient boosting with categories of its own: its encoder becomes a step before it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import OrdinalEncoder

from inference.errors import CompileError


def as_plain_categories(estimator: Any) -> tuple[Any, list[Any]]:
    """Return an equal estimator that takes numbers only, and the steps that make those numbers.

    From 1.4 on, scikit-learn's histogram gradient boosting encodes columns of text inside the estimator. Everything
    else is returned as it is; numbers that stand for categories are the business of what compiles the trees.

    Raises:
        CompileError: The encoder inside is not the one that scikit-learn makes.
    """
    inner = getattr(estimator, "_preprocessor", None)
    if inner is None or not _of_text(inner):
        return estimator, []
    plain = copy.copy(estimator)
    plain._preprocessor = None
    # What the trees are fitted on: the codes of the categories first, then the numbers as they are.
    plain.is_categorical_ = estimator._is_categorical_remapped
    encoder, chosen = _entry(inner, "encoder")
    _, numbers = _entry(inner, "numerical")
    steps = ColumnTransformer([("encoder", encoder, chosen), ("numerical", "passthrough", numbers)])
    steps.transformers_ = [("encoder", encoder, chosen), ("numerical", "passthrough", numbers)]
    return plain, [steps]


def _of_text(inner: Any) -> bool:
    encoder, _ = _entry(inner, "encoder")
    return any(np.asarray(categories).dtype.kind not in "biuf" for categories in encoder.categories_)


def _entry(inner: Any, name: str) -> tuple[Any, Any]:
    for entry, step, columns in inner.transformers_:
        if entry == name and (name != "encoder" or isinstance(step, OrdinalEncoder)):
            return step, columns
    raise CompileError("HistGradientBoosting", "the encoder of its categories is of an unknown form")
