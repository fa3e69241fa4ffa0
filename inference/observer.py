"""What the batcher tells whoever keeps the metrics."""

from __future__ import annotations

from typing import Protocol


class BatchObserver(Protocol):
    """Hears of batches; implementations must be quick and must not raise."""

    def batch_ran(self, rows: int, longest_wait: float) -> None:
        """A batch of `rows` rows ran; its oldest request had waited `longest_wait` seconds."""
        ...

    def queue_changed(self, rows: int) -> None:
        """The queue now holds `rows` rows."""
        ...


class SilentObserver:
    """Keeps nothing."""

    def batch_ran(self, rows: int, longest_wait: float) -> None:
        """Ignore the batch."""

    def queue_changed(self, rows: int) -> None:
        """Ignore the change."""
