"""A rollout one of whose versions is answered by a server that changed."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Engine, select

from rollout.holds import Hold
from rollout.outside_holds import hold, let_go
from rollout.tables import ROLLOUT

_BACK: Final = "the remote server answers with the registered version again"


def hold_changed(engine: Engine, rollout_id: str, problem: str | None, now: datetime) -> None:
    """Hold the rollout while a remote server answers with another version, as `problem` says; None: none does."""
    with engine.begin() as connection:
        row = connection.execute(select(ROLLOUT).where(ROLLOUT.c.id == rollout_id)).one()
        if row.finished_at is not None:
            return
        if problem is None:
            let_go(connection, row, Hold.REMOTE_CHANGED, _BACK, now)
        else:
            hold(connection, row, Hold.REMOTE_CHANGED, problem, now)
