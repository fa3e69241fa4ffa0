"""Compare a window of counted rows with its reference: pure, on counts.

Every check of a report is a test, corrected for all others, and a size of change that matters; see `DriftPolicy`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa

from fairness.significance import benjamini_hochberg, holm
from monitoring.cells import EXTRAS, Tally
from monitoring.counted_window import CountedWindow, count_table, reference_window
from monitoring.drift_policy import DriftPolicy, DriftVerdict
from monitoring.drift_report import ColumnDrift, DriftReport, RateCheck, Reference, ReferenceKind, Shape
from monitoring.drift_statistics import (
    Counts,
    TestResult,
    chi_squared,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    stability_below,
)
from monitoring.profile import CategoryProfile, NumberProfile, ReferenceProfile
from monitoring.rate_drift import TOO_FEW, Rate, few_rows

PREDICTION, SCORES, OUTCOME = "prediction", "score", "outcome"
_SCORE_GROUPS: Final = 20


@dataclass(frozen=True, slots=True)
class _Subject:
    """One thing that is compared, with the tests that are to be corrected together."""

    name: str
    kind: str
    reference: Counts
    current: Counts
    test_name: str
    test: TestResult
    rates: Mapping[str, Rate]


def drift_of(profile: ReferenceProfile, table: pa.Table, policy: DriftPolicy | None = None) -> DriftReport:
    """Return the drift of a table of raw rows from a registered profile."""
    return compare(profile, reference_window(profile), count_table(profile, table), policy)


def compare(
    profile: ReferenceProfile,
    reference: CountedWindow,
    current: CountedWindow,
    policy: DriftPolicy | None = None,
    *,
    of: Reference | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    notes: Sequence[str] = (),
) -> DriftReport:
    """Return what changed from one window to another, both counted over the cells of `profile`.

    Args:
        profile: What the cells are.
        reference: What is compared with: `reference_window(profile)`, or the counts of a window before.
        current: What is looked at.
        policy: What counts as drift.
        of: What the reference is said to be; the profile where it is left out.
        since, until: When the window was.
        notes: What else whoever reads the report is to know.
    """
    policy = policy or DriftPolicy()
    subjects = [
        _subject(name, column, reference.features.get(name), current.features.get(name), policy)
        for name, column in profile.features.items()
    ]
    whole: list[_Subject] = []
    for name, column, before, now in (
        (PREDICTION, profile.prediction, reference.prediction, current.prediction),
        (OUTCOME, profile.outcome, reference.outcome, current.outcome),
    ):
        if column is not None and before is not None and now is not None:
            whole.append(_subject(name, column, before, now, policy))
    if reference.scores is not None and current.scores is not None:
        whole.append(_scores(reference.scores, current.scores))
    judged = _judged([*subjects, *whole], policy)
    features = tuple(judged[: len(subjects)])
    others = {one.name: one for one in judged[len(subjects) :]}
    sizes = {one.name: one.shape.psi for one in features if one.shape.psi is not None}
    largest = max(sizes, key=lambda name: sizes[name] or 0.0, default=None)
    return DriftReport(
        rows=current.rows,
        since=since,
        until=until,
        reference=of or Reference(kind=ReferenceKind.PROFILE, rows=reference.rows),
        policy=policy,
        verdict=worst([one.verdict for one in judged]),
        score=None if largest is None else sizes[largest],
        score_feature=largest,
        features=features,
        prediction=others.get(PREDICTION),
        scores=others.get(SCORES),
        outcome=others.get(OUTCOME),
        notes=tuple(notes),
    )


def worst(verdicts: Sequence[DriftVerdict]) -> DriftVerdict:
    """Return `drift` where anything drifted, `no_drift` where everything was shown not to."""
    if DriftVerdict.DRIFT in verdicts:
        return DriftVerdict.DRIFT
    if verdicts and set(verdicts) == {DriftVerdict.NO_DRIFT}:
        return DriftVerdict.NO_DRIFT
    return DriftVerdict.INSUFFICIENT_EVIDENCE


def _subject(
    name: str,
    column: NumberProfile | CategoryProfile,
    reference: Counts | None,
    current: Counts | None,
    policy: DriftPolicy,
) -> _Subject:
    nothing = np.zeros(column.cells + EXTRAS, dtype=np.int64)
    before, now = (Tally.of(nothing if each is None else each) for each in (reference, current))
    is_number = isinstance(column, NumberProfile)
    one, other = before.cells, now.cells
    if not is_number:
        one, other = np.append(one, before.unseen), np.append(other, now.unseen)
    test = kolmogorov_smirnov(one, other) if is_number else chi_squared(one, other)
    sizes = int(one.sum()), int(other.sum())
    rates = {
        "missing": Rate(
            (before.missing, before.missing + sizes[0]),
            (now.missing, now.missing + sizes[1]),
            policy.missing_change,
            only_rises=False,
        )
    }
    if not (column.values is None if isinstance(column, NumberProfile) else column.is_open):
        rates["new_values"] = _rise((before.unseen, now.unseen), sizes, policy)
    if is_number:
        rates["out_of_range"] = _rise((before.below + before.above, now.below + now.above), sizes, policy)
    name_of_test = "kolmogorov_smirnov" if is_number else "chi_squared"
    return _Subject(name, column.kind, one, other, name_of_test, test, rates)


def _rise(affected: tuple[int, int], rows: tuple[int, int], policy: DriftPolicy) -> Rate:
    return Rate((affected[0], rows[0]), (affected[1], rows[1]), policy.unseen_share, only_rises=True)


def _scores(reference: Counts, current: Counts) -> _Subject:
    """Return scores as a subject: tested in thousandths, measured in up to 20 groups of similar size."""
    before, now = reference.sum(axis=0), current.sum(axis=0)
    test = kolmogorov_smirnov(before, now)
    total = max(1, int(before.sum()))
    group = np.minimum((np.cumsum(before) - before) * _SCORE_GROUPS // total, _SCORE_GROUPS - 1)
    one, other = (np.bincount(group, each, minlength=_SCORE_GROUPS).astype(np.int64) for each in (before, now))
    return _Subject(SCORES, "number", one, other, "kolmogorov_smirnov", test, {})


def _judged(subjects: Sequence[_Subject], policy: DriftPolicy) -> list[ColumnDrift]:
    family = [subject.test.p_value for subject in subjects]
    family += [rate.p_value for subject in subjects for rate in subject.rates.values()]
    made = [p for p in family if p is not None]
    correct = holm if policy.correction == "holm" else benjamini_hochberg
    corrected = iter(correct(made).tolist() if made else [])
    adjusted = [None if p is None else next(corrected) for p in family]
    of_rates = iter(adjusted[len(subjects) :])
    return [
        _column(
            subject,
            p,
            {name: rate.check(next(of_rates), policy) for name, rate in subject.rates.items()},
            policy,
        )
        for subject, p in zip(subjects, adjusted, strict=False)
    ]


def _column(
    subject: _Subject, p_adjusted: float | None, rates: Mapping[str, RateCheck], policy: DriftPolicy
) -> ColumnDrift:
    shape = _shape(subject, p_adjusted, policy)
    return ColumnDrift(
        name=subject.name,
        kind=subject.kind,
        shape=shape,
        missing=rates.get("missing"),
        new_values=rates.get("new_values"),
        out_of_range=rates.get("out_of_range"),
        verdict=worst([shape.verdict, *(check.verdict for check in rates.values())]),
    )


def _shape(subject: _Subject, p_adjusted: float | None, policy: DriftPolicy) -> Shape:
    before, now = subject.reference, subject.current
    n, m = int(before.sum()), int(now.sum())
    cells = int(np.count_nonzero(before + now))
    psi = by_chance = distance = None
    if n and m:
        psi, distance = population_stability_index(before, now), jensen_shannon_distance(before, now)
        by_chance = (cells - 1) * (1 / n + 1 / m)
    verdict, reason = DriftVerdict.INSUFFICIENT_EVIDENCE, few_rows(n, m, policy.minimum_rows)
    if psi is not None and by_chance is not None and not reason:
        is_sure = p_adjusted is not None and p_adjusted <= policy.alpha
        if is_sure and psi - by_chance >= policy.psi:
            verdict = DriftVerdict.DRIFT
        elif cells < 2 or stability_below(psi, policy.psi, cells, n, m) <= policy.alpha:
            verdict = DriftVerdict.NO_DRIFT
        else:
            reason = TOO_FEW
    return Shape(
        reference_rows=n,
        rows=m,
        psi=psi,
        psi_by_chance=by_chance,
        jensen_shannon_distance=distance,
        test=subject.test_name,
        statistic=subject.test.statistic,
        p_value=subject.test.p_value,
        p_adjusted=p_adjusted,
        verdict=verdict,
        reason=reason,
    )
