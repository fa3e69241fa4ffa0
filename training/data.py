"""The table that a configuration names, checked and taken apart into features, labels and protected attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from inference.signature import Task
from sources.fingerprint import Fingerprint, fingerprint
from training.config import TrainingConfig
from training.errors import DataError
from training.features import Features, choose_features
from training.labels import Labels, read_labels

_FEWEST_ROWS = 20
# More different numbers than this are a measurement, of which groups are made by ranges.
_MOST_NUMBER_GROUPS = 20
_RANGES = 4


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What is learned from, row by row; `notes` say what was assumed or left out."""

    table: pd.DataFrame
    features: Features
    labels: Labels
    protected: Mapping[str, NDArray[Any]]
    fingerprint: Fingerprint
    notes: tuple[str, ...]


def load(config: TrainingConfig, data_folder: Path) -> TrainingData:
    """Return the configured data.

    Raises:
        SourceError: the table cannot be read.
        DataError: it cannot be learned from as configured.
    """
    return prepare(config.source.read(data_folder), config)


def prepare(frame: pd.DataFrame, config: TrainingConfig) -> TrainingData:
    """Return a plain table as training data.

    Raises:
        DataError: it cannot be learned from as configured.
    """
    _check_columns(frame, config)
    if len(frame) < _FEWEST_ROWS:
        raise DataError(f"it has {len(frame)} rows; at least {_FEWEST_ROWS} are needed")
    labels, label_notes = read_labels(frame[config.label], task=config.task, favourable=config.favourable)
    features, feature_notes = choose_features(frame, config)
    protected, group_notes = _protected(frame, config.protected)
    if not config.protected:
        group_notes.append("no protected attribute was named: no fairness is measured")
    elif labels.task is Task.REGRESSION:
        group_notes.append("a quantity selects nobody: no fairness is measured")
    return TrainingData(
        table=features.table(frame),
        features=features,
        labels=labels,
        protected=protected,
        fingerprint=fingerprint(frame),
        notes=(*label_notes, *feature_notes, *group_notes),
    )


def _check_columns(frame: pd.DataFrame, config: TrainingConfig) -> None:
    roles = [("label", config.label), *(("protected attribute", name) for name in config.protected)]
    # An excluded column that is not there is most likely a misspelled one that would be learned from.
    roles += [("excluded column", name) for name in config.exclude]
    for role, name in roles:
        if name not in frame.columns:
            shown = ", ".join(map(str, frame.columns[:12])) + (", ..." if len(frame.columns) > 12 else "")
            raise DataError(f"it has no column '{name}' (the {role}); its columns are {shown}")


def _protected(frame: pd.DataFrame, names: tuple[str, ...]) -> tuple[dict[str, NDArray[Any]], list[str]]:
    columns: dict[str, NDArray[Any]] = {}
    notes: list[str] = []
    for name in names:
        column = frame[name]
        if column.nunique() < 2:
            notes.append(f"protected attribute '{name}' has fewer than two groups: nothing to compare")
        numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
        if numeric and column.nunique() > _MOST_NUMBER_GROUPS:
            notes.append(f"protected attribute '{name}' is a number: measured in {_RANGES} ranges of similar size")
            columns[name] = _ranges(column)
        else:
            columns[name] = column.astype(object).where(column.notna(), None).to_numpy(dtype=object)
    return columns, notes


def _ranges(column: pd.Series) -> NDArray[Any]:
    """Return for each row the name of the range that its number falls into; None where it is missing."""
    values = column.to_numpy(dtype=np.float64)
    known = values[~np.isnan(values)]
    inner = np.unique(np.quantile(known, np.linspace(0, 1, _RANGES + 1)[1:-1]))
    bounds = [float(known.min()), *inner.tolist(), float(known.max())]
    names = [f"{low:g} to {high:g}" for low, high in pairwise(bounds)]
    ranges = np.array([*names, None], dtype=object)
    return ranges[np.where(np.isnan(values), len(names), np.searchsorted(inner, values, side="left"))]
