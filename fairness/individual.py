"""Unfairness between persons rather than groups: entropy of benefits, and consistency among neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairness.aggregates import Aggregate
from fairness.counts import GroupCounts
from fairness.errors import LengthMismatchError

_BLOCK = 256
_TREE_DIMENSIONS = 8


def generalized_entropy_index(groups: Iterable[GroupCounts], alpha: float = 2.0) -> Aggregate:
    """Return how unevenly the benefit b = decision - truth + 1 is spread over the rows (Speicher et al. 2018).

    b is 2 for a false positive, 1 for a right decision, 0 for a false negative. 0.0 means that all have the same:
    every decision is right, but also: every decision is wrong in the same direction. For alpha 2 it is half the
    squared coefficient of variation; alpha 1 is the Theil index, alpha 0 the mean log deviation, which has no
    value where anybody has no benefit. It does not look at groups at all. Undefined without outcomes, and where
    everyone is a false negative.

    >>> generalized_entropy_index([GroupCounts(tp=4, tn=4, fp=1, fn=1)]).value
    0.1
    """
    total = sum(groups, GroupCounts())
    if not total.labelled:
        return Aggregate(None, reason="no outcomes are known")
    benefits = ((2.0, total.fp), (1.0, total.tp + total.tn), (0.0, total.fn))
    mean = sum(benefit * rows for benefit, rows in benefits) / total.labelled
    if mean == 0:
        return Aggregate(None, reason="every decision is a false negative")
    if alpha == 0 and total.fn:
        return Aggregate(None, reason="it has no value for alpha 0 where there are false negatives")
    value = sum(rows * _entropy(benefit / mean, alpha) for benefit, rows in benefits if rows) / total.labelled
    return Aggregate(max(0.0, value))


def theil_index(groups: Iterable[GroupCounts]) -> Aggregate:
    """Return the generalized entropy index for alpha 1: mean of (b / mean b) ln (b / mean b)."""
    return generalized_entropy_index(groups, alpha=1.0)


def consistency(features: ArrayLike, decisions: ArrayLike, k: int = 5) -> float:
    """Return 1 minus the mean distance between a decision and the mean of those of its k nearest rows (Zemel 2013).

    1.0 means that similar rows are treated alike, 0.0 that nobody is treated as the neighbours are. As in AIF360, a
    row is among its own nearest ones, and distance is Euclidean in the features as given: scale and encode them
    first, since the answer is only as good as that distance. Rows equally far may be picked either way.

    Args:
        features: [N, F] numbers, none missing.
        decisions: [N] numbers, usually 0 and 1.
        k: How many rows are taken, 1 to N.

    Raises:
        LengthMismatchError: There is not one decision per row.
        ValueError: k is not from 1 to N, or a feature is not finite.
    """
    table = np.asarray(features, dtype=np.float64)
    chosen = np.asarray(decisions, dtype=np.float64)
    if len(table) != len(chosen):
        raise LengthMismatchError("features", len(table), len(chosen))
    if not 1 <= k <= len(table):
        raise ValueError(f"k is {k}; it must be from 1 to the number of rows")
    if not np.isfinite(table).all():
        raise ValueError("a feature is missing or infinite; impute it first")
    nearest = _nearest(table, k)
    return float(1 - np.abs(chosen - chosen[nearest].mean(axis=1)).mean())


def _entropy(share: float, alpha: float) -> float:
    if alpha == 1:
        return share * math.log(share) if share > 0 else 0.0
    if alpha == 0:
        return -math.log(share)
    return float((share**alpha - 1) / (alpha * (alpha - 1)))


def _nearest(table: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """Return [N, k] rows: by a tree in few dimensions, where it pays, else block by block in bounded memory."""
    if table.shape[1] <= _TREE_DIMENSIONS:
        from scipy.spatial import cKDTree

        return np.asarray(cKDTree(table).query(table, k)[1], dtype=np.intp).reshape(len(table), k)
    squares = (table**2).sum(axis=1)
    found = np.empty((len(table), k), dtype=np.intp)
    for start in range(0, len(table), _BLOCK):
        block = slice(start, start + _BLOCK)
        distance = squares[block, None] + squares - 2 * table[block] @ table.T
        rows = np.arange(*block.indices(len(table)))
        distance[rows - start, rows] = -1.0  # rounding must not push a row out of its own neighbours
        found[block] = np.argpartition(distance, k - 1, axis=1)[:, :k]
    return found
