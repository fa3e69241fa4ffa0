"""Logged predictions as far as windows count them: found by any of their names, with their groups and outcomes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import repeat
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, select

from monitoring.bulk_blocks import BulkBlock, read_bulk_blocks
from monitoring.tables import OUTCOME, PREDICTION, PROTECTED_ATTRIBUTE, UNIT_ATTRIBUTE
from monitoring.window_buckets import Buckets
from monitoring.window_cells import NOT_KNOWN, Cell, Tally, amount_of, groups_of, label_of

Caller = tuple[str, str]
"""A model, and what the caller calls a row of it."""
Attributes = Mapping[str, str | None]

ROW_COLUMNS: Final = (
    PREDICTION.c.prediction_id,
    PREDICTION.c.served_at,
    PREDICTION.c.model,
    PREDICTION.c.model_version,
    PREDICTION.c.variant,
    PREDICTION.c.unit_hash,
    PREDICTION.c.caller_id,
    PREDICTION.c.prediction,
    PREDICTION.c.score,
)
"""What `as_row` takes."""

_NAMES_PER_STATEMENT: Final = 5_000


@dataclass(frozen=True, slots=True)
class CountedRow:
    """A served row that a window counts, `served_at` in seconds since 1970."""

    prediction_id: str
    served_at: float
    model: str
    model_version: str
    variant: str
    unit_hash: str | None
    caller_id: str | None
    prediction: Any
    has_score: bool
    own: Attributes = field(default_factory=dict)
    """Protected attributes that stand in its block, where it is of a bulk record."""

    def cell(self, buckets: Buckets, attributes: Attributes, outcome: Any) -> Cell:
        """Return where it is counted; an outcome of None has not come yet."""
        return Cell(
            *buckets.find(self.served_at),
            self.model,
            self.model_version,
            self.variant,
            groups_of(attributes),
            label_of(self.prediction, has_score=self.has_score),
            NOT_KNOWN if outcome is None else label_of(outcome, has_score=self.has_score),
        )


@dataclass(slots=True)
class Told:
    """What is known of rows beside what was logged with them, by prediction id."""

    attributes: dict[str, dict[str, str | None]] = field(default_factory=dict)
    outcomes: dict[str, Any] = field(default_factory=dict)

    def of(self, row: CountedRow) -> tuple[Attributes | None, Any, type]:
        """Return what is known of one row; true is another outcome than 1."""
        outcome = self.outcomes.get(row.prediction_id)
        return self.attributes.get(row.prediction_id), outcome, type(outcome)


def find_rows(
    connection: Connection,
    buckets: Buckets,
    *,
    ids: Iterable[str] = (),
    callers: Iterable[Caller] = (),
    units: Iterable[str] = (),
) -> dict[str, CountedRow]:
    """Return the rows of these names by their id.

    Left out are rows that no window counts, repeats and those whose version was asked for by number, and rows that
    are moved no more. Rows of bulk records are found by their ids only.
    """
    columns = PREDICTION.c
    wanted = set(ids)
    rows = {row.prediction_id: row for row in _read(connection, buckets, columns.prediction_id, wanted)}
    rows |= {row.prediction_id: row for row in _read(connection, buckets, columns.unit_hash, units)}
    by_model: defaultdict[str, set[str]] = defaultdict(set)
    for model, caller_id in callers:
        by_model[model].add(caller_id)
    for model, caller_ids in sorted(by_model.items()):
        found = _read(connection, buckets, columns.caller_id, caller_ids, columns.model == model)
        rows |= {row.prediction_id: row for row in found}
    blocks = read_bulk_blocks(connection, {id_.rpartition("-")[0] for id_ in wanted - rows.keys()})
    for block in (block for found in blocks.values() for block in found):
        rows |= {
            row.prediction_id: row
            for row in bulk_rows(block)
            if row.prediction_id in wanted and row.served_at >= buckets.frozen_until
        }
    return rows


def bulk_rows(block: BulkBlock) -> Iterator[CountedRow]:
    """Yield the rows of a block; none where their version was asked for by number.

    They have no unit: attributes that are told of units are not looked for in blocks, and would be known of some.
    """
    if block.variant is None:
        return
    served_at = block.served_at.timestamp()
    protected = repeat(None) if block.protected is None else block.protected
    scores = repeat(None) if block.scores is None else block.scores
    for id_, prediction, score, own in zip(
        block.prediction_ids(), block.predictions, scores, protected, strict=False
    ):
        yield CountedRow(
            id_,
            served_at,
            block.model,
            block.model_version,
            block.variant,
            None,
            None,
            prediction,
            score is not None,
            own or {},
        )


def tell(connection: Connection, rows: Mapping[str, CountedRow]) -> Told:
    """Return the protected attributes and the latest outcomes of rows."""
    return Told(attributes_of(connection, rows), outcomes_of(connection, rows))


def attributes_of(connection: Connection, rows: Mapping[str, CountedRow]) -> dict[str, dict[str, str | None]]:
    """Return the protected attributes of rows; a unit's are those of its rows that do not say otherwise."""
    by_unit = unit_attributes(connection, {row.unit_hash for row in rows.values() if row.unit_hash is not None})
    found = {
        id_: by_unit.get(row.unit_hash or "", {}) | dict(row.own)
        for id_, row in rows.items()
        if row.own or row.unit_hash in by_unit
    }
    columns = PROTECTED_ATTRIBUTE.c
    for id_, attribute, value in in_chunks(connection, select(PROTECTED_ATTRIBUTE), columns.prediction_id, rows):
        found.setdefault(id_, {})[attribute] = value
    return found


def unit_attributes(connection: Connection, units: Collection[str]) -> dict[str, dict[str, str | None]]:
    """Return the protected attributes that were told of units."""
    found: dict[str, dict[str, str | None]] = {}
    if units and connection.execute(select(UNIT_ATTRIBUTE.c.unit_hash).limit(1)).first() is not None:
        for unit, attribute, value in in_chunks(
            connection, select(UNIT_ATTRIBUTE), UNIT_ATTRIBUTE.c.unit_hash, units
        ):
            found.setdefault(unit, {})[attribute] = value
    return found


def outcomes_of(
    connection: Connection, rows: Mapping[str, CountedRow], until: Mapping[str, datetime] | None = None
) -> dict[str, Any]:
    """Return the outcomes of rows that were received last, under whichever of their names.

    `until` is when the last one of a row that counts was received; None: whenever it was.
    """
    columns = OUTCOME.c
    latest: dict[str, tuple[int, Any]] = {}

    def take(id_: str, number: int, outcome: Any, received_at: datetime) -> None:
        if latest.get(id_, (-1,))[0] < number and (until is None or received_at <= until[id_]):
            latest[id_] = number, outcome

    wanted = select(columns.prediction_id, columns.id, columns.outcome, columns.received_at)
    for id_, *told in in_chunks(connection, wanted, columns.prediction_id, rows):
        take(id_, *told)
    named: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for id_, row in rows.items():
        if row.caller_id is not None:
            named[row.model][row.caller_id].append(id_)
    wanted = select(columns.caller_id, columns.id, columns.outcome, columns.received_at)
    for model, ids in named.items():
        of_model = wanted.where(columns.model == model)
        for caller_id, *told in in_chunks(connection, of_model, columns.caller_id, ids):
            for id_ in ids[caller_id]:
                take(id_, *told)
    return {id_: outcome for id_, (_, outcome) in latest.items()}


def tally_rows(tally: Tally, rows: Iterable[CountedRow], told: Told, buckets: Buckets, *, sign: int = 1) -> None:
    """Count rows into a tally; `sign` -1 takes them away."""
    for row in rows:
        id_ = row.prediction_id
        cell = row.cell(buckets, told.attributes.get(id_, {}), told.outcomes.get(id_))
        tally.count(cell, amount_of(row.prediction, has_score=row.has_score), sign)


def in_chunks(
    connection: Connection, statement: Select[Any], column: ColumnElement[Any], names: Iterable[str]
) -> Iterator[Any]:
    """Yield the rows in which a column is one of these names, asked for some thousands at a time."""
    rest = sorted(names)
    for start in range(0, len(rest), _NAMES_PER_STATEMENT):
        some = rest[start : start + _NAMES_PER_STATEMENT]
        yield from connection.execute(statement.where(column.in_(some))).all()


def counted_rows() -> Select[Any]:
    """Return the query of all rows that windows count, for `as_row`."""
    return select(*ROW_COLUMNS).where(PREDICTION.c.variant.is_not(None), PREDICTION.c.is_repeat.is_(False))


def as_row(row: Sequence[Any]) -> CountedRow:
    """Return a row of `counted_rows`."""
    id_, served_at, model, version, variant, unit_hash, caller_id, prediction, score = row
    seconds = served_at.timestamp() if isinstance(served_at, datetime) else served_at
    return CountedRow(id_, seconds, model, version, variant, unit_hash, caller_id, prediction, score is not None)


def _read(
    connection: Connection,
    buckets: Buckets,
    column: ColumnElement[Any],
    names: Iterable[str],
    *conditions: ColumnElement[bool],
) -> Iterator[CountedRow]:
    statement = counted_rows().where(*conditions)
    for row in map(as_row, in_chunks(connection, statement, column, names)):
        if row.served_at >= buckets.frozen_until:
            yield row
