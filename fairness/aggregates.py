"""One number about all groups for every measure: Fairlearn's difference, ratio, group_min and group_max."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairness.counts import GroupCounts
from fairness.derived import STATISTICS, Statistic, point
from fairness.disparities import Metric, measure_parts
from fairness.groups import UNKNOWN


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One number about all groups and the groups that set it. `value` is None when undefined, with the `reason`."""

    value: float | None
    highest: str | None = None
    lowest: str | None = None
    reason: str | None = None


def aggregates(groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> dict[str, Aggregate]:
    """Return every aggregate of every measure by its name, as in Fairlearn's generated metrics.

    `accuracy_difference` is the highest minus the lowest accuracy, `accuracy_ratio` the lowest divided by the
    highest, `accuracy_group_min` and `accuracy_group_max` the extremes themselves; likewise for all rates and for
    balanced accuracy, F1 and treatment equality. `equalized_odds_difference_mean` and `equalized_odds_ratio_mean`
    are the means of both rates' disparities, where the metric without the suffix takes the worse one.

    Only groups whose measure rests on `minimum_rows` rows set an extreme, and never "unknown". These are values of
    this sample: an extreme of many groups is too extreme on average, the more so the smaller they are. They come
    without a verdict and are no ground for one.
    """
    found: dict[str, Aggregate] = {}
    for name in STATISTICS:
        found |= _of_one(name, groups, minimum_rows)
    return found | mean_odds(groups, minimum_rows)


def mean_odds(groups: Mapping[str, GroupCounts], minimum_rows: int = 1) -> dict[str, Aggregate]:
    """Return the two metrics of equalized odds with Fairlearn's `agg="mean"`, which their names say."""
    found = {}
    for metric in (Metric.EQUALIZED_ODDS_DIFFERENCE, Metric.EQUALIZED_ODDS_RATIO):
        values = []
        reason = None
        for part in measure_parts(metric, groups, minimum_rows):
            reason = reason or part.reason
            values.append(part.value or 0.0)
        value = None if reason else sum(values) / len(values)
        found[f"{metric}_mean"] = Aggregate(value, reason=reason)
    return found


def _of_one(name: Statistic, groups: Mapping[str, GroupCounts], minimum_rows: int) -> dict[str, Aggregate]:
    values: dict[str, float] = {}
    for group, counts in groups.items():
        value, rows = point(name, counts)
        if value is not None and group != UNKNOWN and rows >= minimum_rows:
            values[group] = value
    if not values:
        nothing = Aggregate(None, reason=f"no group has enough rows for its {name}")
        return {f"{name}_{kind}": nothing for kind in ("difference", "ratio", "group_min", "group_max")}
    highest, lowest = max(values, key=values.__getitem__), min(values, key=values.__getitem__)
    high, low = values[highest], values[lowest]
    if len(values) < 2:
        difference = ratio = Aggregate(
            None, reason=f"only one group has enough rows for its {name}; two are needed"
        )
    else:
        difference = Aggregate(high - low, highest, lowest)
        ratio = (
            Aggregate(low / high, highest, lowest)
            if high
            else Aggregate(None, reason=f"the {name} is 0 in every group, so they have no ratio")
        )
    return {
        f"{name}_difference": difference,
        f"{name}_ratio": ratio,
        f"{name}_group_min": Aggregate(low, lowest=lowest),
        f"{name}_group_max": Aggregate(high, highest=highest),
    }
