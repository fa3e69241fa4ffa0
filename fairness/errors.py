"""Fairness errors.

FairnessError
├── LengthMismatchError      two columns that belong together have different lengths
├── UnusableGroupsError      a protected attribute cannot be read as groups (no scalars, or far too many values)
├── UnseenLabelError         the favourable label is in neither the predictions nor the outcomes
└── UnknownAttributeError    the policy names an attribute that was not measured
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


class UnknownAttributeError(FairnessError):
    """The policy names an attribute that was not measured."""

    def __init__(self, attribute: str, measured: Sequence[str]) -> None:
        self.attribute, self.measured = attribute, tuple(measured)
        known = ", ".join(measured) or "none"
        super().__init__(f"the policy has a tolerance for '{attribute}', which was not sent; measured: {known}")
