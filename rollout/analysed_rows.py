"""Which rows of shipped records a plan analyses, and what is known of them beside what they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from monitoring.logged_rows import Attributes, in_chunks, unit_attributes
from monitoring.rows import Rows
from monitoring.tables import PROTECTED_ATTRIBUTE
from rollout.plan import Plan

Shown = tuple[tuple[Any, ...], Rows]
"""A row of a record, and the record."""


def analysed(plan: Plan, shown: Sequence[Shown], unit_place: int) -> Iterator[tuple[str, tuple[Any, ...], Rows]]:
    """Yield the rows that a plan analyses, each with what is taken for its unit; `unit_place` is that of its hash.

    A row without a unit was assigned by itself, and is its own unit. A plan analyses those, or the ones that have
    a unit, and never both.
    """
    by_unit = plan.unit == "unit"
    for row, record in shown:
        unit = row[unit_place]
        if (unit is not None) == by_unit:
            yield unit if by_unit else row[0], row, record


class Answers:
    """The rows of `PREDICTION` that end exposures, found in their records."""

    def __init__(self) -> None:
        self._by_id: dict[int, dict[str, tuple[Any, ...]]] = {}

    def of(self, prediction_id: str, record: Rows) -> tuple[Any, ...] | None:
        """Return the prediction of that id; None where the record has none."""
        rows = record.predictions
        if len(rows) <= 1:
            return rows[0] if rows and rows[0][0] == prediction_id else None
        found = self._by_id.get(id(record))
        if found is None:
            found = self._by_id[id(record)] = {row[0]: row for row in rows}
        return found.get(prediction_id)


def known_attributes(
    connection: Connection,
    plan: Plan,
    asked: Sequence[tuple[str, str | None]],
    own: Mapping[str, Attributes],
) -> Mapping[str, Attributes]:
    """Return protected attributes by prediction id, where the plan compares any groups.

    Args:
        connection: What they are read on.
        plan: Of the rollout.
        asked: Prediction ids, and their units' hashes.
        own: What rows of bulk records say of themselves. What others say stands in the database by now, as it was
            told last.
    """
    if not plan.attributes:
        return {}
    by_unit = unit_attributes(connection, {unit for _, unit in asked if unit is not None})
    found: dict[str, dict[str, str | None]] = {}
    if own or by_unit:
        for id_, unit in asked:
            found[id_] = {**by_unit.get(unit or "", {}), **own.get(id_, {})}
    columns = PROTECTED_ATTRIBUTE.c
    told = select(PROTECTED_ATTRIBUTE).where(columns.attribute.in_(plan.attributes))
    for id_, attribute, value in in_chunks(connection, told, columns.prediction_id, {id_ for id_, _ in asked}):
        found.setdefault(id_, {})[attribute] = value
    return found


def bulk_attributes(records: Iterable[Rows]) -> dict[str, Attributes]:
    """Return what rows of bulk records, which are not in the table of attributes, say of themselves."""
    found: dict[str, dict[str, str | None]] = {}
    for record in {id(record): record for record in records if record.is_bulk}.values():
        for id_, attribute, value in record.protected:
            found.setdefault(id_, {})[attribute] = value
    return dict(found)
