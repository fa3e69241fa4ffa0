"""Exposure records, worker side: that rows of a rollout's cohorts were given to a variant, and how that ended.

One is in the segment before the model runs, so that a row whose worker dies counts too. An answer's own record ends
it; where there is no answer, a second exposure record says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

COMPARED: Final = frozenset({"challenger", *(f"challenger-{number}" for number in range(2, 10)), "control"})
"""The cohorts of `rollout.assignment.Cohort` that are compared; all other rows are in no rollout's evidence."""

_ROWS_IN_FULL: Final = 1_000
"""Of a record with more rows, which is logged in bulk, the first row of each unit stands for all of them; of rows
without a unit, which are assigned each by itself, those among the first so many of their request are compared."""

BESIDE: Final = "beside"
"""The status of rows that were not answered because another variant failed on other rows of their request."""

ANSWERED: Final = "ok"
"""The status of an answer; any other (`error`, `timeout`, ...) says why there is none."""


@dataclass  # without slots, as `PredictionRecord` is
class ExposureRecord:
    """Rows of one request in a cohort that one variant is to answer.

    `status` is None before the model runs; with `latency_us`, in microseconds, it says what became of rows that
    were not answered. The other lists are in the order of `positions`, the rows' places in the request. Features
    come with the answer.
    """

    request_id: str
    served_at: float
    model: str
    model_version: str
    variant: str | None
    epoch: int
    rollout_id: str | None
    protocol: str
    positions: Sequence[int]
    unit_hashes: Sequence[str | None] | None
    cohorts: Sequence[str | None]
    caller_ids: Sequence[str | None] | None
    protected: Sequence[Mapping[str, str | None] | None] | None
    status: str | None = None
    latency_us: int | None = None
    features: None = None
    kind: str = "exposure"


def encode_exposure(record: ExposureRecord) -> bytes:
    """Return a record as one line of JSON, with its newline."""
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


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
