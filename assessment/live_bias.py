"""The bias of what is served now, in the few numbers that gauges show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from assessment.columns import BiasTestColumns, measure_columns
from assessment.errors import AssessmentError
from assessment.options import MeasuringOptions
from assessment.traffic import window_columns
from fairness.errors import FairnessError
from fairness.gate import BiasPolicy
from fairness.groups import UNKNOWN
from fairness.report import AttributeReport
from monitoring.windows import WindowCounts, attributes_told


@dataclass(frozen=True, slots=True)
class Favourable:
    """The label whose share is shown; `is_named` says that the version names it, else it is a binary's second."""

    label: Any
    is_named: bool


@dataclass(frozen=True, slots=True)
class LiveBias:
    """Selection rates by attribute and group, disparities by metric and attribute, the verdict by attribute."""

    selection_rates: dict[tuple[str, str], float] = field(default_factory=dict)
    metrics: dict[tuple[str, str], float] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)


def favourable_of(named: Any, classes: Sequence[Any]) -> Favourable | None:
    """Return the label whose share is shown: the one a version names, else the second of two classes, else none."""
    if named is not None:
        return Favourable(named, is_named=True)
    return Favourable(classes[1], is_named=False) if len(classes) == 2 else None


def live_bias(
    window: WindowCounts, favourable: Favourable, classes: Sequence[Any] = (), *, minimum_rows: int
) -> LiveBias:
    """Return the bias of a window; nothing of attributes and predictions that cannot be measured.

    Groups with fewer than `minimum_rows` predictions are left out, and "unknown" is. Disparities and verdicts, by
    the default limits, are there only where the version names its favourable label: which end of a disparity is
    good nobody else can say.
    """
    found = LiveBias()
    for attribute in attributes_told(window):
        try:
            report = _report(window_columns(window, [attribute]), favourable, classes, minimum_rows)
        except (AssessmentError, FairnessError):
            continue
        for group in report.groups:
            rate = group.selection_rate.value
            if group.group != UNKNOWN and group.rows >= minimum_rows and rate is not None:
                found.selection_rates[attribute, group.group] = rate
        if not favourable.is_named:
            continue
        for disparity in report.disparities:
            if disparity.value is not None:
                found.metrics[str(disparity.metric), attribute] = disparity.value
        if report.verdict is not None:
            found.verdicts[attribute] = str(report.verdict)
    return found


def _report(
    columns: BiasTestColumns, favourable: Favourable, classes: Sequence[Any], minimum_rows: int
) -> AttributeReport:
    policy = None if favourable.is_named else BiasPolicy()
    report, *_ = measure_columns(
        columns,
        favourable=favourable.label,
        classes=classes,
        options=MeasuringOptions(minimum_rows=minimum_rows, policy=policy),
    )
    return report.attributes[0]
