"""Reads what a rollout's traffic has shown: a few small tables, however many rows were served."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import Connection, select

from rollout.evidence import Cell, CellKey, Evidence, UnitCount, UnitKey
from rollout.evidence_tables import ROLLOUT_CELL, ROLLOUT_COUNT, ROLLOUT_WATERMARK
from rollout.plan import Plan


def read_evidence(connection: Connection, plan: Plan, rollout_id: str, steps: Mapping[int, int]) -> Evidence:
    """Return all that was counted of a rollout so far.

    Args:
        connection: To the prediction log.
        plan: Of the rollout; each of its guardrails and goals has cells, none where nothing was counted.
        rollout_id: Its id.
        steps: Epoch of the serving state -> index of the plan's step. What was served under another epoch is left
            out.
    """
    cells: dict[str, dict[CellKey, Cell]] = {guardrail.name: {} for guardrail in plan.watched}
    counted = (
        select(ROLLOUT_CELL).where(ROLLOUT_CELL.c.rollout_id == rollout_id).order_by(*ROLLOUT_CELL.primary_key)
    )
    for _, name, epoch, arm, part, group, n, total, squares in connection.execute(counted):
        if epoch in steps and name in cells:
            key = CellKey(steps[epoch], arm, part, group)
            cell = Cell(n, total, squares)
            cells[name][key] = cells[name][key] + cell if key in cells[name] else cell
    units: defaultdict[UnitKey, UnitCount] = defaultdict(UnitCount)
    crossed = 0
    found = select(ROLLOUT_COUNT).where(ROLLOUT_COUNT.c.rollout_id == rollout_id)
    for _, epoch, arm, attribute, group, *counts, in_two_arms in connection.execute(found):
        if epoch in steps:
            key_ = UnitKey(steps[epoch], arm, attribute, group)
            units[key_] = UnitCount(*map(sum, zip(units[key_], counts, strict=True)))
            crossed += in_two_arms
    newest = select(ROLLOUT_WATERMARK.c.served_at).where(ROLLOUT_WATERMARK.c.rollout_id == rollout_id)
    watermark = connection.execute(newest).scalar_one_or_none()
    return Evidence(cells=cells, units=dict(units), crossed=crossed, watermark=watermark)
