"""What the log was told of predictions, by their ids and by those that callers gave their rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, select

from monitoring.tables import OUTCOME, PROTECTED_ATTRIBUTE

_IDS_PER_STATEMENT: Final = 5_000

Told = tuple[int, Any]
"""An outcome, with the place of its row in `OUTCOME`: of two, the one with the higher place counts."""


def outcomes_by_id(connection: Connection, ids: Sequence[str]) -> dict[str, Told]:
    """Return what was told last of each prediction by its id."""
    return _last_told(connection, select(OUTCOME.c.prediction_id), OUTCOME.c.prediction_id, ids)


def outcomes_by_caller(connection: Connection, model: str, caller_ids: Sequence[str]) -> dict[str, Told]:
    """Return what was told last of the rows that callers gave an id, by that id."""
    statement = select(OUTCOME.c.caller_id).where(OUTCOME.c.model == model)
    return _last_told(connection, statement, OUTCOME.c.caller_id, caller_ids)


def _last_told(
    connection: Connection, names: Select[Any], column: ColumnElement[Any], wanted: Sequence[str]
) -> dict[str, Told]:
    found: dict[str, Told] = {}
    for some in _chunks(wanted):
        statement = names.add_columns(OUTCOME.c.id, OUTCOME.c.outcome).where(column.in_(some))
        for name, outcome_id, outcome in connection.execute(statement.order_by(OUTCOME.c.id)):
            found[name] = outcome_id, outcome  # the last one counts
    return found


def protected_by_id(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """Return the protected attributes that are kept by prediction id."""
    found: defaultdict[str, dict[str, str | None]] = defaultdict(dict)
    columns = PROTECTED_ATTRIBUTE.c
    for some in _chunks(ids):
        statement = select(columns.prediction_id, columns.attribute, columns.value)
        for name, attribute, value in connection.execute(statement.where(columns.prediction_id.in_(some))):
            found[name][attribute] = value
    return dict(found)


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        yield ids[start : start + _IDS_PER_STATEMENT]
