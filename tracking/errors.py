"""Tracking errors.

TrackingServiceError
├── TrackingDisabledError     MLOPS_PROVIDER names no provider, or not the one asked for
├── UnknownProviderError      there is no provider of that name
├── RunNotFoundError          the provider knows no such run, or the run has no address
├── OutboxFullError           as many results wait as may: the new one is not taken
├── ProviderUnavailableError  the provider does not answer, or not as it should; safe to retry
└── RecordRefusedError        the provider will never take this record
"""

from __future__ import annotations


class TrackingServiceError(Exception):
    """Base of everything this package raises on purpose."""


class TrackingDisabledError(TrackingServiceError):
    """No provider is enabled, or not the one asked for."""

    def __init__(self, provider: str | None = None) -> None:
        self.provider = provider
        what = "no MLOps provider is enabled" if provider is None else f"{provider} is not enabled"
        super().__init__(f"{what}; set MLOPS_PROVIDER to wandb, mlflow or both, and start again")


class UnknownProviderError(TrackingServiceError):
    """There is no provider of that name."""

    def __init__(self) -> None:
        super().__init__("the provider is wandb or mlflow")


class RunNotFoundError(TrackingServiceError):
    """The provider knows no such run, or the run has no address; the message says which."""

    def __init__(self, provider: str, reason: str) -> None:
        self.provider = provider
        super().__init__(f"{provider}: {reason}")


class OutboxFullError(TrackingServiceError):
    """As many results wait as may: the new one is not taken."""

    def __init__(self, what: str, setting: str) -> None:
        super().__init__(f"{what} wait for their provider, which is the limit ({setting})")


class ProviderUnavailableError(TrackingServiceError):
    """The provider does not answer, or not as it should; safe to retry."""

    def __init__(self, provider: str, reason: str) -> None:
        self.provider, self.reason = provider, reason
        super().__init__(f"{provider}: {reason}")


class RecordRefusedError(TrackingServiceError):
    """The provider will never take this record."""

    def __init__(self, provider: str, reason: str) -> None:
        self.provider, self.reason = provider, reason
        super().__init__(f"{provider} refuses the result: {reason}")
