"""Refused requests in the database: how many per hour, model and code; kept as records are shipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, func, select

from database.engine import insert_or_add, reading
from monitoring.drift_report import Refused
from monitoring.drift_tables import REFUSAL_COUNT
from monitoring.rows import Rows


class RefusalSink:
    """Adds what records say to the counts, in the transaction that stores them."""

    def shipped(self, connection: Connection, records: Sequence[Rows]) -> None:
        """Take note of records, of which few are of refused requests."""
        counts: Counter[tuple[str, datetime, str]] = Counter()
        for record in records:
            for model, hour, code, requests in record.refused:
                counts[model, hour, code] += requests
        if counts:
            rows = [
                {"model": model, "hour": hour, "code": code, "requests": requests}
                for (model, hour, code), requests in sorted(counts.items())
            ]
            connection.execute(insert_or_add(connection, REFUSAL_COUNT), rows)


def refused_requests(engine: Engine, model: str, *, since: datetime, until: datetime) -> Refused:
    """Return how many requests of a model were refused in the hours that begin in [since, until), and why."""
    columns = REFUSAL_COUNT.c
    of_window = (columns.model == model, columns.hour >= since, columns.hour < until)
    statement = select(columns.code, func.sum(columns.requests)).where(*of_window).group_by(columns.code)
    with reading(engine) as connection:
        codes = {code: int(requests) for code, requests in connection.execute(statement.order_by(columns.code))}
    return Refused(requests=sum(codes.values()), codes=codes)
