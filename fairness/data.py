"""How groups differ in the data itself, before any model: the metrics of SageMaker Clarify, by its letters.

The names carry their source because the same letters mean other things elsewhere, and because their signs are
Clarify's own: "a" is the reference (everyone else where none is named), "d" the group looked at; most are a - d.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fairness.aggregates import Aggregate
from fairness.counts import check_lengths
from fairness.errors import UnknownReferenceError
from fairness.groups import UNKNOWN, Groups
from fairness.labels import Labels, is_favourable, missing
from fairness.multiclass import count_classes

CONDITIONAL: Final = "clarify.CDDL"


def data_metrics(
    attribute: str,
    groups: Groups,
    labels: Labels,
    favourable: Any,
    *,
    reference: str | None = None,
    condition: Groups | None = None,
) -> dict[str, dict[str, Aggregate]]:
    """Return, for each group but the reference, how its share and its labels differ from the reference's.

    With n rows, P the shares of the labels and q the share of favourable ones, logarithms natural:

    - `clarify.CI` = (n_a - n_d) / (n_a + n_d), -1 to 1: above 0 where the group is the smaller part.
    - `clarify.DPL` = q_a - q_d, -1 to 1.
    - `clarify.KL` = sum of P_a ln(P_a / P_d), from 0; undefined where d never has a label that a has (Clarify
      leaves such labels out, which makes the distance smaller the more the groups differ).
    - `clarify.JS` = the mean of KL of either from their average, 0 to ln 2.
    - `clarify.LP` = the Euclidean norm of P_a - P_d; `clarify.TVD` = half its absolute sum, 0 to 1; `clarify.KS`
      = its largest absolute value (as Clarify has it: over labels, not cumulated).
    - `clarify.CDDL`, with a `condition` (department, job): in each stratum the share of d among the unfavourable
      labels minus its share among the favourable ones, averaged by rows; a share of none counts as 0, as in
      Clarify. Above 0 where d is found rather among the unfavourable, within strata.

    Rows without a label, of the group "unknown", or without the condition (for CDDL) are left out. These describe
    the data at hand; a difference may be real, and says nothing about why.

    Raises:
        LengthMismatchError: The columns are not of one length.
        UnknownReferenceError: The reference is none of the groups.
        UnusableNumbersError: A label cannot be compared.
    """
    check_lengths(len(groups.codes), labels, labels)
    if condition is not None:
        check_lengths(len(condition.codes), labels, labels)
    known = [name for name in groups.names if name != UNKNOWN]
    if reference is not None and reference not in known:
        raise UnknownReferenceError(attribute, reference, known)
    absent = missing(labels)
    usable = np.ones(len(groups.codes), dtype=np.bool_) if absent is None else ~absent
    if UNKNOWN in groups.names:
        usable &= groups.codes != groups.names.index(UNKNOWN)
    rows = np.flatnonzero(usable)
    column = labels if isinstance(labels, np.ndarray) else list(labels)
    taken: Labels = column[rows] if isinstance(column, np.ndarray) else [column[row] for row in rows.tolist()]
    codes = groups.codes[rows]
    good = is_favourable(taken, favourable)
    # [G, C] labels by group: what was decided and what is true are the same column here.
    table = count_classes(Groups(codes, groups.names), None, taken).rows[:, -1]
    strata = condition.codes[rows] if condition is not None else None
    if strata is not None and condition is not None and UNKNOWN in condition.names:
        strata = np.where(strata == condition.names.index(UNKNOWN), -1, strata)
    found = {}
    for name in known:
        if name == reference:
            continue
        place = groups.names.index(name)
        others = codes == groups.names.index(reference) if reference is not None else codes != place
        both = others | (codes == place)
        a = table[groups.names.index(reference)] if reference is not None else table.sum(axis=0) - table[place]
        found[name] = _distances(a, table[place]) | {"clarify.DPL": _dpl(good, others, codes == place)}
        if strata is not None:
            inside = both & (strata >= 0)
            found[name][CONDITIONAL] = _cddl(good[inside], (codes == place)[inside], strata[inside])
    return found


def _distances(a: NDArray[np.int64], d: NDArray[np.int64]) -> dict[str, Aggregate]:
    rows_a, rows_d = int(a.sum()), int(d.sum())
    if not rows_a or not rows_d:
        nothing = Aggregate(None, reason=f"the {'group' if rows_a else 'reference'} has no rows with a label")
        return {f"clarify.{name}": nothing for name in ("CI", "KL", "JS", "LP", "TVD", "KS")}
    p, q = a / rows_a, d / rows_d
    middle = (p + q) / 2
    apart = np.abs(p - q)
    lacking = bool(((p > 0) & (q == 0)).any())
    return {
        "clarify.CI": Aggregate((rows_a - rows_d) / (rows_a + rows_d)),
        "clarify.KL": Aggregate(None, reason="the group never has a label that the reference has")
        if lacking
        else Aggregate(_divergence(p, q)),
        "clarify.JS": Aggregate((_divergence(p, middle) + _divergence(q, middle)) / 2),
        "clarify.LP": Aggregate(math.sqrt(float((apart**2).sum()))),
        "clarify.TVD": Aggregate(float(apart.sum()) / 2),
        "clarify.KS": Aggregate(float(apart.max())),
    }


def _divergence(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    some = p > 0
    return max(0.0, float((p[some] * np.log(p[some] / q[some])).sum()))


def _dpl(good: NDArray[np.bool_], a: NDArray[np.bool_], d: NDArray[np.bool_]) -> Aggregate:
    if not a.any() or not d.any():
        return Aggregate(None, reason=f"the {'group' if a.any() else 'reference'} has no rows with a label")
    return Aggregate(float(good[a].mean() - good[d].mean()))


def _cddl(good: NDArray[np.bool_], d: NDArray[np.bool_], strata: NDArray[np.intp]) -> Aggregate:
    if good.all() or not good.any():
        return Aggregate(None, reason="all labels are of one kind")
    size = int(strata.max()) + 1
    table = np.bincount((strata * 2 + good) * 2 + d, minlength=4 * size).reshape(size, 2, 2).astype(np.float64)
    share = table[:, :, 1] / np.maximum(table.sum(axis=2), 1)  # of d, among the unfavourable and the favourable
    weight = table.sum(axis=(1, 2))
    return Aggregate(float(((share[:, 0] - share[:, 1]) * weight).sum() / weight.sum()))
