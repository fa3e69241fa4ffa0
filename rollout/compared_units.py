"""The units of a rollout as they are exposed: which prediction of each is analysed, and whether it changed arms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, select

from database.engine import insert_or_fill
from database.row_insert import RowInsert
from monitoring.logged_rows import in_chunks
from rollout.evidence_tables import ROLLOUT_UNIT
from rollout.plan import Plan

_KEY: Final = len(ROLLOUT_UNIT.primary_key)
_CHANGING: Final = ("arm", *(name for name in ROLLOUT_UNIT.c.keys()[_KEY:] if name != "arm"))
"""What may change of a unit; its arm, which is never null, before the others."""


@dataclass(slots=True)
class ComparedUnit:
    """A row of `ROLLOUT_UNIT` but for its key."""

    arm: str
    epoch: int
    prediction_id: str | None
    first_at: datetime
    due_at: datetime | None
    completed: bool
    crossed: bool
    seen_epoch: int
    seen_arm: str


class Exposure(NamedTuple):
    """A row of `monitoring.tables.EXPOSURE` as far as units are concerned; `status` is None when it begins.

    `is_repeat` says that the caller sent the row before; that is known only with its answer.
    """

    prediction_id: str
    epoch: int
    arm: str
    served_at: datetime
    status: str | None
    is_repeat: bool = False


class Step(NamedTuple):
    """What an exposure changed: whether its unit was not known before, was answered or failed, and crossed.

    `arm` and `epoch` are those that the unit is counted in.
    """

    arm: str
    epoch: int
    is_new: bool
    is_completed: bool
    is_crossed: bool


class ComparedUnits:
    """The units of one rollout that a batch of exposures is about, in a transaction.

    Of each unit the first prediction counts that is no repeat, in the order in which the log is told of them. What
    comes later changes nothing, but for a second arm in one epoch.

    Args:
        connection: What is read on, at once.
        plan: Of the rollout.
        rollout_id: Its id.
        keys: The units.
        waits_for_outcome: Whether any guardrail does.
    """

    def __init__(
        self, connection: Connection, plan: Plan, rollout_id: str, keys: Iterable[str], *, waits_for_outcome: bool
    ) -> None:
        self._rollout_id = rollout_id
        self._maturity: timedelta | None = plan.label_maturity if waits_for_outcome else None
        columns = ROLLOUT_UNIT.c
        statement = select(columns.unit, *list(columns)[_KEY:]).where(columns.rollout_id == rollout_id)
        self._units = {
            key: ComparedUnit(*row) for key, *row in in_chunks(connection, statement, columns.unit, keys)
        }
        self._changed: dict[str, ComparedUnit] = {}

    def take(self, key: str, shown: Exposure) -> Step | None:
        """Take note of an exposure of a unit; None where nothing is to be counted."""
        unit = self._units.get(key)
        if shown.is_repeat:
            if unit is not None and unit.prediction_id == shown.prediction_id and not unit.completed:
                unit.prediction_id = unit.due_at = None
                self._changed[key] = unit
            return None
        is_new = unit is None
        if unit is None:
            unit = self._units[key] = self._begun(shown)
            self._changed[key] = unit
        is_crossed = not is_new and self._crosses(key, unit, shown)
        if unit.prediction_id is None:
            begun = self._begun(shown)
            unit.arm, unit.epoch, unit.prediction_id = begun.arm, begun.epoch, begun.prediction_id
            unit.first_at, unit.due_at = begun.first_at, begun.due_at
            self._changed[key] = unit
        is_completed = shown.status is not None and not unit.completed and unit.prediction_id == shown.prediction_id
        if is_completed:
            unit.completed = True
            self._changed[key] = unit
        if not (is_new or is_completed or is_crossed):
            return None
        return Step(unit.arm, unit.epoch, is_new, is_completed, is_crossed)

    def changed(self) -> list[tuple[Any, ...]]:
        """Return the rows of `ROLLOUT_UNIT` that are new or different."""
        return [
            (
                self._rollout_id,
                key,
                unit.arm,
                unit.epoch,
                unit.prediction_id,
                unit.first_at,
                unit.due_at,
                unit.completed,
                unit.crossed,
                unit.seen_epoch,
                unit.seen_arm,
            )
            for key, unit in self._changed.items()
        ]

    def _begun(self, shown: Exposure) -> ComparedUnit:
        return ComparedUnit(
            arm=shown.arm,
            epoch=shown.epoch,
            prediction_id=shown.prediction_id,
            first_at=shown.served_at,
            due_at=None if self._maturity is None else shown.served_at + self._maturity,
            completed=False,
            crossed=False,
            seen_epoch=shown.epoch,
            seen_arm=shown.arm,
        )

    def _crosses(self, key: str, unit: ComparedUnit, shown: Exposure) -> bool:
        """Return whether a unit is seen in a second arm of one epoch for the first time."""
        is_crossed = not unit.crossed and (
            (unit.epoch == shown.epoch and unit.arm != shown.arm)
            or (unit.seen_epoch == shown.epoch and unit.seen_arm != shown.arm)
        )
        if is_crossed:
            unit.crossed = True
            self._changed[key] = unit
        if shown.epoch > unit.seen_epoch:
            unit.seen_epoch, unit.seen_arm = shown.epoch, shown.arm
            self._changed[key] = unit
        return is_crossed


def unit_rows(engine: Engine) -> RowInsert:
    """Return what writes rows of `ROLLOUT_UNIT`, new ones and those that changed."""
    return RowInsert(engine, ROLLOUT_UNIT, insert_or_fill(engine, ROLLOUT_UNIT, _CHANGING))
