"""The columns of a bias test, checked and measured: one path for requests and for live traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from assessment.errors import EmptyTestError, MissingPredictionError, RowCountError, ScoresError, UnknownLabelError
from assessment.request import Label
from assessment.result import BiasTestResult, DataSource
from fairness.gate import BiasPolicy, default_policy
from fairness.groups import is_missing
from fairness.report import BiasReport, measure

_MOST_LABELS = 50
"""More distinct predictions than this, fractions among them, are scores."""


@dataclass(frozen=True, slots=True)
class BiasTestColumns:
    """N rows as columns: what was decided, what turned out to be true (None where unknown), and for whom."""

    predictions: Sequence[Any]
    outcomes: Sequence[Any]
    protected: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tested, where its decisions came from, and under which name the test is kept."""

    model: str | None
    model_version: str | None
    source: DataSource
    test_id: str
    created_at: datetime
    notes: tuple[str, ...] = ()


def assess_columns(
    subject: Subject,
    columns: BiasTestColumns,
    *,
    favourable: Label,
    classes: Sequence[Any] = (),
    policy: BiasPolicy | None = None,
    alpha: float = 0.05,
    minimum_rows: int = 30,
    generator: np.random.Generator | None = None,
) -> BiasTestResult:
    """Return the bias test of columns, wherever they came from.

    Raises:
        EmptyTestError, RowCountError, UnknownLabelError, MissingPredictionError, ScoresError: The columns cannot be
            tested as they are.
        FairnessError: They cannot be measured.
    """
    report, policy_used, notes = measure_columns(
        columns,
        favourable=favourable,
        classes=classes,
        policy=policy,
        alpha=alpha,
        minimum_rows=minimum_rows,
        generator=generator,
    )
    return BiasTestResult(
        test_id=subject.test_id,
        model=subject.model,
        model_version=subject.model_version,
        created_at=subject.created_at,
        source=subject.source,
        rows=report.rows,
        favourable=favourable,
        verdict=report.verdict,
        attributes=report.attributes,
        policy=policy_used,
        alpha=report.alpha,
        minimum_rows=report.minimum_rows,
        notes=(*notes, *subject.notes),
    )


def measure_columns(
    columns: BiasTestColumns,
    *,
    favourable: Label,
    classes: Sequence[Any] = (),
    policy: BiasPolicy | None = None,
    alpha: float = 0.05,
    minimum_rows: int = 30,
    generator: np.random.Generator | None = None,
) -> tuple[BiasReport, BiasPolicy, tuple[str, ...]]:
    """Return the report, the policy it was judged by and what a reader should know about the rows.

    Raises:
        EmptyTestError, RowCountError, UnknownLabelError, MissingPredictionError, ScoresError: The columns cannot be
            tested as they are.
        FairnessError: They cannot be measured.
    """
    rows = len(columns.outcomes)
    if not rows:
        raise EmptyTestError
    if len(columns.predictions) != rows:
        raise RowCountError(len(columns.predictions), rows)
    known = [outcome for outcome in columns.outcomes if outcome is not None]
    _check_labels(columns, favourable, classes)
    policy_used = policy if policy is not None else default_policy(columns.protected, outcomes=bool(known))
    report = measure(
        columns.protected,
        columns.outcomes if known else None,
        columns.predictions,
        favourable,
        policy_used,
        alpha=alpha,
        minimum_rows=minimum_rows,
        classes=classes,
        generator=generator,
    )
    notes = []
    if not known:
        notes.append("no outcomes are known: how often groups are selected is measured, not how often wrongly")
    elif len(known) < rows:
        notes.append(f"{rows - len(known)} of {rows} rows have no outcome; they count for the selection rate only")
    return report, policy_used, tuple(notes)


def _check_labels(columns: BiasTestColumns, favourable: Label, classes: Sequence[Any]) -> None:
    """Refuse labels that can never match: 1 beside '1' would look like a model that is always wrong."""
    if classes and favourable not in classes:
        raise UnknownLabelError("favourable", classes)
    # Without a model the labels are those that were predicted, and the favourable one.
    labels = tuple(classes) or tuple(dict.fromkeys((*columns.predictions, favourable)))
    if any(is_missing(label) for label in labels):
        raise MissingPredictionError(next(i for i, label in enumerate(columns.predictions) if is_missing(label)))
    fractions = (isinstance(label, float) and label % 1 for label in labels)
    if not classes and len(labels) > _MOST_LABELS and any(fractions):
        raise ScoresError
    allowed = set(labels)
    if classes:
        _check_column("prediction", columns.predictions, allowed, labels)
        _check_column("outcome", columns.outcomes, allowed, labels)
    elif allowed.isdisjoint(columns.outcomes):
        # An outcome may be a label that was never predicted; text beside numbers is another spelling of one.
        kinds = {isinstance(outcome, str) for outcome in columns.outcomes if outcome is not None}
        if kinds.isdisjoint(isinstance(label, str) for label in labels):
            _check_column("outcome", columns.outcomes, allowed, labels)


def _check_column(field: str, values: Sequence[Any], allowed: set[Any], labels: Sequence[Any]) -> None:
    for row, value in enumerate(values):
        if value is not None and value not in allowed:
            raise UnknownLabelError(field, labels, row)
