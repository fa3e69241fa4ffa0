"""Fairness errors.

FairnessError
├── LengthMismatchError      two columns that belong together have different lengths
├── UnusableGroupsError      a protected attribute cannot be read as groups (no scalars, or far too many values)
├── UnseenLabelError         the favourable label is in neither the predictions nor the outcomes
├── UnusableNumbersError     a column of scores or values has something in it that cannot be computed with
├── UnknownReferenceError    the reference group is none of the groups
└── UnknownAttributeError    an attribute is asked for that was not measured
"""

from __future__ import annotations

from collections.abc import Sequence


class FairnessError(Exception):
    """Base of everything this package raises on purpose."""


class LengthMismatchError(FairnessError):
    """Two columns that belong together have different lengths."""

    def __init__(self, column: str, length: int, expected: int) -> None:
        self.column, self.length, self.expected = column, length, expected
        super().__init__(
            f"column '{column}' has {length} rows where the predictions have {expected}; send one per row"
        )


class UnusableGroupsError(FairnessError):
    """A protected attribute cannot be read as groups."""

    def __init__(self, attribute: str, reason: str) -> None:
        self.attribute, self.reason = attribute, reason
        super().__init__(f"protected attribute '{attribute}' {reason}")


class UnseenLabelError(FairnessError):
    """The favourable label is in neither the predictions nor the outcomes, so every rate would be a false 0."""

    def __init__(self) -> None:
        super().__init__(
            "the favourable label occurs in neither the predictions nor the outcomes; "
            "check its value and its type (1 is not '1')"
        )


class UnusableNumbersError(FairnessError):
    """A column of scores or values has something in it that cannot be computed with."""

    def __init__(self, column: str, reason: str, row: int | None = None) -> None:
        self.column, self.reason, self.row = column, reason, row
        where = f"column '{column}'" if row is None else f"row {row} of column '{column}'"
        super().__init__(f"{where} {reason}")


class UnknownReferenceError(FairnessError):
    """The reference group is none of the groups."""

    def __init__(self, attribute: str, reference: str, groups: Sequence[str]) -> None:
        self.attribute, self.reference, self.groups = attribute, reference, tuple(groups)
        known = ", ".join(groups) or "none"
        super().__init__(
            f"reference group '{reference}' is none of the groups of '{attribute}'; there are: {known}"
        )


class UnknownAttributeError(FairnessError):
    """An attribute is asked for, by a policy or otherwise, that was not measured."""

    def __init__(self, attribute: str, measured: Sequence[str]) -> None:
        self.attribute, self.measured = attribute, tuple(measured)
        known = ", ".join(measured) or "none"
        super().__init__(f"protected attribute '{attribute}' was asked for and not sent; measured: {known}")
