"""Protected attributes that are told apart from their predictions: of one, of a caller's row, or of a unit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from sqlalchemy import Connection, Engine, select

from database.engine import insert_or_replace
from monitoring.bulk_blocks import read_bulk_blocks
from monitoring.logged_rows import Caller, in_chunks
from monitoring.moving import await_rows, moving
from monitoring.naming import PredictionId, Text, is_storable
from monitoring.tables import CALLER_ATTRIBUTE, PREDICTION, PROTECTED_ATTRIBUTE, UNIT_ATTRIBUTE

Values = dict[tuple[str, str], str | None]
"""By what an attribute is of (a prediction's id, a unit's hash) and its name: the value."""

MOST_ATTRIBUTES = 50


class AttributeRecord(BaseModel):
    """Protected attributes of one prediction, or of all predictions of a unit.

    The prediction is named by `prediction_id`, or by `model` and the `id` the caller gave its row; a unit by
    `unit`, as it was sent with its requests. A later value of an attribute replaces an earlier one. What is told of
    a prediction comes before what is told of its unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    prediction_id: PredictionId | None = None
    model: Text | None = None
    id: Text | None = None
    unit: Text | None = None
    protected: dict[Text, Text | None] = Field(min_length=1, max_length=MOST_ATTRIBUTES)

    @model_validator(mode="after")
    def _names_one_thing(self) -> Self:
        if (self.model is None) != (self.id is None):
            raise ValueError("a caller's id needs its model, and a model the id")
        if [self.prediction_id, self.id, self.unit].count(None) != 2:
            raise ValueError("name the prediction by prediction_id, or by model and id, or name a unit")
        told = [text for pair in self.protected.items() for text in pair]
        if not all(
            is_storable(text) for text in (self.prediction_id, self.model, self.id, self.unit, *told) if text
        ):
            raise ValueError("text may hold neither half of a surrogate pair nor U+0000")
        return self

    @property
    def caller(self) -> Caller | None:
        """The row, if the caller's id names it."""
        return None if self.model is None or self.id is None else (self.model, self.id)


@dataclass(frozen=True, slots=True)
class AttributeReceipt:
    """What became of a list of attributes, counted by its entries.

    `repeated` told nothing new; `unmatched` name predictions that the log does not hold yet, or units without any,
    and are kept.
    """

    accepted: int
    repeated: int
    unmatched: int


def keep_attributes(
    engine: Engine, records: Sequence[AttributeRecord], hash_unit: Callable[[str], str]
) -> AttributeReceipt:
    """Store protected attributes; those that come before their prediction wait for it.

    Of several values of one attribute the last counts, in a list too. `hash_unit` gives what stands for a unit in
    the log.
    """
    with engine.begin() as connection:
        return write_attributes(connection, records, hash_unit)


def write_attributes(
    connection: Connection, records: Sequence[AttributeRecord], hash_unit: Callable[[str], str] = str
) -> AttributeReceipt:
    """Do what `keep_attributes` does within a transaction; records that name units need `hash_unit`."""
    hashes = {record.unit: hash_unit(record.unit) for record in records if record.unit is not None}
    ids = {record.prediction_id for record in records if record.prediction_id is not None}
    callers = {record.caller for record in records if record.caller is not None}
    with moving(connection, "attributes", ids=ids, callers=callers, units=hashes.values()):
        logged = _Logged(connection, ids, callers, hashes.values())
        own = _Writer(connection, "prediction_id", {*ids, *(id_ for some in logged.named.values() for id_ in some)})
        of_units = _Writer(connection, "unit_hash", hashes.values())
        accepted = 0
        by_caller: dict[tuple[str, str, str], str | None] = {}
        for record in records:
            is_news = False
            for attribute, value in record.protected.items():
                if record.unit is not None:
                    is_news |= of_units.put(hashes[record.unit], attribute, value)
                elif record.prediction_id is not None:
                    is_news |= own.put(record.prediction_id, attribute, value)
                elif record.caller is not None:
                    by_caller[(*record.caller, attribute)] = value
                    for id_ in logged.named[record.caller]:
                        is_news |= own.put(id_, attribute, value)
            accepted += is_news
        told_new = _write_callers(connection, by_caller)
        own.write()
        of_units.write()
    accepted += sum(
        record.caller in told_new for record in records if record.caller and not logged.named[record.caller]
    )
    unmatched = [record for record in records if not logged.has(record, hashes)]
    await_rows(connection, ((None, record.prediction_id) for record in unmatched if record.prediction_id))
    return AttributeReceipt(accepted, len(records) - accepted, len(unmatched))


class _Logged:
    """Which of the names the log holds, rows that are in no window among them."""

    def __init__(
        self, connection: Connection, ids: Iterable[str], callers: Iterable[Caller], units: Iterable[str]
    ) -> None:
        columns = PREDICTION.c
        self._ids = {
            id_ for (id_,) in in_chunks(connection, select(columns.prediction_id), columns.prediction_id, ids)
        }
        others = set(ids) - self._ids
        for blocks in read_bulk_blocks(connection, {id_.rpartition("-")[0] for id_ in others}).values():
            self._ids |= others.intersection(id_ for block in blocks for id_ in block.prediction_ids())
        units_there = select(columns.unit_hash).distinct()
        self._units = {unit for (unit,) in in_chunks(connection, units_there, columns.unit_hash, units)}
        self.named: defaultdict[Caller, list[str]] = defaultdict(list)
        by_model: defaultdict[str, set[str]] = defaultdict(set)
        for model, name in callers:
            by_model[model].add(name)
        for model, names in by_model.items():
            statement = select(columns.caller_id, columns.prediction_id).where(columns.model == model)
            for name, id_ in in_chunks(connection, statement, columns.caller_id, names):
                self.named[model, name].append(id_)

    def has(self, record: AttributeRecord, hashes: dict[str, str]) -> bool:
        """Return whether a prediction of that name, or of that unit, is logged."""
        if record.unit is not None:
            return hashes[record.unit] in self._units
        if record.caller is not None:
            return bool(self.named[record.caller])
        return record.prediction_id in self._ids


class _Writer:
    """Attributes in one table: those that are there, and what replaces them."""

    def __init__(self, connection: Connection, key: str, names: Iterable[str]) -> None:
        self._connection, self._key = connection, key
        self._table = UNIT_ATTRIBUTE if key == "unit_hash" else PROTECTED_ATTRIBUTE
        self._there: Values = {
            (name, attribute): value
            for name, attribute, value in in_chunks(connection, select(self._table), self._table.c[key], set(names))
        }
        self._news: Values = {}

    def put(self, name: str, attribute: str, value: str | None) -> bool:
        """Take a value; return whether it is another than the one before."""
        at = name, attribute
        if at in self._there and self._there[at] == value:
            return False
        self._there[at] = self._news[at] = value
        return True

    def write(self) -> None:
        """Store what is new."""
        rows = [
            {self._key: name, "attribute": attribute, "value": value}
            for (name, attribute), value in self._news.items()
        ]
        if rows:
            self._connection.execute(insert_or_replace(self._connection, self._table), rows)


def _write_callers(connection: Connection, told: dict[tuple[str, str, str], str | None]) -> set[Caller]:
    """Keep what was told by callers' ids, for rows that come later; return the ids of which it is new."""
    if not told:
        return set()
    columns = CALLER_ATTRIBUTE.c
    names = {name for _, name, _ in told}
    there = {
        (model, name, attribute): value
        for model, name, attribute, value in in_chunks(
            connection, select(CALLER_ATTRIBUTE), columns.caller_id, names
        )
    }
    new = {at: value for at, value in told.items() if at not in there or there[at] != value}
    rows = [
        {"model": model, "caller_id": name, "attribute": attribute, "value": value}
        for (model, name, attribute), value in new.items()
    ]
    if rows:
        connection.execute(insert_or_replace(connection, CALLER_ATTRIBUTE), rows)
    return {(model, name) for model, name, _ in new}
