"""Monitoring errors.

MonitoringError
├── SpoolFullError            the local log may not grow further; nothing is served that cannot be logged
└── InvalidOutcomeError       an outcome names no prediction, or nothing at all
"""

from __future__ import annotations


class MonitoringError(Exception):
    """Base of everything this package raises on purpose."""


class SpoolFullError(MonitoringError):
    """The local log may not grow further; nothing is served that cannot be logged."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(
            f"the prediction log's spool is full ({limit_bytes / 1e6:.0f} MB waiting for the database)"
        )


class InvalidOutcomeError(MonitoringError):
    """An outcome names no prediction; `position` is its place in the list sent."""

    def __init__(self, position: int, reason: str) -> None:
        self.position = position
        super().__init__(f"outcome {position}: {reason}")
