"""Training errors.

TrainingError
├── ConfigError          the configuration says something that cannot be; names the key
├── DataError            the table cannot be learned from as configured
├── MitigationError      the data or the model does not allow the mitigation; names the attribute and the group
├── EstimatorError       the estimator refuses its parameters or the data
├── ThresholdError       a threshold is not one of 0, 0.001, ... 1
├── DecisionError        no version with another threshold can be made of this one; says what to do instead
├── NotServableError     the trained model has no compiled form that is proven equal; nothing was registered
└── TrackingError        the tracking store refuses or cannot be reached; nothing was registered
"""

from __future__ import annotations


class TrainingError(Exception):
    """Base of everything this package raises on purpose."""


class ConfigError(TrainingError):
    """The configuration says something that cannot be; `key` is the place in it."""

    def __init__(self, where: str, key: str, reason: str) -> None:
        self.where, self.key, self.reason = where, key, reason
        super().__init__(f"{where}: {f'{key}: ' if key else ''}{reason}")


class DataError(TrainingError):
    """The table cannot be learned from as configured."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the data cannot be used: {reason}")


class MitigationError(TrainingError):
    """The data or the model does not allow the mitigation for `attribute`."""

    def __init__(self, attribute: str, reason: str) -> None:
        self.attribute, self.reason = attribute, reason
        super().__init__(f"no mitigation for '{attribute}': {reason}")


class EstimatorError(TrainingError):
    """The estimator `name` refuses its parameters or the data."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"estimator '{name}': {reason}")


class ThresholdError(TrainingError):
    """A threshold is not one of 0, 0.001, ... 1, the steps in which the held-out scores are counted."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        super().__init__(
            f"the threshold {threshold!r} cannot be set: give a number from 0 to 1 with at most three decimals"
        )


class DecisionError(TrainingError):
    """No version with another threshold can be made of the version called `name`."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"no other threshold can be set for {name}: {reason}")


class NotServableError(TrainingError):
    """The trained model has no compiled form that is proven equal to it, so it was not registered."""

    def __init__(self, name: str, reason: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(f"the model trained as '{name}' was not registered: {reason}")


class TrackingError(TrainingError):
    """The tracking store refuses or cannot be reached; `address` never holds a password."""

    def __init__(self, address: str, reason: str) -> None:
        self.address, self.reason = address, reason
        super().__init__(f"the tracking store at {address} did not take the run: {reason}")
