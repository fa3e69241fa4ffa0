"""The entry: measure everything about every protected attribute and judge it by a policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from fairness.aggregates import Aggregate, aggregates
from fairness.bounds import metric_bounds
from fairness.compatibility import fairlearn_value
from fairness.counts import GroupCounts
from fairness.derived import STATISTICS, statistic
from fairness.disparities import Metric, measure_metric
from fairness.errors import LengthMismatchError, UnknownAttributeError, UnseenLabelError
from fairness.families import FamilyRecord, Purpose, explore, record
from fairness.gate import BiasPolicy, Verdict, worst_verdict
from fairness.groups import UNKNOWN
from fairness.individual import generalized_entropy_index, theil_index
from fairness.labels import occurs
from fairness.permutation import Chance, chance, permutation_null
from fairness.rates import Rate, RateName, eligible
from fairness.reference import Comparison, compare, reference_group
from fairness.resampling import bootstrap_interval, resample
from fairness.tables import count_groups_of
from fairness.verdicts import Family, Judgement, family_of, judge


class GroupReport(BaseModel):
    """One group: its rows and its rates with 95 % intervals (`fairness.rates`, `fairness.derived`).

    `compared` names the rates that rest on enough rows to be compared with other groups. A rate that is null as a
    whole is of a report written before it was measured.
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
    false_discovery_rate: Rate | None = None
    npv: Rate | None = None
    false_omission_rate: Rate | None = None
    balanced_accuracy: Rate | None = None
    f1: Rate | None = None
    treatment_equality: Rate | None = None


class DisparityReport(BaseModel):
    """One disparity: its value, its interval, the groups that set it, and the verdict where the policy has a limit.

    `lower` and `upper` are the limits that the verdict rests on (`fairness.bounds`), each at level alpha.
    `bootstrap` is a percentile interval for comparison with other tools; it is biased and judges nothing.
    `chance` is what groups treated alike would show, and judges nothing either: it knows no limit. `fairlearn` is
    Fairlearn's own answer, with undefined rates as 0, where that was asked for.
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
    chance: Chance | None = None
    fairlearn: float | None = None


class AttributeReport(BaseModel):
    """One protected attribute, or several taken together ("SEX × RAC1P").

    `verdict` is the worst of its disparities, null where the policy has no limit. `comparisons` set each group
    beside the `reference` group; `aggregates` are all other numbers about the groups, by their names.
    """

    model_config = ConfigDict(frozen=True)

    attribute: str
    verdict: Verdict | None
    groups: tuple[GroupReport, ...]
    disparities: tuple[DisparityReport, ...]
    notes: tuple[str, ...]
    reference: str | None = None
    comparisons: tuple[Comparison, ...] = ()
    aggregates: dict[str, Aggregate] = {}


class BiasReport(BaseModel):
    """What was measured. `verdict` is the worst of the gating disparities, null where nothing gates.

    `families` record which tests were corrected for together; `individual` are the indices that know no groups.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    alpha: float
    minimum_rows: int
    verdict: Verdict | None
    attributes: tuple[AttributeReport, ...]
    notes: tuple[str, ...] = ()
    families: tuple[FamilyRecord, ...] = ()
    individual: dict[str, Aggregate] = {}


@dataclass(frozen=True, slots=True)
class _Test:
    """What holds for all attributes of one report."""

    policy: BiasPolicy
    families: Mapping[bool, Family]
    alpha: float
    minimum_rows: int
    generator: np.random.Generator | None
    fairlearn: bool


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
    edges: Mapping[str, Sequence[float]] | None = None,
    intersections: Sequence[Sequence[str]] = (),
    references: Mapping[str, str] | None = None,
    fairlearn_compat: bool = False,
    weights: NDArray[np.int64] | None = None,
) -> BiasReport:
    """Return the bias report of decisions `y_pred`, one row per person, with outcomes where they are known.

    Args:
        attribute_columns: Protected attribute to its [N] values.
        y_true: [N] outcomes, None or NaN where not known.
        y_pred: [N] decisions.
        favourable: The label one would rather get, or a set of them; it cannot be guessed (a 1 may mean "will
            re-offend").
        policy: The tolerances to judge by.
        alpha: The chance to be wrong that each verdict may have.
        minimum_rows: Rates that rest on fewer rows are shown and not compared.
        classes: The labels that can occur, where they are known.
        generator: With it, bootstrap intervals and what chance alone would show are added.
        edges: Attribute to the edges of its ranges, for measurements (`groups.encode`).
        intersections: Attributes to take together as well, under the name `tables.intersection_name` gives.
        references: Attribute to the group that others are set beside; the largest where none is named.
        fairlearn_compat: Whether to add Fairlearn's own answers, which take undefined rates for 0.
        weights: [N] how many people each row stands for, at least one; one where it is left out.

    Raises:
        LengthMismatchError: The columns are not of one length.
        UnseenLabelError: No prediction, no outcome and none of the `classes` is favourable.
        UnusableGroupsError: An attribute, or an intersection, cannot be read as groups.
        UnknownAttributeError: A tolerance, edges, an intersection or a reference for an attribute not sent.
        UnknownReferenceError: A reference group that does not occur.
    """
    for attribute, values in attribute_columns.items():
        if len(values) != len(y_pred):
            raise LengthMismatchError(attribute, len(values), len(y_pred))
    if y_true is not None and len(y_true) != len(y_pred):
        raise LengthMismatchError("outcome", len(y_true), len(y_pred))
    counted = count_groups_of(
        attribute_columns,
        y_true,
        y_pred,
        favourable,
        edges=edges,
        intersections=intersections,
        weights=weights,
    )
    # From the counts: a second look at a million labels would cost as much as counting them.
    everyone = [counts for groups in counted.values() for counts in groups.values()]
    seen = any(counts.selected or counts.tp or counts.fn for counts in everyone)
    if counted and not seen and not occurs(favourable, classes):
        raise UnseenLabelError
    return measure_counts(
        counted,
        policy,
        alpha=alpha,
        minimum_rows=minimum_rows,
        generator=generator,
        references=references,
        fairlearn_compat=fairlearn_compat,
    )


def measure_counts(
    attributes: Mapping[str, Mapping[str, GroupCounts]],
    policy: BiasPolicy,
    *,
    alpha: float = 0.05,
    minimum_rows: int = 30,
    generator: np.random.Generator | None = None,
    references: Mapping[str, str] | None = None,
    fairlearn_compat: bool = False,
) -> BiasReport:
    """Return the bias report of counts, which may come from rows, from merged windows or from a count table.

    Raises:
        UnknownAttributeError: The policy or a reference is about an attribute that is not among `attributes`.
        UnknownReferenceError: A reference group does not occur.
    """
    wanted = references or {}
    for attribute in (*(tolerance.attribute for tolerance in policy.tolerances), *wanted):
        if attribute not in attributes:
            raise UnknownAttributeError(attribute, list(attributes))
    # What gates is corrected for what gates only: showing more metrics must not make a gate more lenient.
    families = {
        gating: family_of([t for t in policy.tolerances if t.gating is gating], attributes, minimum_rows)
        for gating in (True, False)
    }
    test = _Test(policy, families, alpha, minimum_rows, generator, fairlearn_compat)
    chosen = {name: reference_group(name, groups, wanted.get(name)) for name, groups in attributes.items()}
    compared, exploration = explore(
        {
            name: compare(groups, reference, minimum_rows=minimum_rows)
            for name, groups in attributes.items()
            if (reference := chosen[name]) is not None
        },
        alpha,
    )
    reports = tuple(
        _attribute(name, groups, test, chosen[name], compared.get(name, ())) for name, groups in attributes.items()
    )
    gating = [d.verdict for report in reports for d in report.disparities if d.gating]
    # Every attribute covers all rows; the one with most is taken where windows lack an attribute.
    everyone = max(
        (list(groups.values()) for groups in attributes.values()),
        key=lambda groups: sum(group.rows for group in groups),
        default=[],
    )
    return BiasReport(
        rows=sum(group.rows for group in everyone),
        alpha=alpha,
        minimum_rows=minimum_rows,
        verdict=worst_verdict(gating),
        attributes=reports,
        families=(
            *(
                record(purpose, families[purpose is Purpose.GATE], alpha)
                for purpose in (Purpose.GATE, Purpose.SHOWN)
                if families[purpose is Purpose.GATE].size
            ),
            *([exploration] if exploration.size else []),
        ),
        individual={
            "theil_index": theil_index(everyone),
            "generalized_entropy_index": generalized_entropy_index(everyone),
        },
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
    test: _Test,
    reference: str | None,
    comparisons: tuple[Comparison, ...],
) -> AttributeReport:
    populated = any(counts.rows for counts in groups.values())
    drawn = resample(groups, test.generator) if test.generator is not None and populated else None
    disparities = tuple(_disparity(metric, attribute, groups, test, drawn) for metric in Metric)
    return AttributeReport(
        attribute=attribute,
        verdict=worst_verdict(disparity.verdict for disparity in disparities),
        groups=tuple(_group(name, counts, test.minimum_rows) for name, counts in groups.items()),
        disparities=disparities,
        notes=tuple(_notes(groups, test.minimum_rows)),
        reference=reference,
        comparisons=comparisons,
        aggregates=aggregates(groups, test.minimum_rows),
    )


def _disparity(
    metric: Metric,
    attribute: str,
    groups: Mapping[str, GroupCounts],
    test: _Test,
    drawn: Mapping[str, NDArray[np.float64]] | None,
) -> DisparityReport:
    minimum_rows = test.minimum_rows
    measured = measure_metric(metric, groups, minimum_rows)
    tolerance = test.policy.find(metric, attribute)
    judgement = None
    if tolerance is not None:
        family = test.families[tolerance.gating]
        judgement = judge(tolerance, groups, family, alpha=test.alpha, minimum_rows=minimum_rows)
    bounds = sampled = expected = None
    if measured.value is not None:
        bounds = metric_bounds(metric, groups, alpha=test.alpha, minimum_rows=minimum_rows)
        if drawn is not None and test.generator is not None:
            sampled = bootstrap_interval(metric, groups, drawn, minimum_rows=minimum_rows)
            null = permutation_null(metric, groups, test.generator, minimum_rows=minimum_rows)
            expected = chance(metric, measured.value, null) if null is not None else None
    return DisparityReport(
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
        chance=expected,
        fairlearn=fairlearn_value(metric, groups) if test.fairlearn else None,
        **_judged(judgement, measured.reason),
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
        **{str(each): statistic(each, counts) for each in STATISTICS},
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
