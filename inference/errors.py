"""Inference errors.

InferenceError
├── SignatureMismatchError    the rows do not fit the model's signature; names row and column
├── EmptyBatchError           no rows were sent
├── MalformedColumnsError     the bytes, table or tensors are not what their format asks for
├── CompileError              this pipeline has no compiled form; says which part
├── ParityError               the compiled runtime does not reproduce the registered model
├── RuntimeLoadError          a stored runtime cannot be loaded (missing, corrupt, unknown format)
├── ModelFailedError          the model raised on rows that fit its signature
├── QueueFullError            the batch queue is full; safe to retry later
├── RowsRefusedError          the model itself refused rows that fit its signature
├── DeadlineExceededError     the deadline passed before the rows ran
│   └── ModelTimeoutError     the model took too long and was given up
└── DrainingError             the batcher is closing and takes no more rows
"""

from __future__ import annotations

from enum import StrEnum


class InferenceError(Exception):
    """Base of everything this package raises on purpose."""


class Mismatch(StrEnum):
    """What is wrong with a row that does not fit; what `fairmind_signature_mismatches_total` counts by."""

    SHAPE = "shape"  # no row at all, or columns of different lengths
    MISSING_COLUMN = "missing_column"
    UNKNOWN_COLUMN = "unknown_column"
    MISSING_VALUE = "missing_value"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"  # infinite, or more than the column's type holds
    UNKNOWN_CATEGORY = "unknown_category"


class SignatureMismatchError(InferenceError):
    """The rows do not fit the model's signature.

    `row` is the 0-based index of the first row at fault (None when the column as a whole is), `column` its name.
    The offending value is never part of the message: it may be personal data.
    """

    def __init__(
        self, reason: str, *, kind: Mismatch = Mismatch.SHAPE, column: str | None = None, row: int | None = None
    ) -> None:
        self.reason, self.kind, self.column, self.row = reason, kind, column, row
        where = [f"row {row}"] if row is not None else []
        where += [f"column '{column}'"] if column is not None else []
        super().__init__(f"{', '.join(where)}: {reason}" if where else reason)

    def at_row(self, row: int) -> SignatureMismatchError:
        """Return the same error with its row counted otherwise."""
        return SignatureMismatchError(self.reason, kind=self.kind, column=self.column, row=row)


class EmptyBatchError(InferenceError):
    """No rows were sent."""

    def __init__(self) -> None:
        super().__init__("the request has no rows; send at least one")


class MalformedColumnsError(InferenceError):
    """The bytes, table or tensors are not what their format asks for; the message names the part, never a value."""


class CompileError(InferenceError):
    """This pipeline has no compiled form; `part` is the step or estimator that stands in the way."""

    def __init__(self, part: str, reason: str) -> None:
        self.part, self.reason = part, reason
        super().__init__(f"cannot compile {part}: {reason}")


class ParityError(InferenceError):
    """The compiled runtime does not reproduce the registered model on the rows compared."""

    def __init__(self, *, decisions_changed: int, largest_difference: float, tolerance: float, rows: int) -> None:
        self.decisions_changed, self.largest_difference = decisions_changed, largest_difference
        self.tolerance, self.rows = tolerance, rows
        super().__init__(
            f"the compiled model differs from the registered one on {rows} rows: {decisions_changed} decisions "
            f"changed, largest probability difference {largest_difference:.3g} (allowed: 0 and {tolerance:g})"
        )


class RuntimeLoadError(InferenceError):
    """A stored runtime cannot be loaded."""

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"cannot load the model stored at {path}: {reason}")


class ModelFailedError(InferenceError):
    """The model raised on rows that fit its signature; the cause is chained and logged, never sent."""

    def __init__(self, model: str, version: str) -> None:
        self.model, self.version = model, version
        super().__init__(f"model '{model}' version {version} failed on these rows")


class QueueFullError(InferenceError):
    """The batch queue is full; `retry_after` is when room is likely, in seconds."""

    def __init__(self, retry_after: float) -> None:
        self.retry_after = retry_after
        super().__init__("overloaded: the batch queue is full; retry later")


class DeadlineExceededError(InferenceError):
    """The deadline passed before the rows ran."""

    def __init__(self, message: str = "the deadline passed before the prediction was made") -> None:
        super().__init__(message)


class RowsRefusedError(InferenceError):
    """The model itself refused rows that fit its signature; what it said is for the client and in no log."""

    def __init__(self, model: str, reason: str) -> None:
        self.model, self.reason = model, reason
        super().__init__(f"model '{model}' refuses these rows: {reason}")


class ModelTimeoutError(DeadlineExceededError):
    """The model took too long and was given up; `seconds` is what it was given."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"the model did not answer within {seconds:.2g} s and was given up")


class DrainingError(InferenceError):
    """The batcher is closing and takes no more rows."""

    def __init__(self) -> None:
        super().__init__("this worker is draining; send the request to another one")
