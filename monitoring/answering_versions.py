"""Which version the newest answers came from, as the log has it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, or_, select

from database.engine import reading
from monitoring.tables import PREDICTION


def last_reported(log: Engine, model: str, version: str, since: datetime) -> str | None:
    """Return what a remote version's server said it is in its newest answer since then.

    None where that is the registered version, where it says nothing, and where nothing was answered since.
    """
    row = PREDICTION.c
    asked = or_(row.model_version == version, row.model_version.startswith(f"{version}@", autoescape=True))
    newest = (
        select(row.model_version)
        .where(row.model == model, row.served_at >= since, asked)
        .order_by(row.served_at.desc())
        .limit(1)
    )
    with reading(log) as connection:
        found = connection.execute(newest).scalar()
    return None if found is None else found.partition("@")[2] or None
