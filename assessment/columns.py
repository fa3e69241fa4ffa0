"""The columns of a bias test, checked and measured: one path for requests and for live traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from assessment.errors import EmptyTestError, MissingPredictionError, RowCountError, ScoresError, UnknownLabelError
from assessment.options import Label, MeasuringOptions
from assessment.result import BiasTestResult, DataSource
from fairness.gate import BiasPolicy, default_policy
from fairness.groups import is_missing
from fairness.report import BiasReport, measure

DEFAULTS: Final = MeasuringOptions()

_LONGEST_LABEL = 64
"""Characters; an array of texts has room for the longest in every row."""
_MOST_LABELS = 50
"""More distinct predictions than this, fractions among them, are scores."""


Labels = Sequence[Any] | NDArray[Any]
"""One label per row; arrays of numbers or texts are much quicker than lists."""


@dataclass(frozen=True, slots=True)
class BiasTestColumns:
    """N rows as columns: what was decided, what turned out to be true (None or NaN where unknown), and for whom.

    With `weights` a row stands for that many people who are alike.
    """

    predictions: Labels
    outcomes: Labels
    protected: Mapping[str, Sequence[Any]]
    weights: NDArray[np.int64] | None = None


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
    options: MeasuringOptions = DEFAULTS,
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
        options=options,
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
        families=report.families,
        individual=report.individual,
    )


def measure_columns(
    columns: BiasTestColumns,
    *,
    favourable: Label,
    classes: Sequence[Any] = (),
    options: MeasuringOptions = DEFAULTS,
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
    unknown = missing_labels(columns.outcomes)
    if columns.weights is None:
        known = rows - int(unknown.sum())
    else:
        rows, known = int(columns.weights.sum()), int(columns.weights[~unknown].sum())
    _check_labels(columns, favourable, classes)
    policy = options.policy
    policy_used = policy if policy is not None else default_policy(columns.protected, outcomes=known > 0)
    report = measure(
        columns.protected,
        columns.outcomes if known else None,
        columns.predictions,
        favourable,
        policy_used,
        alpha=options.alpha,
        minimum_rows=options.minimum_rows,
        classes=classes,
        generator=generator,
        edges=options.edges,
        intersections=options.intersections,
        references=options.references,
        fairlearn_compat=options.fairlearn_compat,
        weights=columns.weights,
    )
    notes = []
    if not known:
        notes.append("no outcomes are known: how often groups are selected is measured, not how often wrongly")
    elif known < rows:
        notes.append(f"{rows - known} of {rows} rows have no outcome; they count for the selection rate only")
    return report, policy_used, tuple(notes)


def compact(values: Sequence[Any]) -> Labels:
    """Return labels as an array, where they are of one plain type and none is missing or a long text."""
    kinds = set(map(type, values))
    if kinds in ({int}, {float}, {bool}):
        try:
            return np.array(values, dtype=np.int64 if kinds == {int} else None)
        except OverflowError:  # beyond 64 bits
            return values
    if kinds == {str} and all(len(label) <= _LONGEST_LABEL and "\0" not in label for label in set(values)):
        return np.array(values, dtype=str)
    return values


def missing_labels(values: Labels) -> NDArray[np.bool_]:
    """Return, row by row, whether a label is not known: None or NaN."""
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), dtype=np.bool_)
    return np.fromiter(map(is_missing, values), dtype=np.bool_, count=len(values))


def _check_labels(columns: BiasTestColumns, favourable: Label, classes: Sequence[Any]) -> None:
    """Refuse labels that can never match: 1 beside '1' would look like a model that is always wrong."""
    if classes and favourable not in classes:
        raise UnknownLabelError("favourable", classes)
    undecided = missing_labels(columns.predictions)
    if undecided.any():
        raise MissingPredictionError(int(np.argmax(undecided)))
    predicted, outcomes = _distinct(columns.predictions), _distinct(columns.outcomes)
    # Without a model the labels are those that were predicted, and the favourable one.
    labels = tuple(classes) or tuple(dict.fromkeys((*predicted, favourable)))
    fractions = (isinstance(label, float) and label % 1 for label in labels)
    if not classes and len(labels) > _MOST_LABELS and any(fractions):
        raise ScoresError
    allowed = set(labels)
    if classes:
        _check_column("prediction", columns, predicted, allowed, labels)
        _check_column("outcome", columns, outcomes, allowed, labels)
    elif allowed.isdisjoint(outcomes):
        # An outcome may be a label that was never predicted; text beside numbers is another spelling of one.
        kinds = {isinstance(outcome, str) for outcome in outcomes}
        if kinds.isdisjoint(isinstance(label, str) for label in labels):
            _check_column("outcome", columns, outcomes, allowed, labels)


def _distinct(values: Labels) -> list[Any]:
    """Return the different labels that are known."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        found: list[Any] = np.unique(values[~missing_labels(values)]).tolist()
        return found
    rows = values.tolist() if isinstance(values, np.ndarray) else values
    return [label for label in dict.fromkeys(rows) if not is_missing(label)]


def _check_column(
    field: str, columns: BiasTestColumns, distinct: list[Any], allowed: set[Any], labels: Sequence[Any]
) -> None:
    unknown = {label for label in distinct if label not in allowed}
    if unknown and columns.weights is not None:
        raise UnknownLabelError(field, labels)
    if unknown:
        values = columns.predictions if field == "prediction" else columns.outcomes
        row = next(row for row, value in enumerate(values) if not is_missing(value) and value in unknown)
        raise UnknownLabelError(field, labels, row)
