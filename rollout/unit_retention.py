"""Forgets the units of rollouts that ended long ago; what was counted of them stays."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, Table, delete, select

from database.engine import reading
from rollout.evidence_tables import ROLLOUT_PAIR, ROLLOUT_UNIT
from rollout.tables import ROLLOUT

_ROWS_AT_ONCE: Final = 2_000


def forget_units(log: Engine, control: Engine, before: datetime) -> int:
    """Delete some thousand rows of units of rollouts that ended before a time; return how many, 0: none is left.

    A running rollout keeps its units however long it takes: one that was forgotten would be counted again.

    Raises:
        SQLAlchemyError: A database is away or failed; the next call goes on.
    """
    with reading(control) as connection:
        ended = select(ROLLOUT.c.id).where(ROLLOUT.c.finished_at < before).order_by(ROLLOUT.c.finished_at)
        finished = list(connection.execute(ended).scalars())
    with reading(log) as connection:
        kept = _first_kept(connection, finished)
    if kept is None:
        return 0
    table, rollout_id = kept
    columns = table.c
    mine = columns.rollout_id == rollout_id
    with log.begin() as connection:
        some = select(columns.unit).where(mine).limit(_ROWS_AT_ONCE)
        return connection.execute(delete(table).where(mine, columns.unit.in_(some))).rowcount


def _first_kept(connection: Connection, rollout_ids: list[str]) -> tuple[Table, str] | None:
    for rollout_id in rollout_ids:
        for table in (ROLLOUT_UNIT, ROLLOUT_PAIR):
            if connection.execute(select(table.c.unit).where(table.c.rollout_id == rollout_id).limit(1)).first():
                return table, rollout_id
    return None
