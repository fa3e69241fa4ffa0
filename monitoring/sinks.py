"""What is told of rows on their way into the prediction log, inside the transaction that stores them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa
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


class ArchiveSink(Protocol):
    """Keeps tables of its own of what the features of logged rows were: counts of drift.

    Each row whose features are kept is shown once, in the transaction that registers the file it is in; what a
    sink raises keeps the file out, to be tried again. Merging files shows nobody anything.
    """

    def archived(self, connection: Connection, model: str, model_version: str, table: pa.Table) -> None:
        """Take note of rows of one model version; `monitoring.feature_table` says what columns they have."""
        ...
