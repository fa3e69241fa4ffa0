"""Exposure records, worker side: that rows of a rollout's cohorts were given to a variant, and how that ended.

One is in the segment before the model runs, so that a row whose worker dies counts too. An answer's own record ends
it; where there is no answer, a second exposure says why. What begins in one pass of the event loop is one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

COMPARED: Final = frozenset({"challenger", *(f"challenger-{number}" for number in range(2, 10)), "control"})
"""The cohorts of `rollout.assignment.Cohort` that are compared; all other rows are in no rollout's evidence."""

_ROWS_IN_FULL: Final = 1_000
"""Of a record with more rows, which is logged in bulk, the first row of each unit stands for all of them; of rows
without a unit, which are assigned each by itself, those among the first so many of their request are compared."""

KIND: Final = "exposure"

BESIDE: Final = "beside"
"""The status of rows that were not answered because another variant failed on other rows of their request."""

ANSWERED: Final = "ok"
"""The status of an answer; any other (`error`, `timeout`, ...) says why there is none."""


ExposedRow = tuple[
    str,  # prediction_id
    str | None,  # rollout_id
    int,  # epoch
    str,  # cohort
    str | None,  # variant
    str,  # model
    str,  # model_version
    str | None,  # unit_hash
    float,  # served_at, in seconds since 1970
    str | None,  # status: None before the model runs
    int | None,  # latency_us, with the status
    Mapping[str, str | None] | None,  # protected attributes
]
"""A row of the table `exposure`, its columns in their order, and the row's protected attributes. A plain tuple, for
one is made for each row that is compared: an object of named fields takes three times as long."""

SERVED_AT: Final = 8
"""The place of the time in an `ExposedRow`."""

PROTECTED: Final = 11
"""The place of the protected attributes in an `ExposedRow`; before it stand the columns of the table."""


def encode_exposures(rows: Sequence[ExposedRow]) -> bytes:
    """Return rows, of any requests, as one line of JSON, with its newline.

    It begins as the record of a prediction does, so that whoever looks since when a segment waits finds a time; it
    has no features.
    """
    line = {"request_id": "", "served_at": rows[0][SERVED_AT], "features": None, "kind": KIND, "rows": rows}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def compared_positions(
    positions: Iterable[int],
    cohorts: Sequence[str | None],
    unit_hashes: Sequence[str | None] | None,
    in_request: Sequence[int] | None = None,
) -> list[int]:
    """Return the places, among `positions`, of rows in a compared cohort.

    Of more than a thousand rows the first of each unit: a unit is compared once, and a row of SQL for each of its
    thousands would say no more. Which rows without a unit are compared depends on their place in the request alone,
    never on their cohort: their shares stay those of the plan.

    Args:
        positions: Places in the other lists, ascending.
        cohorts: By place.
        unit_hashes: By place; None: no row has a unit.
        in_request: By place, where the row stands in its request; None: at that place.
    """
    found = [position for position in positions if cohorts[position] in COMPARED]
    if not found or (found[-1] if in_request is None else in_request[found[-1]]) < _ROWS_IN_FULL:
        return found
    is_full = len(found) > _ROWS_IN_FULL
    first: dict[Any, int] = {}
    for position in found:
        unit = None if unit_hashes is None else unit_hashes[position]
        if unit is not None:
            first.setdefault(unit if is_full else position, position)
        elif (position if in_request is None else in_request[position]) < _ROWS_IN_FULL:
            first[position] = position
    return list(first.values())
