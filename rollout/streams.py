"""What a guardrail sees of a unit, as far as a plan can be judged before it runs: how often, with which mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from rollout.guardrail import Guardrail, Metric

_QUANTITIES: Final = frozenset({Metric.LATENCY_LOGMEAN, Metric.LOG_LOSS, Metric.BRIER, Metric.MEAN_OUTCOME})


class Stream(NamedTuple):
    """Observations of one part and group: `share` of the units give one, their mean under the champion is `mean`.

    `deviation` is the standard deviation of one of them; None: it is a yes or a no, and the mean says it all.
    """

    part: str
    group: str
    share: float
    mean: float
    deviation: float | None = None

    @property
    def variance(self) -> float:
        """The variance of one observation."""
        return self.mean * (1 - self.mean) if self.deviation is None else self.deviation**2


def is_quantity(metric: Metric) -> bool:
    """Return whether its observations are numbers, and not a yes or a no."""
    return metric in _QUANTITIES


def harmed(guardrail: Guardrail, streams: Sequence[Stream], effect: float) -> tuple[Stream, ...]:
    """Return the streams of a challenger that is worse than the champion by `effect`, in the metric's own units.

    Of gaps between groups it is the group that fares worst (not the reference) whose rate falls, in the first part;
    where it cannot fall so far the rates of all others rise by the rest. Shares of yes and no end at 0 and 1.
    """
    if not effect or not streams:
        return tuple(streams)
    if not guardrail.metric.compares_groups:
        sign = 1 if guardrail.worse == "increase" else -1
        return tuple(_with_mean(one, one.mean + sign * effect) for one in streams)
    part = streams[0].part
    mine = [one for one in streams if one.part == part and one.group != guardrail.reference]
    worst = min(mine, key=lambda one: one.mean, default=streams[0])
    if guardrail.metric is Metric.DP_RATIO:
        return tuple(_with_mean(one, one.mean * math.exp(-effect)) if one == worst else one for one in streams)
    down = min(effect, worst.mean)
    return tuple(
        _with_mean(one, one.mean - down if one == worst else one.mean + effect - down) if one.part == part else one
        for one in streams
    )


def measured(guardrail: Guardrail, streams: Sequence[Stream]) -> float | None:
    """Return the quantity that an absolute limit is about, of these streams; None where there is none."""
    if not streams:
        return None
    if not guardrail.metric.compares_groups:
        return streams[0].mean
    found = []
    for part in dict.fromkeys(one.part for one in streams):
        means = [one.mean for one in streams if one.part == part]
        if guardrail.metric is Metric.GROUP_ACCURACY_MIN:
            found.append(min(means))
        elif guardrail.metric is Metric.DP_RATIO:
            found.append(min(means) / max(means) if max(means) > 0 else 1.0)
        else:
            found.append(max(means) - min(means))
    return max(found)


def _with_mean(stream: Stream, mean: float) -> Stream:
    return stream._replace(mean=mean if stream.deviation is not None else min(max(mean, 0.0), 1.0))
