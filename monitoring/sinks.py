"""What is told of rows on their way into the prediction log, inside the transaction that stores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection

from monitoring.rows import Rows


class Sink(Protocol):
    """Keeps tables of its own beside the log: counts of windows, evidence of rollouts.

    Each record is shown once, in the transaction that stores it: what a sink writes on that connection is there
    exactly when the record is. A sink reads no other connection, and what it raises keeps the records out of the
    log, to be tried again.
    """

    def shipped(self, connection: Connection, records: Sequence[Rows]) -> None:
        """Take note of records, in the order in which they were served by each worker."""
        ...
