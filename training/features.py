"""Which columns are learned from, as what, and the preprocessing that makes numbers of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from training.config import TrainingConfig, UnknownCategories
from training.errors import DataError

MISSING_CATEGORY = "missing"
_IDENTIFIER = re.compile(r"(?i)^(unnamed: \d+|index|(.*[_ -])?(id|uuid|guid)|.*[a-z]Id)$")


class Role(StrEnum):
    """What a feature is to the preprocessing."""

    NUMBER = "number"
    TEXT = "text"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Features:
    """The features in their order, with their roles.

    `known` are the distinct values that a text column has anywhere in the table, `gaps` the text columns in which
    values are missing.
    """

    roles: Mapping[str, Role]
    known: Mapping[str, tuple[str, ...]]
    gaps: frozenset[str]

    def of(self, role: Role) -> list[str]:
        """Return the names of the features of one role, in order."""
        return [name for name, its_role in self.roles.items() if its_role is role]

    def table(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the features of `frame`; integers become float64, so that a later gap or fraction still fits."""
        numbers = dict.fromkeys(self.of(Role.NUMBER), "float64")
        return frame[list(self.roles)].astype(numbers)


def choose_features(frame: pd.DataFrame, config: TrainingConfig) -> tuple[Features, list[str]]:
    """Return the features that a configuration means, and a note for every column left out that it did not name.

    Features that are listed are taken as they are. Otherwise every column is one, but the label, the protected
    attributes (unless they are features by choice), what is excluded, dates, constants, columns without a value,
    identifiers, and texts with more than `max_categories` different values.

    Raises:
        DataError: a listed feature is not there or cannot be used, or nothing is left to learn from.
    """
    if config.features is not None:
        return _features(frame, _listed(frame, config.features)), []
    apart = {config.label, *config.exclude, *(() if config.protected_as_features else config.protected)}
    chosen, notes = [], []
    for name in frame.columns:
        if name in apart:
            continue
        reason = _unusable(frame[name]) or _unhelpful(str(name), frame[name], config.max_categories)
        if reason:
            notes.append(f"column '{name}' is left out: {reason}")
        else:
            chosen.append(str(name))
    if not chosen:
        raise DataError("no column is left to learn from; list the features in the configuration")
    return _features(frame, chosen), notes


def preprocessor(features: Features, unknown: UnknownCategories, *, dense: bool) -> ColumnTransformer:
    """Return the unfitted preprocessing: library classes only, so that it loads where this project is absent.

    Numbers: median for missing, then standardised. Texts: one-hot, missing being a category of its own, so that a
    gap is neither guessed nor hidden. Booleans: one-hot. With `unknown` at `error` the categories are those of the
    whole table, and a gap is accepted only in columns that have some; with `ignore` a category not seen in
    training, or a gap where training had none, leaves all of its column's indicators at 0.
    """
    numbers, texts, booleans = (features.of(role) for role in (Role.NUMBER, Role.TEXT, Role.BOOLEAN))
    refuses = unknown is UnknownCategories.ERROR
    gapless = [name for name in texts if refuses and name not in features.gaps]
    filled = [name for name in texts if name not in gapless]
    number_steps = Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())])
    blocks = [
        ("number", number_steps, numbers),
        ("text", Pipeline([("impute", _fill()), ("encode", _one_hot(features, filled, refuses, dense))]), filled),
        ("text_without_gaps", _one_hot(features, gapless, refuses, dense), gapless),
        ("boolean", OneHotEncoder(handle_unknown=unknown.value, sparse_output=not dense), booleans),
    ]
    return ColumnTransformer([block for block in blocks if block[2]], sparse_threshold=0.0 if dense else 0.3)


def _fill() -> SimpleImputer:
    return SimpleImputer(strategy="constant", fill_value=MISSING_CATEGORY)


def _one_hot(features: Features, names: list[str], refuses: bool, dense: bool) -> OneHotEncoder:
    if not refuses:
        return OneHotEncoder(handle_unknown="ignore", sparse_output=not dense)
    # From the whole table: a rare category that fell into the held-out rows is no unknown one.
    known = [
        np.array(
            sorted({*features.known[name], *([MISSING_CATEGORY] if name in features.gaps else [])}), dtype=object
        )
        for name in names
    ]
    return OneHotEncoder(categories=known, handle_unknown="error", sparse_output=not dense)


def _listed(frame: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    for name in names:
        if name not in frame.columns:
            raise DataError(f"it has no column '{name}', which is listed under features")
        reason = _unusable(frame[name])
        if reason:
            raise DataError(f"the feature '{name}' cannot be used: {reason}")
    if not names:
        raise DataError("no column is left to learn from; list the features in the configuration")
    return list(dict.fromkeys(names))


def _features(frame: pd.DataFrame, names: list[str]) -> Features:
    roles = {name: _role(frame[name]) for name in names}
    texts = [name for name, role in roles.items() if role is Role.TEXT]
    known = {name: tuple(sorted(frame[name].dropna().unique().tolist())) for name in texts}
    return Features(roles, known, frozenset(name for name in texts if frame[name].isna().any()))


def _role(column: pd.Series) -> Role:
    if pd.api.types.is_bool_dtype(column.dtype):
        return Role.BOOLEAN
    return Role.NUMBER if pd.api.types.is_numeric_dtype(column.dtype) else Role.TEXT


def _unusable(column: pd.Series) -> str | None:
    """Return why no model can learn from the column; None when one can."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "it holds dates; add columns with the numbers that matter (age, weekday ...)"
    if column.isna().all():
        return "it has no value at all"
    if pd.api.types.is_float_dtype(column.dtype) and np.isinf(column.to_numpy()).any():
        return "it holds infinite numbers; replace them by gaps or limits"
    return None


def _unhelpful(name: str, column: pd.Series, max_categories: int) -> str | None:
    """Return why the column would teach a model nothing that holds for other rows; None when it may."""
    values = column.dropna()
    distinct = values.nunique()
    if distinct == 1 and not column.isna().any():
        return "it has the same value in every row"
    different = distinct == len(values) and len(values) > 2
    if _role(column) is Role.TEXT:
        if different:
            return "all its values are different, as an identifier's are"
        if distinct > max_categories:
            return f"it has {distinct} different texts (limit {max_categories}, see max_categories)"
    elif different and pd.api.types.is_integer_dtype(column.dtype):
        steps = np.diff(values.to_numpy())
        if _IDENTIFIER.match(name) or bool((np.abs(steps) == 1).all()):
            return "it numbers the rows, as an identifier does"
    return None
