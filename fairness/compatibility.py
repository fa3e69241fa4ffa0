"""What Fairlearn answers, for those who compare: undefined rates taken for 0."""

from __future__ import annotations

from collections.abc import Mapping

from fairness.counts import GroupCounts
from fairness.disparities import HEADLINE, Metric
from fairness.rates import RateName, parts


def fairlearn_value(metric: Metric, groups: Mapping[str, GroupCounts]) -> float | None:
    """Return a metric exactly as Fairlearn 0.15 computes it from the labelled rows, beside ours and never instead.

    Fairlearn takes the true positive rate of a group without actual positives for 0, compares groups of any size
    and "unknown" like any other, and finds a single group at parity. One person may then decide everything. None
    where Fairlearn answers NaN (a ratio of zeros), has no groups, or does not have the metric.
    """
    if metric not in HEADLINE:
        return None
    labelled = [group for group in groups.values() if group.labelled]
    found: list[float] = []
    for name in metric.rates:
        values = [_rate_or_zero(name, group) for group in labelled]
        if not values:
            return None
        if metric.is_ratio and max(values) == 0:
            # Python's min passes over a NaN that comes second, and answers one that comes first.
            if not found:
                return None
            continue
        found.append(min(values) / max(values) if metric.is_ratio else max(values) - min(values))
    return min(found) if metric.is_ratio else max(found)


def _rate_or_zero(name: RateName, group: GroupCounts) -> float:
    known = GroupCounts(tp=group.tp, fp=group.fp, tn=group.tn, fn=group.fn)
    numerator, denominator = parts(name, known)
    return float(numerator / denominator) if denominator else 0.0
