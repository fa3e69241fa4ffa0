"""How well features tell a protected attribute: each by itself, and all of them together by a fitted model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fairness.groups import UNKNOWN, Groups, codes_of, encode, is_missing
from fairness.intervals import wilson
from fairness.proxies import Proxy, proxies

ROWS: Final = 20_000
"""Most rows that are looked at, drawn at random: more would narrow no interval that matters."""
_FOLDS: Final = 3
_FEWEST: Final = 30
"""Rows of a group that is told from the others; a model learns nothing from fewer."""
_MOST_GROUPS: Final = 10
"""The largest ones; each one more is as many trees again."""
_ROUNDS: Final = 40


class Telling(BaseModel):
    """How often a model that sees all features names the right group of a row that it was not fitted on.

    `groups` are those that were told apart: the largest ten with 30 rows or more, the largest first.

    `balanced_accuracy` is the mean over groups of the share of their rows that are named rightly: `guessing`, one
    over the number of groups, where the features tell nothing, and 1 where they tell all. `lower` and `upper` are
    its 95 % interval, from the groups' Wilson intervals. None with a `reason`.
    """

    model_config = ConfigDict(frozen=True)

    balanced_accuracy: float | None
    lower: float | None = None
    upper: float | None = None
    guessing: float | None = None
    groups: tuple[str, ...] = ()
    rows: int = 0
    reason: str | None = None


class ProxyReport(BaseModel):
    """What the features tell of one attribute, on `rows` of the rows; the strongest feature first.

    A feature of the attribute's own name is left out: that it tells the attribute is no news.
    """

    model_config = ConfigDict(frozen=True)

    attribute: str
    rows: int
    features: tuple[Proxy, ...]
    together: Telling


def drawn(rows: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Return which of so many rows are looked at, in their order; all where they are few."""
    if rows <= ROWS:
        return np.arange(rows, dtype=np.intp)
    return np.sort(generator.choice(rows, ROWS, replace=False, shuffle=False)).astype(np.intp)


def proxy_report(
    attribute: str,
    values: Sequence[Any] | NDArray[Any],
    features: Mapping[str, Sequence[Any] | NDArray[Any]],
    edges: Sequence[float] | None = None,
) -> ProxyReport:
    """Return what features tell of an attribute, whose groups are those of `fairness.groups.encode`.

    Args:
        attribute: Its name.
        values: [N] values of it.
        features: Name to [N] values, None or NaN where one is missing.
        edges: Where a measurement is cut into groups.

    Raises:
        UnusableGroupsError: The attribute cannot be read as groups.
    """
    groups = encode(attribute, values, edges)
    others = {name: column for name, column in features.items() if name != attribute}
    return ProxyReport(
        attribute=attribute,
        rows=len(groups.codes),
        features=proxies(others, groups),
        together=_telling(others, groups),
    )


def _telling(features: Mapping[str, Sequence[Any] | NDArray[Any]], groups: Groups) -> Telling:
    from sklearn.ensemble import HistGradientBoostingClassifier  # a second, and only where it is asked for
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    rows_of = np.bincount(groups.codes, minlength=len(groups.names))
    largest = np.argsort(-rows_of, kind="stable").tolist()
    told = [code for code in largest if groups.names[code] != UNKNOWN and rows_of[code] >= _FEWEST][:_MOST_GROUPS]
    names = tuple(groups.names[code] for code in told)
    if len(told) < 2 or not features:
        lacking = f"fewer than two groups have {_FEWEST} rows" if features else "there are no other features"
        return Telling(balanced_accuracy=None, groups=names, reason=lacking)
    chosen = np.isin(groups.codes, told)
    truth = groups.codes[chosen]
    columns = [_numbers(column)[chosen] for column in features.values()]
    columns = [column for column in columns if not np.isnan(column).all()]
    if not columns:
        return Telling(balanced_accuracy=None, groups=names, reason="all values of the other features are missing")
    # Equal weight to each group: a model that names the largest one every time has told nothing.
    fitted = HistGradientBoostingClassifier(
        max_iter=_ROUNDS, early_stopping=False, class_weight="balanced", random_state=0
    )
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    named = cross_val_predict(fitted, np.column_stack(columns), truth, cv=folds)
    right = np.array([np.count_nonzero(named[truth == code] == code) for code in told])
    low, high = wilson(right, rows_of[told])
    shares = right / rows_of[told]
    value, count = float(shares.mean()), len(told)
    return Telling(
        balanced_accuracy=value,
        lower=max(0.0, value - math.sqrt(float(((shares - low) ** 2).sum())) / count),
        upper=min(1.0, value + math.sqrt(float(((high - shares) ** 2).sum())) / count),
        guessing=1 / count,
        groups=names,
        rows=len(truth),
    )


def _numbers(column: Sequence[Any] | NDArray[Any]) -> NDArray[np.float64]:
    """Return a feature as finite numbers, given to texts by their first appearance; NaN where it has none."""
    rows = column.tolist() if isinstance(column, np.ndarray) else column
    rows = [None if is_missing(value) else value for value in rows]
    if all(value is None or isinstance(value, int | float) for value in rows):
        return np.array([_finite(value) for value in rows])
    codes, seen = codes_of([value if value is None else str(value) for value in rows])
    return np.where(codes == seen.index(None), math.nan, codes) if None in seen else codes.astype(np.float64)


def _finite(value: float | None) -> float:
    try:
        return math.nan if value is None or not math.isfinite(value) else float(value)
    except OverflowError:
        return math.nan
