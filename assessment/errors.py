"""Assessment errors. What the statistics cannot read is a `fairness.errors.FairnessError` and passes through.

AssessmentError
├── EmptyTestError              no rows were sent
├── NoProtectedAttributeError   no row has a protected attribute, or not the one asked for
├── RowCountError               there is not one prediction per row
├── MissingFeaturesError        a row has no features to score and no prediction was sent either
├── UnknownLabelError           a label is none of the classes; names the field and the row, never the value
├── NotAClassifierError         the model answers numbers, which have no favourable label
└── ConflictingReferenceError   a version and an alias were both named, or one of them without a model
"""

from __future__ import annotations

from collections.abc import Sequence


class AssessmentError(Exception):
    """Base of everything this package raises on purpose."""


class EmptyTestError(AssessmentError):
    """No rows were sent."""

    def __init__(self) -> None:
        super().__init__("the bias test has no rows; send at least one")


class NoProtectedAttributeError(AssessmentError):
    """No row has a protected attribute, or not the one asked for."""

    def __init__(self, attribute: str | None = None, sent: Sequence[str] = ()) -> None:
        self.attribute, self.sent = attribute, tuple(sent)
        if attribute is None:
            super().__init__("no row has a protected attribute; send `protected` with each row")
        else:
            known = ", ".join(sent) or "none"
            super().__init__(f"no row has the protected attribute '{attribute}'; sent: {known}")


class RowCountError(AssessmentError):
    """There is not one prediction per row."""

    def __init__(self, predictions: int, rows: int) -> None:
        self.predictions, self.rows = predictions, rows
        super().__init__(f"{predictions} predictions for {rows} rows; send one prediction per row, or none at all")


class MissingFeaturesError(AssessmentError):
    """A row has no features to score and no prediction was sent either."""

    def __init__(self, row: int) -> None:
        self.row = row
        super().__init__(f"row {row} has no features; send `features` with each row, or `predictions`")


class UnknownLabelError(AssessmentError):
    """A label is none of the classes; `row` is None for the favourable label, which belongs to no row."""

    def __init__(self, field: str, classes: Sequence[object], row: int | None = None) -> None:
        self.field, self.classes, self.row = field, tuple(classes), row
        where = f"the {field} label" if row is None else f"row {row}: the {field}"
        known = ", ".join(repr(label) for label in self.classes[:10]) + (", …" if len(self.classes) > 10 else "")
        super().__init__(f"{where} is none of the classes ({known}); check its value and its type (1 is not '1')")


class NotAClassifierError(AssessmentError):
    """The model answers numbers, which have no favourable label."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"model '{model}' is a regressor; a bias test needs labels, send thresholded `predictions`"
        )


class ConflictingReferenceError(AssessmentError):
    """A version and an alias were both named, or one of them without a model."""

    def __init__(self) -> None:
        super().__init__("name a model with a version or with an alias, not both, and neither without a model")
