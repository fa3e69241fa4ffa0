"""Assessment errors. What the statistics cannot read is a `fairness.errors.FairnessError` and passes through.

AssessmentError
├── EmptyTestError              no rows were sent, or a window holds none
├── NoProtectedAttributeError   no row has a protected attribute, or not the one asked for
├── RowCountError               there is not one prediction per row
├── MissingFeaturesError        a row has no features to score and no prediction was sent either
├── UnknownLabelError           a label is none of the classes; names the field and the row, never the value
├── NotAClassifierError         the model answers numbers, which have no favourable label
├── ConflictingReferenceError   a version and an alias were both named, or one of them without a model
├── MissingPredictionError      a row has no prediction
├── ScoresError                 the predictions are scores, not decisions
├── TooManyLabelsError          a window has more labels than are counted apart
├── MissingColumnError          the table lacks a column that was named
├── FlipValueError              a column of the model cannot have a value that a flip test asks for
├── FeaturesNeededError         flips or proxies were asked of rows that a test has no features of
├── NotRecordableError          a test cannot be a gate of this version
├── BiasTestNotFoundError       no test of this id is kept
├── NoReportError               the test is not done, or was measured elsewhere: there is nothing to show
├── TaskQueueFullError          as many tests wait as may; safe to retry
├── DataSetNotFoundError        no data set of this id or name is kept
├── DataSetNameError            a data set cannot be called this
├── DataSetTooLargeError        it has more rows than a data set may have
└── DataSetFormatError          what was uploaded is no table that can be read
"""

from __future__ import annotations

from collections.abc import Sequence


class AssessmentError(Exception):
    """Base of everything this package raises on purpose."""


class EmptyTestError(AssessmentError):
    """No rows were sent, or the window that was named holds none."""

    def __init__(self, remedy: str = "send at least one") -> None:
        super().__init__(f"the bias test has no rows; {remedy}")


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
    """A label is none of the classes; `row` is None where it belongs to no row: the favourable one, and counts."""

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


class MissingPredictionError(AssessmentError):
    """A row has no prediction."""

    def __init__(self, row: int) -> None:
        self.row = row
        super().__init__(f"row {row} has no prediction; a person about whom nothing was decided is in no rate")


class ScoresError(AssessmentError):
    """The predictions are scores, not decisions."""

    def __init__(self) -> None:
        super().__init__("the predictions are scores; apply the threshold first, and send what was decided")


class TooManyLabelsError(AssessmentError):
    """A window has more labels, or outcomes, than are counted apart: who got the favourable one is not known."""

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(
            f"the window has more different {field}s on a day than live traffic is counted by; export the "
            "predictions, join the labels, and test the data set"
        )


class MissingColumnError(AssessmentError):
    """The table lacks a column that was named."""

    def __init__(self, column: str, columns: Sequence[object]) -> None:
        self.column, self.columns = column, tuple(columns)
        known = ", ".join(str(name) for name in self.columns[:30]) + (", …" if len(self.columns) > 30 else "")
        super().__init__(f"the table has no column '{column}'; it has {known}")


class FlipValueError(AssessmentError):
    """A column of the model cannot have a value that a flip test asks for."""

    def __init__(self, attribute: str, reason: str) -> None:
        self.attribute, self.reason = attribute, reason
        super().__init__(f"flip: column '{attribute}' of the model {reason}; name two values that it has")


class FeaturesNeededError(AssessmentError):
    """Flips or proxies were asked of rows that a test has no features of."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        super().__init__(f"{what}: the rows have to come with their features; {remedy}")


class NotRecordableError(AssessmentError):
    """A test cannot be a gate of this version."""

    def __init__(self, version: str, reason: str) -> None:
        self.version, self.reason = version, reason
        super().__init__(f"the test cannot be recorded as a gate of {version}: {reason}")


class BiasTestNotFoundError(AssessmentError):
    """No test of this id is kept."""

    def __init__(self, test_id: str) -> None:
        self.test_id = test_id
        super().__init__(f"no bias test '{test_id[:100]}' is kept; GET /api/v1/bias-tests lists those that are")


class NoReportError(AssessmentError):
    """The test is not done, or was measured elsewhere: there is nothing to show."""

    def __init__(self, test_id: str, reason: str) -> None:
        self.test_id, self.reason = test_id, reason
        super().__init__(f"bias test '{test_id}' has no report: {reason}")


class TaskQueueFullError(AssessmentError):
    """As many tests wait as may; `retry_after` is in seconds."""

    def __init__(self, limit: int, retry_after: float) -> None:
        self.limit, self.retry_after = limit, retry_after
        super().__init__(
            f"{limit} bias tests wait or run (FAIRMIND_ASSESSMENT_QUEUED_TASKS); ask again when some are done"
        )


class DataSetNotFoundError(AssessmentError):
    """No data set of this id or name is kept."""

    def __init__(self, name: str, reason: str = "") -> None:
        self.name = name
        why = reason or "GET /api/v1/datasets lists those that are, POST uploads one"
        super().__init__(f"no data set '{name[:100]}' is kept; {why}")


class DataSetNameError(AssessmentError):
    """A data set cannot be called this."""

    def __init__(self) -> None:
        super().__init__(
            "a data set's name begins with a letter or digit and has up to 100 of letters, digits, '.', '_' and '-'"
        )


class DataSetTooLargeError(AssessmentError):
    """It has more rows than a data set may have."""

    def __init__(self, rows: int, limit: int) -> None:
        self.rows, self.limit = rows, limit
        super().__init__(f"the data set has {rows:,} rows, at most {limit:,} (FAIRMIND_ASSESSMENT_DATASET_ROWS)")


class DataSetFormatError(AssessmentError):
    """What was uploaded is no table that can be read."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the upload cannot be read as a table: {reason}")
