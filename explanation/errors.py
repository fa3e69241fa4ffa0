"""Explanation errors.

ExplanationError
├── NotInstalledError        the library that explains is not installed here
├── NotExplainableError      this answer is no number, or nothing is known to compare the row with
├── ExplanationTimeError     the explanation took longer than it may
└── ExplanationBusyError     as many explanations are being made as may; safe to retry
"""

from __future__ import annotations


class ExplanationError(Exception):
    """Base of everything this package raises on purpose."""


class NotInstalledError(ExplanationError):
    """The library that explains is not installed here."""

    def __init__(self) -> None:
        super().__init__(
            "explanations need the library shap, which is not installed here: install the extra `explain` "
            "(pip install 'shap>=0.50'); `make setup` does"
        )


class NotExplainableError(ExplanationError):
    """This answer is no number, or nothing is known to compare the row with; the message says which."""


class ExplanationTimeError(ExplanationError):
    """The explanation took longer than it may."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            f"the model is too slow to be explained in {seconds:g} s (FAIRMIND_EXPLANATION_SECONDS); take fewer "
            "background rows (FAIRMIND_EXPLANATION_BACKGROUND_ROWS)"
        )


class ExplanationBusyError(ExplanationError):
    """As many explanations are being made as may; safe to retry."""

    def __init__(self) -> None:
        super().__init__("another explanation is being made; retry in a moment")
