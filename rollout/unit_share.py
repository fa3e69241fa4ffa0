"""How much of a model's traffic carries a unit: without one, a rollout by units compares nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Engine, func, select

from database.engine import reading
from monitoring.bulk_blocks import iterate_bulk_blocks
from monitoring.tables import BULK_BLOCK, PREDICTION

_MOST_BLOCKS: Final = 100


@dataclass(frozen=True, slots=True)
class UnitShare:
    """Rows of a model, and how many of them carry a unit."""

    rows: int
    with_unit: int

    @property
    def share(self) -> float | None:
        """The part that carries one, 0 to 1; None without any rows."""
        return self.with_unit / self.rows if self.rows else None


def unit_share(engine: Engine, model: str, since: datetime, until: datetime) -> UnitShare:
    """Return how many rows that were served in [since, until) carry a unit.

    Counted are rows that a variant answered, repeats too, and none for which a version was asked for by number.
    Of requests that are logged as one block, which have to be unpacked, the newest hundred are counted.
    """
    columns, blocks = PREDICTION.c, BULK_BLOCK.c
    single = select(func.count(), func.count(columns.unit_hash)).where(
        columns.model == model,
        columns.served_at >= since,
        columns.served_at < until,
        columns.variant.is_not(None),
    )
    newest = (
        select(BULK_BLOCK)
        .where(blocks.model == model, blocks.served_at >= since, blocks.served_at < until, blocks.variant != "")
        .order_by(blocks.served_at.desc())
        .limit(_MOST_BLOCKS)
    )
    with reading(engine) as connection:
        rows, with_unit = connection.execute(single).one()
        for block in iterate_bulk_blocks(connection, newest):
            rows += len(block.positions)
            with_unit += sum(unit is not None for unit in block.unit_hashes or ())
    return UnitShare(rows, with_unit)
