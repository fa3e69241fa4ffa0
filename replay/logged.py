"""The rows that are compared, a batch at a time, with what the log knows of each beside its features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from database.engine import reading
from monitoring.feature_table import ID, SERVED_AT
from monitoring.logged_rows import Attributes, CountedRow, attributes_of, in_chunks, outcomes_of
from monitoring.tables import PREDICTION, UNIT_ATTRIBUTE
from replay.chosen_rows import Chosen
from replay.window import Window, blocks_of

_NAMELESS: Final = (None, None)
_NOTHING: Final[Attributes] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are compared, with their features and answers (`table`), and what else is known of them.

    The values of row i stand at place i. `is_due` says that its outcome had the time to come that it is given;
    an outcome of None is not known by then, or not looked for.
    """

    version: str
    table: pa.Table
    ids: Sequence[str]
    is_due: NDArray[np.bool_]
    outcomes: Sequence[Any]
    attributes: Sequence[Attributes]

    def take(self, places: NDArray[np.intp]) -> Batch:
        """Return some of the rows."""
        return Batch(
            self.version,
            self.table.take(pa.array(places)),
            [self.ids[place] for place in places],
            self.is_due[places],
            [self.outcomes[place] for place in places],
            [self.attributes[place] for place in places],
        )


def batches(window: Window, chosen: Chosen, *, maturity: timedelta, now: datetime) -> Iterator[Batch]:
    """Yield the rows that are compared; outcomes are those received within `maturity` of the prediction.

    Raises:
        OSError: The feature store cannot be reached, or a file is gone since the rows were chosen.
    """
    start = 0
    for file, whole in window.tables(chosen.files):
        places = np.flatnonzero(chosen.counts[start : start + whole.num_rows])
        start += whole.num_rows
        if not len(places):
            continue
        table = whole.take(pa.array(places))
        ids = table.column(ID).to_pylist()
        due_at = [served_at + maturity for served_at in table.column(SERVED_AT).to_pylist()]
        is_due = [time <= now for time in due_at]
        with reading(window.engine) as connection:
            rows = _rows(connection, window.model, ids, chosen)
            attributes = attributes_of(connection, rows)
            until = {id_: time for id_, time, due in zip(ids, due_at, is_due, strict=True) if due}
            outcomes = outcomes_of(connection, {id_: rows[id_] for id_ in until}, until) if until else {}
        yield Batch(
            version=file.version,
            table=table,
            ids=ids,
            is_due=np.array(is_due, np.bool_),
            outcomes=[outcomes.get(id_) for id_ in ids],
            attributes=[attributes.get(id_, _NOTHING) for id_ in ids],
        )


def _rows(connection: Connection, model: str, ids: Sequence[str], chosen: Chosen) -> dict[str, CountedRow]:
    """Return rows as the log's questions want them, of which they look at names and own attributes alone."""
    own = _own(connection, ids) if chosen.has_bulk else {}
    are_named = chosen.has_callers or connection.execute(select(UNIT_ATTRIBUTE).limit(1)).first() is not None
    names = _names(connection, ids) if are_named else {}
    return {
        id_: CountedRow(id_, 0.0, model, "", "", *names.get(id_, _NAMELESS), None, False, own.get(id_, _NOTHING))
        for id_ in ids
    }


def _names(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """Return the units' hashes and callers' ids of rows; those of bulk requests have none that anything goes by."""
    columns = PREDICTION.c
    wanted = select(columns.prediction_id, columns.unit_hash, columns.caller_id)
    return {id_: (unit, caller) for id_, unit, caller in in_chunks(connection, wanted, columns.prediction_id, ids)}


def _own(connection: Connection, ids: Sequence[str]) -> Mapping[str, Attributes]:
    """Return what rows of bulk requests say of themselves."""
    found: dict[str, Attributes] = {}
    wanted = set(ids)
    for block in blocks_of(connection, ids):
        rows = zip(block.prediction_ids(), block.protected or (), strict=False)
        found.update({id_: own for id_, own in rows if own and id_ in wanted})
    return found
