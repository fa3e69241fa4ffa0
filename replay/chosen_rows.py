"""Which rows of a window are compared: those that rollouts would analyse, of each unit the first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from database.engine import reading
from monitoring.feature_table import ID, SERVED_AT, VARIANT
from monitoring.logged_rows import in_chunks
from monitoring.tables import PREDICTION
from replay.first_rows import digests, first_of_each
from replay.window import File, Window, blocks_of
from rollout.assignment import Cohort

_WHO: Final = (ID, SERVED_AT, VARIANT)


@dataclass(slots=True)
class Tally:
    """How many archived rows of a window there are, and why some are not compared (`replay.result.Rows`)."""

    archived: int = 0
    by_number: int = 0
    overridden: int = 0
    repeats: int = 0
    unknown: int = 0
    later: int = 0
    without_unit: int = 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which archived rows are compared, in the order in which `files` are read.

    `has_callers` and `has_bulk` say whether any row has its caller's id, or is of a bulk request.
    """

    files: Sequence[File]
    counts: NDArray[np.bool_]
    tally: Tally
    has_callers: bool
    has_bulk: bool


class _Logged(NamedTuple):
    """What the log says of a row."""

    unit: str | None
    is_repeat: bool
    cohort: str | None
    caller_id: str | None = None
    is_bulk: bool = False


def choose(window: Window, *, by_unit: bool = True) -> Chosen:
    """Return which rows of a window are compared: of each unit the first one, unless each request is for itself.

    Raises:
        OSError: The feature store cannot be reached.
    """
    files, tally = window.files(), Tally()
    has_callers = has_bulk = False
    units, times, usable = [digests([])], [np.empty(0, np.int64)], [np.empty(0, np.bool_)]
    for _, table in window.tables(files, _WHO):
        ids = table.column(ID).to_pylist()
        with reading(window.engine) as connection:
            known = _logged(connection, ids)
        rows = [known.get(id_) for id_ in ids]
        tally.archived += len(rows)
        units.append(digests([row and row.unit for row in rows]))
        times.append(table.column(SERVED_AT).cast(pa.int64()).to_numpy())
        usable.append(_usable(rows, table.column(VARIANT).is_valid().to_pylist(), tally))
        has_callers |= any(row.caller_id is not None for row in known.values())
        has_bulk |= any(row.is_bulk for row in known.values())
    every, served_at, are_usable = np.concatenate(units), np.concatenate(times), np.concatenate(usable)
    counts = first_of_each(every, served_at, are_usable) if by_unit else are_usable
    tally.later = int(are_usable.sum() - counts.sum())
    tally.without_unit = int((counts & ~every.any(axis=1)).sum())
    return Chosen(files, counts, tally, has_callers, has_bulk)


def _logged(connection: Connection, ids: Sequence[str]) -> dict[str, _Logged]:
    columns = PREDICTION.c
    wanted = select(columns.prediction_id, columns.unit_hash, columns.is_repeat, columns.cohort, columns.caller_id)
    known = {id_: _Logged(*row) for id_, *row in in_chunks(connection, wanted, columns.prediction_id, ids)}
    for block in blocks_of(connection, [id_ for id_ in ids if id_ not in known]):
        nobody = [None] * len(block.positions)
        for id_, unit, cohort in zip(
            block.prediction_ids(), block.unit_hashes or nobody, block.cohorts or nobody, strict=True
        ):
            known[id_] = _Logged(unit, is_repeat=False, cohort=cohort, is_bulk=True)
    return known


def _usable(rows: Sequence[_Logged | None], has_variant: Sequence[bool], tally: Tally) -> NDArray[np.bool_]:
    """Return which rows may be compared, and count those that may not."""
    usable = np.zeros(len(rows), np.bool_)
    for place, (row, named) in enumerate(zip(rows, has_variant, strict=True)):
        if not named:
            tally.by_number += 1
        elif row is None:
            tally.unknown += 1
        elif row.is_repeat:
            tally.repeats += 1
        elif row.cohort == Cohort.OVERRIDE:
            tally.overridden += 1
        else:
            usable[place] = True
    return usable
