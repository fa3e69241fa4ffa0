"""Weights under which the label no longer depends on the group."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fairness.errors import LengthMismatchError
from fairness.groups import UNKNOWN, Groups


def reweigh(groups: Groups, favourable: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the weight of each of N rows: how often group and label would meet by chance, over how often they do.

    w = n_g n_y / (n n_gy) (Kamiran and Calders 2012, algorithm 3, "reweighing"). Under these weights every group
    has the same share of favourable labels, and each group and each label keeps the weight it had. A group in which
    all labels are the same keeps weights that cannot make up for those it lacks. Rows of the group "unknown" weigh
    1 and do not count.

    Args:
        groups: The group of each row.
        favourable: [N] whether the row's label is the favourable one.

    Raises:
        LengthMismatchError: There is not one label per row.
    """
    if len(groups.codes) != len(favourable):
        raise LengthMismatchError("group", len(groups.codes), len(favourable))
    known = np.array([name != UNKNOWN for name in groups.names], dtype=np.bool_)[groups.codes]
    cells = groups.codes * 2 + favourable
    counts = np.bincount(cells[known], minlength=2 * len(groups.names)).reshape(-1, 2)
    by_chance = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / max(1, counts.sum())
    ratio = np.divide(by_chance, counts, out=np.ones_like(by_chance), where=counts > 0)
    return np.where(known, ratio.reshape(-1)[cells], 1.0)
