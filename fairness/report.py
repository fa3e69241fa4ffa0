"""The entry: measure everything about every protected attribute and judge it by a policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fairness.bounds import metric_bounds
from fairness.counts import GroupCounts, count_groups, is_favourable
from fairness.disparities import Metric, measure_metric
from fairness.errors import LengthMismatchError, UnknownAttributeError, UnseenLabelError
from fairness.gate import BiasPolicy, Verdict, worst_verdict
from fairness.groups import UNKNOWN, encode
from fairness.rates import Rate, RateName, eligible, rate
from fairness.resampling import bootstrap_interval, resample
from fairness.verdicts import Family, Judgement, family_of, judge


class GroupReport(BaseModel):
    """One group: its rows and its rates with 95 % Wilson intervals.

    `compared` names the rates that rest on enough rows to be compared with other groups.
    """

    model_config = ConfigDict(frozen=True)

    group: str
    rows: int
    labelled: int
    base_rate: Rate
    selection_rate: Rate
    true_positive_rate: Rate
    false_positive_rate: Rate
    true_negative_rate: Rate
    false_negative_rate: Rate
    precision: Rate
    accuracy: Rate
    small: bool
    compared: tuple[RateName, ...]


class DisparityReport(BaseModel):
    """One disparity: its value, its interval, the groups that set it, and the verdict where the policy has a limit.

    `lower` and `upper` are the limits that the verdict rests on (`fairness.bounds`), each at level alpha.
    `bootstrap` is a percentile interval for comparison with other tools; it is biased and judges nothing.
    """

    model_config = ConfigDict(frozen=True)

    metric: Metric
    value: float | None
    lower: float | None
    upper: float | None
    bootstrap: tuple[float, float] | None = None
    verdict: Verdict | None
    gating: bool
    required: bool
    limit: float | None
    rate: RateName | None
    highest: str | None
    lowest: str | None
    p_value: float | None
    note: str | None


class AttributeReport(BaseModel):
    """One protected attribute; its verdict is the worst of its disparities, null where the policy has no limit."""

    model_config = ConfigDict(frozen=True)

    attribute: str
    verdict: Verdict | None
    groups: tuple[GroupReport, ...]
    disparities: tuple[DisparityReport, ...]
    notes: tuple[str, ...]


class BiasReport(BaseModel):
    """What was measured. `verdict` is the worst of the gating disparities, null where nothing gates."""

    model_config = ConfigDict(frozen=True)

    rows: int
    alpha: float
    minimum_rows: int
    verdict: Verdict | None
    attributes: tuple[AttributeReport, ...]
    notes: tuple[str, ...] = ()


def measure(
    attribute_columns: Mapping[str, Sequence[Any] | NDArray[Any]],
    y_true: Sequence[Any] | NDArray[Any] | None,
    y_pred: Sequence[Any] | NDArray[Any],
    favourable: Any,
    policy: BiasPolicy,
    *,
    alpha: float = 0.05,
    minimum_rows: int = 30,
    classes: Collection[Any] = (),
    generator: np.random.Generator | None = None,
) -> BiasReport:
    """Return the bias report of decisions `y_pred`, one row per person, with outcomes where they are known.

    `favourable` is the label one would rather get; which one it is cannot be guessed (a 1 may mean "will
    re-offend"). Rates that rest on fewer than `minimum_rows` rows are shown and not compared. With a `generator`,
    bootstrap intervals are added. `classes` are the labels that can occur, where they are known.

    Raises:
        LengthMismatchError: The columns are not of one length.
        UnseenLabelError: No prediction, no outcome and none of the `classes` equals `favourable`.
        UnusableGroupsError: An attribute cannot be read as groups.
        UnknownAttributeError: The policy has a tolerance for an attribute that was not sent.
    """
    for attribute, values in attribute_columns.items():
        if len(values) != len(y_pred):
            raise LengthMismatchError(attribute, len(values), len(y_pred))
    if y_true is not None and len(y_true) != len(y_pred):
        raise LengthMismatchError("outcome", len(y_true), len(y_pred))
    seen = favourable in classes or is_favourable(y_pred, favourable).any()
    if not seen and (y_true is None or not is_favourable(y_true, favourable).any()):
        raise UnseenLabelError
    counted = {
        attribute: count_groups(encode(attribute, values), y_true, y_pred, favourable)
        for attribute, values in attribute_columns.items()
    }
    return measure_counts(counted, policy, alpha=alpha, minimum_rows=minimum_rows, generator=generator)


def measure_counts(
    attributes: Mapping[str, Mapping[str, GroupCounts]],
    policy: BiasPolicy,
    *,
    alpha: float = 0.05,
    minimum_rows: int = 30,
    generator: np.random.Generator | None = None,
) -> BiasReport:
    """Return the bias report of counts, which may come from rows, from merged windows or from a count table.

    Raises:
        UnknownAttributeError: The policy has a tolerance for an attribute that is not among `attributes`.
    """
    for tolerance in policy.tolerances:
        if tolerance.attribute not in attributes:
            raise UnknownAttributeError(tolerance.attribute, list(attributes))
    # What gates is corrected for what gates only: showing more metrics must not make a gate more lenient.
    families = {
        gating: family_of([t for t in policy.tolerances if t.gating is gating], attributes, minimum_rows)
        for gating in (True, False)
    }
    reports = tuple(
        _attribute(name, groups, policy, families, alpha=alpha, minimum_rows=minimum_rows, generator=generator)
        for name, groups in attributes.items()
    )
    gating = [d.verdict for report in reports for d in report.disparities if d.gating]
    rows = max((sum(group.rows for group in groups.values()) for groups in attributes.values()), default=0)
    return BiasReport(
        rows=rows, alpha=alpha, minimum_rows=minimum_rows, verdict=worst_verdict(gating), attributes=reports
    )


def describe(attribute: str, disparity: DisparityReport) -> str:
    """Return one line: the metric, its value, its limit and the groups that set it, or why there is no value."""
    start = f"{disparity.metric} on {attribute}"
    if disparity.value is None:
        return f"{start} is undefined: {disparity.note}"
    # A value a hair beyond its limit must not read as if it were at it.
    digits = 3 if disparity.limit is None or abs(disparity.value - disparity.limit) >= 0.001 else 6
    line = f"{start} is {disparity.value:.{digits}f}"
    if disparity.limit is not None:
        line += f" ({'at least' if disparity.metric.is_ratio else 'at most'} {disparity.limit:g} allowed)"
    line += f"; {disparity.rate} is highest in group '{disparity.highest}', lowest in '{disparity.lowest}'"
    return f"{line}; {disparity.note}" if disparity.note else line


def _attribute(
    attribute: str,
    groups: Mapping[str, GroupCounts],
    policy: BiasPolicy,
    families: Mapping[bool, Family],
    *,
    alpha: float,
    minimum_rows: int,
    generator: np.random.Generator | None,
) -> AttributeReport:
    populated = any(counts.rows for counts in groups.values())
    drawn = resample(groups, generator) if generator is not None and populated else None
    disparities = []
    for metric in Metric:
        measured = measure_metric(metric, groups, minimum_rows)
        tolerance = policy.find(metric, attribute)
        judgement = None
        if tolerance is not None:
            family = families[tolerance.gating]
            judgement = judge(tolerance, groups, family, alpha=alpha, minimum_rows=minimum_rows)
        bounds = (
            metric_bounds(metric, groups, alpha=alpha, minimum_rows=minimum_rows)
            if measured.value is not None
            else None
        )
        sampled = None
        if drawn is not None and measured.value is not None:
            sampled = bootstrap_interval(metric, groups, drawn, minimum_rows=minimum_rows)
        disparities.append(
            DisparityReport(
                metric=metric,
                value=measured.value,
                lower=bounds[0] if bounds else None,
                upper=bounds[1] if bounds else None,
                bootstrap=sampled,
                gating=tolerance is not None and tolerance.gating,
                limit=tolerance.limit if tolerance else None,
                rate=measured.rate,
                highest=measured.highest,
                lowest=measured.lowest,
                **_judged(judgement, measured.reason),
            )
        )
    return AttributeReport(
        attribute=attribute,
        verdict=worst_verdict(disparity.verdict for disparity in disparities),
        groups=tuple(_group(name, counts, minimum_rows) for name, counts in groups.items()),
        disparities=tuple(disparities),
        notes=tuple(_notes(groups, minimum_rows)),
    )


def _judged(judgement: Judgement | None, reason: str | None) -> dict[str, Any]:
    if judgement is None:
        return {"verdict": None, "required": False, "p_value": None, "note": reason}
    return {
        "verdict": judgement.verdict,
        "required": judgement.required,
        "p_value": judgement.p_value,
        "note": judgement.note or reason,
    }


def _group(name: str, counts: GroupCounts, minimum_rows: int) -> GroupReport:
    compared = [each for each in RateName if name in eligible(each, {name: counts}, minimum_rows).names]
    return GroupReport(
        group=name,
        rows=counts.rows,
        labelled=counts.labelled,
        small=counts.rows < minimum_rows,
        compared=tuple(compared),
        **{str(each): rate(each, counts) for each in RateName},
    )


def _notes(groups: Mapping[str, GroupCounts], minimum_rows: int) -> list[str]:
    notes = []
    unknown = groups.get(UNKNOWN)
    if unknown is not None and unknown.rows:
        notes.append(f"{unknown.rows} rows have no value for this attribute; they are shown and not compared")
    small = [name for name, counts in groups.items() if name != UNKNOWN and counts.rows < minimum_rows]
    if small:
        notes.append(f"groups with fewer than {minimum_rows} rows are shown and not compared: {', '.join(small)}")
    unlabelled = sum(counts.rows - counts.labelled for counts in groups.values())
    if unlabelled:
        notes.append(f"{unlabelled} rows have no outcome yet; they count for the selection rate only")
    return notes
