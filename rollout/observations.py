"""What one row says of a guardrail: pure, the same for live rows, for shadow pairs and once outcomes are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fairness.groups import UNKNOWN
from monitoring.exposure_records import BESIDE
from rollout.guardrail import Guardrail, Metric

OK: Final = "ok"
"""The status of a row that was answered; any other says why it was not."""
TPR, FPR = "tpr", "fpr"
"""The parts of what has both: rows whose outcome is positive, and rows whose outcome is not."""
OTHER: Final = "other"
"""The group of all groups beyond those that are counted apart."""

_LEAST_PROBABILITY: Final = 1e-6
_LARGEST: Final = 1e150
_US_PER_MS: Final = 1_000


class Observed(NamedTuple):
    """What is known of one row. `score` is the probability of the positive label; None as outcome: not known."""

    status: str
    prediction: Any = None
    score: float | None = None
    latency_us: int | None = None
    outcome: Any = None


class Observation(NamedTuple):
    """One value that a guardrail's cells add up; 0 and 1 for no and yes."""

    part: str
    value: float


def observation(guardrail: Guardrail, row: Observed) -> Observation | None:
    """Return what a row adds to a guardrail's statistics, None where it says nothing of the metric.

    Rows without an answer count in `error_rate` and `latency_slo`, as worst, and nowhere else; those that another
    variant's failure kept from theirs count as no error of their own. Metrics of outcomes
    say nothing of rows whose outcome is not known. Labels are equal as everywhere in the log: 1 is 1.0, and neither
    true nor "1". Scores are cut to [1e-6, 1 - 1e-6] before their logarithm is taken.

    >>> observation(Guardrail(metric="accuracy", margin=0.01), Observed("ok", 1, outcome=1.0))
    Observation(part='', value=1.0)
    """
    metric = guardrail.metric
    if metric is Metric.ERROR_RATE:
        return Observation("", float(row.status not in {OK, BESIDE}))
    if metric is Metric.LATENCY_SLO and row.status != BESIDE:
        limit = math.inf if guardrail.slo_ms is None else guardrail.slo_ms * _US_PER_MS
        return Observation("", float(row.status != OK or row.latency_us is None or row.latency_us > limit))
    if row.status != OK or (metric.needs_outcome and row.outcome is None):
        return None
    return _of_outcome(guardrail, row) if metric.needs_outcome else _of_answer(guardrail, row)


def difference(guardrail: Guardrail, challenger: Observed, champion: Observed) -> Observation | None:
    """Return the challenger's observation less the champion's of the same row; None where one of them has none."""
    ours, theirs = observation(guardrail, challenger), observation(guardrail, champion)
    if ours is None or theirs is None:
        return None
    return Observation(ours.part, ours.value - theirs.value)


def group_of(guardrail: Guardrail, attributes: Mapping[str, str | None]) -> str:
    """Return the group that a row is counted in, empty where the guardrail compares none."""
    if guardrail.attribute is None:
        return ""
    value = attributes.get(guardrail.attribute)
    return UNKNOWN if value is None else value


def is_same(label: Any, other: Any) -> bool:
    """Return whether two labels are equal; true is another than 1.

    >>> is_same(1, 1.0), is_same(True, 1), is_same("1", 1)
    (True, False, False)
    """
    return isinstance(label, bool) == isinstance(other, bool) and bool(label == other)


def _of_answer(guardrail: Guardrail, row: Observed) -> Observation | None:
    if guardrail.metric is Metric.LATENCY_LOGMEAN:
        return None if row.latency_us is None else Observation("", math.log(max(row.latency_us, 1) / 1e6))
    return Observation("", float(is_same(row.prediction, guardrail.positive)))


def _of_outcome(guardrail: Guardrail, row: Observed) -> Observation | None:
    metric, is_positive = guardrail.metric, is_same(row.outcome, guardrail.positive)
    if metric in {Metric.ACCURACY, Metric.GROUP_ACCURACY_MIN}:
        return Observation("", float(is_same(row.prediction, row.outcome)))
    if metric is Metric.MEAN_OUTCOME:
        number = float(row.outcome) if isinstance(row.outcome, bool | int | float) else math.nan
        return Observation("", number) if abs(number) < _LARGEST else None
    if metric in {Metric.LOG_LOSS, Metric.BRIER}:
        if row.score is None or not 0 <= row.score <= 1:  # no probability
            return None
        return Observation("", _loss(metric, row.score, is_positive=is_positive))
    is_selected = float(is_same(row.prediction, guardrail.positive))
    if metric is Metric.EODDS_DIFF:
        return Observation(TPR if is_positive else FPR, is_selected)
    return Observation("", is_selected) if is_positive == (metric is Metric.EO_DIFF) else None


def _loss(metric: Metric, score: float, *, is_positive: bool) -> float:
    if metric is Metric.BRIER:
        return (score - is_positive) ** 2
    score = min(max(score, _LEAST_PROBABILITY), 1 - _LEAST_PROBABILITY)
    return -math.log(score if is_positive else 1 - score)
