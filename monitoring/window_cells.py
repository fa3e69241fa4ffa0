"""The cells of windows: how many predictions are alike, kept by addition."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection, and_, func, or_, select, tuple_

from database.engine import insert_or_add
from monitoring.tables import WINDOW_CELL, WINDOW_COUNT, WINDOW_LABEL
from monitoring.window_buckets import DAY, Buckets

NOT_KNOWN: Final = ""
"""As an outcome: none has come yet."""
NUMBER: Final = "#"
"""A prediction, or its outcome, that is a quantity and no label; cells know its sums only."""
OTHER: Final = "other"
"""Groups or a label beyond those that are told apart; no JSON text, so nobody's own group or label."""
NO_GROUPS: Final = "{}"

MOST_LABELS: Final = 200
"""Predictions, and outcomes, that are told apart per model and day."""
_LONGEST_LABEL: Final = 200
_LONGEST_GROUPS: Final = 1_000
"""Bytes; a database server keeps no larger ones in an index."""
_LARGEST: Final = 1e150
_KIND: Final = tuple(WINDOW_CELL.columns)[1:]
_KINDS_PER_STATEMENT: Final = 500
_KINDS: Final = ("groups", "prediction", "outcome")
_ALWAYS: Final = frozenset({NOT_KNOWN, NUMBER, OTHER, NO_GROUPS})


class Cell(NamedTuple):
    """What the predictions that are counted together have in common.

    `groups` is the canonical JSON of all protected attributes, `prediction` and `outcome` that of a label, or one
    of the constants above.
    """

    bucket_start: int
    seconds: int
    model: str
    model_version: str
    variant: str
    groups: str
    prediction: str
    outcome: str

    @property
    def kind(self) -> tuple[str, ...]:
        """All of it but the bucket."""
        return self[2:]


class Amount(NamedTuple):
    """How many predictions, and the sum and the sum of squares of those that are quantities."""

    n: int
    value_sum: float = 0.0
    value_sum_squares: float = 0.0

    def plus(self, other: Amount) -> Amount:
        """Return both together."""
        return Amount(
            self.n + other.n,
            self.value_sum + other.value_sum,
            self.value_sum_squares + other.value_sum_squares,
        )


class Tally(defaultdict[Cell, list[float]]):
    """Amounts by cell, to be added to those in the database; negative ones take away."""

    def __init__(self) -> None:
        super().__init__(lambda: [0, 0.0, 0.0])

    def count(self, cell: Cell, amount: Amount, sign: int = 1) -> None:
        """Add an amount to a cell, or take it away."""
        sums = self[cell]
        for place, value in enumerate(amount):
            sums[place] += sign * value

    def changes(self) -> Iterator[tuple[Cell, tuple[int, float, float]]]:
        """Yield what differs from nothing, in an order that all processes share."""
        for cell in sorted(self):
            n, total, squares = self[cell]
            if n or total or squares:
                yield cell, (int(n), total, squares)


def label_of(value: Any, *, has_score: bool) -> str:
    """Return a prediction or outcome as it is counted: the same text for 1 and 1.0, another for true and "1".

    Fractions are quantities where the prediction has no score, which only a classifier's has.

    >>> label_of(1.0, has_score=True), label_of("1", has_score=True), label_of(0.25, has_score=False)
    ('1', '"1"', '#')
    """
    if type(value) is float:
        if value.is_integer() and abs(value) < 2**53:
            value = int(value)
        elif not has_score:
            return NUMBER
    text = _json(value)
    return text if len(text) <= _LONGEST_LABEL else OTHER


def groups_of(attributes: Mapping[str, str | None]) -> str:
    """Return protected attributes as they are counted.

    >>> groups_of({"sex": "2", "age": None})
    '{"age":null,"sex":"2"}'
    """
    if not attributes:
        return NO_GROUPS
    text = _json(dict(attributes))
    return text if len(text.encode()) <= _LONGEST_GROUPS else OTHER


def amount_of(prediction: Any, *, has_score: bool) -> Amount:
    """Return what one prediction adds to its cell."""
    if has_score or type(prediction) not in {int, float} or not abs(prediction) < _LARGEST:
        return Amount(1)
    return Amount(1, float(prediction), float(prediction) ** 2)


def add(connection: Connection, tally: Tally, buckets: Buckets) -> None:
    """Add a tally to the counts; groups and labels beyond those that are told apart go to `OTHER`."""
    changes = list(tally.changes())
    if not changes:
        return
    kept = _Kept(connection, changes, buckets)
    fitted = Tally()
    for cell, amount in changes:
        fitted.count(kept.fit(cell), Amount(*amount))
    rows = list(fitted.changes())
    ids = _ids(connection, {cell.kind for cell, _ in rows})
    counts = [
        {"cell": ids[cell.kind], "bucket_start": cell.bucket_start, "seconds": cell.seconds}
        | dict(zip(Amount._fields, amount, strict=True))
        for cell, amount in rows
    ]
    if counts:
        connection.execute(insert_or_add(connection, WINDOW_COUNT), counts)


def _ids(connection: Connection, kinds: set[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    """Return the ids of kinds of predictions; new ones get one."""
    found = _read_ids(connection, kinds)
    new = sorted(kinds - found.keys())
    if new:
        names = [column.name for column in _KIND]
        connection.execute(WINDOW_CELL.insert(), [dict(zip(names, kind, strict=True)) for kind in new])
        found |= _read_ids(connection, set(new))
    return found


def _read_ids(connection: Connection, kinds: set[tuple[str, ...]]) -> dict[tuple[str, ...], int]:
    rest = sorted(kinds)
    found: dict[tuple[str, ...], int] = {}
    for start in range(0, len(rest), _KINDS_PER_STATEMENT):
        some = rest[start : start + _KINDS_PER_STATEMENT]
        statement = select(WINDOW_CELL.c.id, *_KIND).where(tuple_(*_KIND).in_(some))
        found |= {tuple(kind): id_ for id_, *kind in connection.execute(statement)}
    return found


class _Kept:
    """The groups and labels that are told apart; those that are new are from now on, while there is room.

    Once one was refused no other is taken on that day, whatever the bound becomes: where a prediction is counted
    must not depend on when one looks.
    """

    def __init__(self, connection: Connection, changes: Iterable[tuple[Cell, Any]], buckets: Buckets) -> None:
        self._labels: defaultdict[tuple[str, int, str], set[str]] = defaultdict(set)
        wanted: defaultdict[tuple[str, int, str], set[str]] = defaultdict(set)
        for cell, _ in changes:
            for kind, label in zip(_KINDS, cell[5:], strict=True):
                if label not in _ALWAYS:
                    wanted[cell.model, cell.bucket_start // DAY, kind].add(label)
        for (model, day, kind), labels in sorted(wanted.items()):
            most = buckets.most_groups if kind == "groups" else MOST_LABELS
            self._labels[model, day, kind] = _take(connection, (model, day, kind), labels, most)

    def fit(self, cell: Cell) -> Cell:
        """Return where a cell is counted."""
        day = cell.model, cell.bucket_start // DAY
        groups, prediction, outcome = (
            label if label in _ALWAYS or label in self._labels[*day, kind] else OTHER
            for kind, label in zip(_KINDS, cell[5:], strict=True)
        )
        return cell._replace(groups=groups, prediction=prediction, outcome=outcome)


def _take(connection: Connection, key: tuple[str, int, str], labels: set[str], most: int) -> set[str]:
    """Return which of the labels are told apart, and write down those that are new among them."""
    columns = WINDOW_LABEL.c
    mine = and_(columns.model == key[0], columns.day == key[1], columns.kind == key[2])
    asked = or_(columns.label.in_(sorted(labels)), columns.label == OTHER)
    found = set(connection.execute(select(columns.label).where(mine, asked)).scalars())
    new = sorted(labels - found)
    if not new or OTHER in found:
        return found
    taken = connection.execute(select(func.count()).where(mine)).scalar_one()
    added = new[: max(0, most - taken)]
    written = added if len(added) == len(new) else [*added, OTHER]
    rows = [dict(zip(("model", "day", "kind"), key, strict=True), label=label) for label in written]
    connection.execute(WINDOW_LABEL.insert(), rows)
    return found | set(added)


def _json(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(value, sort_keys=True)
