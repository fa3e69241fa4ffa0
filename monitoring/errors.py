"""Monitoring errors.

MonitoringError
├── SpoolFullError            the local log may not grow further; nothing is served that cannot be logged
├── LogUnavailableError       the local log cannot be written
├── PredictionNotFoundError   the log has no prediction of this id
├── FeatureStoreError         there is no such place for features
├── ProfileDamagedError       a version's reference profile cannot be read
└── NoProfileError            a version has no reference profile to compare a table with
"""

from __future__ import annotations


class MonitoringError(Exception):
    """Base of everything this package raises on purpose."""


class SpoolFullError(MonitoringError):
    """The local log may not grow further; nothing is served that cannot be logged."""

    def __init__(self, limit_bytes: int, waits_for: str = "the database") -> None:
        self.limit_bytes, self.waits_for = limit_bytes, waits_for
        super().__init__(f"the prediction log's spool is full ({limit_bytes / 1e6:.0f} MB waiting for {waits_for})")


class LogUnavailableError(MonitoringError):
    """The local log cannot be written; `reason` is what the system said."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the prediction log cannot be written ({reason}); see to the disk of FAIRMIND_HOME/spool")


class PredictionNotFoundError(MonitoringError):
    """The log has no prediction of this id."""

    def __init__(self, prediction_id: str) -> None:
        self.prediction_id = prediction_id
        super().__init__(
            f"no prediction '{prediction_id[:100]}' in the log: the id is the one that its answer gave, it may be "
            "too old to be kept (FAIRMIND_MONITORING_RETENTION_DAYS), or wait on another machine to be shipped"
        )


class FeatureStoreError(MonitoringError):
    """There is no such place for features; the setting may hold a secret, and is not quoted."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"FAIRMIND_MONITORING_FEATURES_URI names no place for features ({reason}); "
            "it takes a folder, or a URI such as s3://bucket/prefix"
        )


class ProfileDamagedError(MonitoringError):
    """A version's reference profile cannot be read."""

    def __init__(self, place: str) -> None:
        self.place = place
        super().__init__(f"the reference profile {place} is damaged; fetch the version again, or train it again")


class NoProfileError(MonitoringError):
    """A version has no reference profile to compare a table with."""

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(
            f"{version} was registered without a reference profile, so a table cannot be compared with what it "
            "learned from; train it again, or leave --data out to compare its traffic with the window before"
        )
