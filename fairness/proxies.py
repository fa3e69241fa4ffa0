"""Which features tell the protected attribute: what a model could use in its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from fairness.errors import LengthMismatchError
from fairness.groups import UNKNOWN, Groups, codes_of, is_missing

NUMERIC_BINS: Final = 10
MAXIMUM_VALUES: Final = 200
"""A column with more values than this is the name or number of somebody, and tells all about those it saw."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """How strongly one feature goes with the groups.

    `cramers_v` is 0 without and 1 with complete association, corrected for chance (Bergsma 2013); `information`
    is the share of the groups' entropy that the feature removes, 0 to 1, not corrected. `p_value` is of the
    chi-square test of independence, which many rows make small for the weakest association. All None with a
    `reason`.
    """

    feature: str
    cramers_v: float | None
    information: float | None
    p_value: float | None
    reason: str | None = None


def proxies(features: Mapping[str, Sequence[Any] | NDArray[Any]], groups: Groups) -> tuple[Proxy, ...]:
    """Return the features by how strongly each goes with the groups, the strongest first.

    Numbers with many values are cut into ten parts of equal size, a missing value is a value of its own, and rows
    of the group "unknown" are left out. Each feature is looked at alone: several weak ones may tell the attribute
    together, which takes a fitted model to see. Association does not show that a model uses the feature.

    Raises:
        LengthMismatchError: A feature is not as long as the groups.
    """
    known = np.ones(len(groups.codes), dtype=np.bool_)
    if UNKNOWN in groups.names:
        known = groups.codes != groups.names.index(UNKNOWN)
    found = []
    for name, values in features.items():
        if len(values) != len(groups.codes):
            raise LengthMismatchError(name, len(values), len(groups.codes))
        found.append(_proxy(name, _levels(values), groups.codes, known))
    return tuple(sorted(found, key=lambda proxy: 1.0 if proxy.cramers_v is None else -proxy.cramers_v))


def _levels(values: Sequence[Any] | NDArray[Any]) -> NDArray[np.intp] | None:
    """Return the feature as few levels; None where it has too many values that are no numbers."""
    rows = values.tolist() if isinstance(values, np.ndarray) else list(values)
    try:
        codes, seen = codes_of(rows)
    except TypeError:
        return None
    if len(seen) <= NUMERIC_BINS:
        return codes.astype(np.intp)
    if all(is_missing(value) or isinstance(value, int | float) for value in seen):
        numbers = np.array([np.nan if is_missing(value) else float(value) for value in seen])[codes]
        some = numbers[~np.isnan(numbers)]
        edges = np.unique(np.quantile(some, np.linspace(0, 1, NUMERIC_BINS + 1)[1:-1]))
        return np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))
    return codes.astype(np.intp) if len(seen) <= MAXIMUM_VALUES else None


def _proxy(name: str, levels: NDArray[np.intp] | None, codes: NDArray[np.intp], known: NDArray[np.bool_]) -> Proxy:
    if levels is None:
        reason = f"it has more than {MAXIMUM_VALUES} values, or some that are no scalars"
        return Proxy(name, None, None, None, reason)
    size = int(codes.max(initial=0)) + 1
    table = np.bincount(levels[known] * size + codes[known]).astype(np.float64)
    table = np.pad(table, (0, -len(table) % size)).reshape(-1, size)
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n = table.sum()
    if min(table.shape) < 2 or n < 2:
        return Proxy(name, None, None, None, "it has one value only, or there is one group only")
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    expected = np.outer(rows, columns) / n
    chi2 = float(((table - expected) ** 2 / expected).sum())
    r, c = table.shape
    degrees = (r - 1) * (c - 1)
    phi2 = max(0.0, chi2 / n - degrees / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    v = min(1.0, float(np.sqrt(phi2 / smaller))) if smaller > 0 else 0.0
    filled = table > 0
    mutual = float((table[filled] / n * np.log(table[filled] / expected[filled])).sum())
    entropy = float(-(columns / n * np.log(columns / n)).sum())
    return Proxy(name, v, min(1.0, max(0.0, mutual / entropy)), float(chdtrc(degrees, chi2)))
