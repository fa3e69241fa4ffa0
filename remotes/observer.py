"""What the calls of a remote tell whoever keeps the metrics."""

from __future__ import annotations

from typing import Protocol


class RemoteObserver(Protocol):
    """Hears of calls; implementations must be quick and must not raise."""

    def called(self, outcome: str, seconds: float) -> None:
        """A call ended so after so many seconds: answered, refused, unavailable, timeout, error or mismatch."""
        ...

    def rested(self) -> None:
        """A request was turned away without a call: the breaker is open."""
        ...

    def breaker_changed(self, *, is_open: bool) -> None:
        """The breaker opened, or closed."""
        ...


class SilentRemoteObserver:
    """Keeps nothing."""

    def called(self, outcome: str, seconds: float) -> None:
        """Ignore the call."""

    def rested(self) -> None:
        """Ignore the request."""

    def breaker_changed(self, *, is_open: bool) -> None:
        """Ignore the breaker."""
