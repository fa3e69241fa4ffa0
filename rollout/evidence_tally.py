"""What a batch of rows adds to a rollout's evidence, written in the transaction that is told of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from enum import IntEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select, update

from database.engine import insert_or_add, insert_or_ignore
from fairness.groups import UNKNOWN
from rollout.evidence_tables import ROLLOUT_CELL, ROLLOUT_COUNT, ROLLOUT_WATERMARK
from rollout.guardrail import Guardrail, Stage
from rollout.observations import OTHER, Observation, group_of
from rollout.plan import Plan

MOST_GROUPS: Final = 100
"""Groups of one attribute that a rollout tells apart; the plan's own are always among them."""
_LONGEST_GROUP: Final = 200

_CELL_KEY: Final = tuple(column.name for column in ROLLOUT_CELL.primary_key)
_COUNT_KEY: Final = tuple(column.name for column in ROLLOUT_COUNT.primary_key)
_COUNTED: Final = ("assigned", "completed", "due", "labelled", "crossed")


class Count(IntEnum):
    """What is counted of units, by its place in `ROLLOUT_COUNT`."""

    ASSIGNED = 0
    COMPLETED = 1
    DUE = 2
    LABELLED = 3
    CROSSED = 4


class Where(NamedTuple):
    """What units and observations are counted of; `epoch` is that of the serving state."""

    rollout_id: str
    epoch: int
    arm: str


class EvidenceTally:
    """Adds up observations and units; nothing is in the database before `write`."""

    def __init__(self) -> None:
        self._cells: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(lambda: [0, 0.0, 0.0])
        self._counts: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * len(_COUNTED))
        self._watermarks: dict[str, datetime] = {}

    def count(self, where: Where, what: Collection[Count], groups: Mapping[str, str]) -> None:
        """Count a unit, over all and in the group of each attribute."""
        for place in what:
            self._counts[*where, "", ""][place] += 1
            for attribute, group in groups.items():
                self._counts[*where, attribute, group][place] += 1

    def observe(
        self,
        where: Where,
        guardrails: Sequence[Guardrail],
        groups: Mapping[str, str],
        of: Callable[[Guardrail], Observation | None],
    ) -> None:
        """Add what one row says of some guardrails."""
        rollout_id, epoch, arm = where
        for guardrail in guardrails:
            found = of(guardrail)
            if found is not None:
                part, value = found
                sums = self._cells[rollout_id, guardrail.name, epoch, arm, part, group_of(guardrail, groups)]
                sums[0] += 1
                sums[1] += value
                sums[2] += value * value

    def saw(self, rollout_id: str, served_at: datetime) -> None:
        """Move the watermark to a row that was served later."""
        known = self._watermarks.get(rollout_id)
        if known is None or served_at > known:
            self._watermarks[rollout_id] = served_at

    def write(self, connection: Connection) -> None:
        """Add all of it to what the database has."""
        cells = [
            dict(zip(_CELL_KEY, key, strict=True)) | {"n": n, "total": total, "squares": squares}
            for key, (n, total, squares) in sorted(self._cells.items())
        ]
        counts = [
            dict(zip((*_COUNT_KEY, *_COUNTED), (*key, *values), strict=True))
            for key, values in sorted(self._counts.items())
        ]
        for table, rows in ((ROLLOUT_CELL, cells), (ROLLOUT_COUNT, counts)):
            if rows:
                connection.execute(insert_or_add(connection, table), rows)
        for rollout_id, served_at in sorted(self._watermarks.items()):
            row = {"rollout_id": rollout_id, "served_at": served_at}
            connection.execute(insert_or_ignore(connection.engine, ROLLOUT_WATERMARK), row)
            columns = ROLLOUT_WATERMARK.c
            older = update(ROLLOUT_WATERMARK).where(columns.rollout_id == rollout_id, columns.served_at < served_at)
            connection.execute(older.values(served_at=served_at))


class KnownGroups:
    """The groups that a rollout tells apart: those of its plan, and the first others that come.

    Read anew in each transaction, so that whoever counts tells the same ones apart. None and the empty text
    are `unknown`.
    """

    def __init__(self, connection: Connection, plan: Plan, rollout_id: str) -> None:
        self._kept: defaultdict[str, set[str]] = defaultdict(set)
        self._plans: defaultdict[str, set[str]] = defaultdict(lambda: {UNKNOWN, OTHER})
        self._attributes = plan.attributes
        if not self._attributes:
            return
        for guardrail in plan.watched:
            if guardrail.attribute is not None:
                self._plans[guardrail.attribute].update(guardrail.groups or ())
        columns = ROLLOUT_COUNT.c
        known = select(columns.attribute, columns.group).where(columns.rollout_id == rollout_id).distinct()
        for attribute, group in connection.execute(known):
            self._kept[attribute].add(group)

    def of(self, attributes: Mapping[str, str | None]) -> dict[str, str]:
        """Return the group that each of the plan's attributes puts a row in."""
        return {attribute: self._fit(attribute, attributes.get(attribute)) for attribute in self._attributes}

    def _fit(self, attribute: str, value: str | None) -> str:
        if not value:
            return UNKNOWN
        kept = self._kept[attribute]
        if value in kept or value in self._plans[attribute]:
            return value
        if len(kept) >= MOST_GROUPS or len(value) > _LONGEST_GROUP:
            return OTHER
        kept.add(value)
        return value


def guardrails_at(plan: Plan, stage: Stage) -> tuple[Guardrail, ...]:
    """Return what is counted at a stage, of guardrails and goals."""
    return tuple(one for one in plan.watched if one.counted is stage)
