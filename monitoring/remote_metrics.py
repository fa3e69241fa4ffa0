"""What is counted of the calls of one remote version; implements `remotes.observer.RemoteObserver`."""

from __future__ import annotations

from monitoring.metrics import REMOTE_BREAKERS, REMOTE_CALLS, REMOTE_DURATION, ServingMetrics


class RemoteMetrics:
    """The metrics of one remote version in one worker."""

    def __init__(self, metrics: ServingMetrics, model: str, version: str) -> None:
        self._metrics, self._labels = metrics, (model, version)
        self._seconds = metrics.histogram(REMOTE_DURATION, *self._labels)
        metrics.shift(REMOTE_BREAKERS, *self._labels, by=0)

    def called(self, outcome: str, seconds: float) -> None:
        """Count a call by what became of it, and the seconds that it took."""
        self._metrics.count(REMOTE_CALLS, *self._labels, outcome)
        self._seconds.observe(seconds)

    def rested(self) -> None:
        """Count a request that was turned away without a call."""
        self._metrics.count(REMOTE_CALLS, *self._labels, "rested")

    def breaker_changed(self, *, is_open: bool) -> None:
        """Note whether this worker leaves the server alone."""
        self._metrics.shift(REMOTE_BREAKERS, *self._labels, by=1 if is_open else -1)
