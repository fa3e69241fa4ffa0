"""A line of the prediction log as rows of its tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

import orjson

from monitoring.bulk import plain_positions, plain_values
from monitoring.bulk_blocks import block_row
from monitoring.exposure_records import ANSWERED, PROTECTED, SERVED_AT, compared_positions
from monitoring.exposure_records import KIND as EXPOSED
from monitoring.predictions import BULK_ROWS
from monitoring.refusal_records import KIND as REFUSED
from monitoring.shadow_records import SHADOW, shadow_rows

_BULK = re.compile(rb'\{"(?:dtype|distinct|range|base64|codes)"')
"""What each value in the bulk form begins with; a feature of that name costs its record a second look, no more."""


@dataclass(slots=True)  # not frozen: making both of a line took 1.3 µs, and takes 0.4
class Rows:
    """The rows of one record, each with a value for each column of its table, in the table's order.

    `block` is the row of `BULK_BLOCK` that stands in the database for all of them where the record is bulk; else
    None. Rows to which callers gave ids are never bulk: outcomes name them by those.
    """

    predictions: list[tuple[Any, ...]]
    protected: list[tuple[Any, ...]]
    block: tuple[Any, ...] | None = None
    exposures: Sequence[tuple[Any, ...]] = ()
    """Of the rows in a compared cohort (`monitoring.exposure_records`), as `EXPOSURE` has them. Each is shown when
    it begins, status None, by a record without predictions, and again when it ends, mostly by the record with its
    prediction. Protected attributes may come with both."""
    shadows: Sequence[tuple[Any, ...]] = ()
    """Of rows that a challenger was to score beside the champion, with the columns that
    `monitoring.shadow_records.SHADOW_COLUMNS` names: answers of both, in a record of their own without predictions.
    Protected attributes come with the champion's prediction."""
    refused: Sequence[tuple[str, datetime, str, int]] = ()
    """Model, hour, code and how many requests were refused so, of a record that says nothing else."""

    @property
    def is_bulk(self) -> bool:
        """Whether the record is stored as one row."""
        return self.block is not None


@dataclass(slots=True)
class Line:
    """A line of a segment; `rows` is None where it is no record that can be stored, `problem` the kind of error."""

    content: bytes
    rows: Rows | None
    problem: str = ""


def decode(line: bytes) -> Line:
    """Return a line with the rows in it, without features; whatever is wrong with it, this raises nothing."""
    try:
        record = orjson.loads(line)
        is_plain = _BULK.search(line) is None or record.get("kind") == EXPOSED
        rows = _rows(record, record if is_plain else _plain(record))
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError) as error:
        return Line(line, None, type(error).__name__)
    return Line(line, rows)


def _rows(record: dict[str, Any], plain: dict[str, Any]) -> Rows:
    """Return the rows of a decoded line; `plain` is the same without the bulk form."""
    kind = record.get("kind")
    if kind == SHADOW:
        return Rows([], [], None, (), shadow_rows(record))
    if kind == REFUSED:
        return Rows([], [], refused=_refused_rows(record))
    if kind == EXPOSED:
        return _exposed(record["rows"])
    request_id = record["request_id"]
    ids = [f"{request_id}-{position}" for position in plain["positions"]]
    predictions = [_only_prediction_row(plain, ids[0])] if len(ids) == 1 else _prediction_rows(plain, ids)
    is_bulk = len(predictions) > BULK_ROWS and plain["caller_ids"] is None
    block = block_row(record, len(predictions)) if is_bulk else None
    exposures = () if plain.get("cohorts") is None else _ended_rows(plain, ids)
    return Rows(predictions, _protected_rows(plain, ids), block, exposures)


def _exposed(rows: Sequence[Sequence[Any]]) -> Rows:
    """Return rows of `EXPOSURE` and of `PROTECTED_ATTRIBUTE`, from `monitoring.exposure_records.ExposedRow`s."""
    exposures, protected = [], []
    for row in rows:
        named = row[PROTECTED]
        served_at = datetime.fromtimestamp(row[SERVED_AT], UTC)
        exposures.append((*row[:SERVED_AT], served_at, *row[SERVED_AT + 1 : PROTECTED]))
        if named:
            protected += [(row[0], attribute, value) for attribute, value in named.items()]
    return Rows([], protected, None, exposures)


def _ended_rows(record: dict[str, Any], ids: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the rows of `EXPOSURE` that an answer ends; none for rows that are in no compared cohort."""
    status = record.get("status", ANSWERED)
    cohorts, units = record["cohorts"], record["unit_hashes"]
    places = compared_positions(range(len(ids)), cohorts, units, record["positions"])
    if not places:
        return []
    served_at = datetime.fromtimestamp(record["served_at"], UTC)
    return [
        (
            ids[place],
            record["rollout_id"],
            record["epoch"],
            cohorts[place],
            record["variant"],
            record["model"],
            record["model_version"],
            units and units[place],
            served_at,
            status,
            record["latency_us"],
        )
        for place in places
    ]


def _refused_rows(record: dict[str, Any]) -> list[tuple[str, datetime, str, int]]:
    """Return rows of `REFUSAL_COUNT`."""
    return [
        (str(model), datetime.fromtimestamp(hour, UTC), str(code), int(requests))
        for hour, model, code, requests in record["refused"]
    ]


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record without the bulk form, its features aside."""
    predictions = plain_values(record["predictions"])
    return record | {
        "positions": plain_positions(record["positions"], len(predictions)),
        "predictions": predictions,
        "scores": plain_values(record["scores"]),
        "unit_hashes": plain_values(record["unit_hashes"]),
        "cohorts": plain_values(record.get("cohorts")),
    }


def _each(values: Any, rows: int) -> list[Any]:
    """Return what each row has.

    Raises:
        ValueError: Not as many as there are rows.
    """
    if type(values) is not list or len(values) != rows:
        raise ValueError("a value for each row")
    return values


def _each_if_any(values: list[Any] | None, rows: int) -> Iterable[Any]:
    """Return what each row has, None where no row has such a value."""
    return repeat(None) if values is None else _each(values, rows)


def _prediction_rows(record: dict[str, Any], ids: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return rows of `PREDICTION`."""
    rows = len(ids)
    return list(
        zip(
            ids,
            repeat(record["request_id"]),
            repeat(datetime.fromtimestamp(record["served_at"], UTC)),
            repeat(record["model"]),
            repeat(record["model_version"]),
            repeat(record["variant"]),
            repeat(record["epoch"]),
            repeat(record["rollout_id"]),
            repeat(record["protocol"]),
            _each_if_any(record["unit_hashes"], rows),
            _each_if_any(record["cohorts"], rows),
            _each_if_any(record["caller_ids"], rows),
            _each(record["predictions"], rows),
            _each_if_any(record["scores"], rows),
            repeat(record["latency_us"]),
            repeat(False),
            repeat(record.get("status", ANSWERED)),
            strict=False,  # what repeats has no end
        )
    )


def _only_prediction_row(record: dict[str, Any], prediction_id: str) -> tuple[Any, ...]:
    """Return what `_prediction_rows` would, for most requests have one row: in a third of the time."""
    units, cohorts, callers = record["unit_hashes"], record["cohorts"], record["caller_ids"]
    predictions, scores = record["predictions"], record["scores"]
    for values in (units, cohorts, callers, predictions, scores):
        if values is not None and (type(values) is not list or len(values) != 1):
            raise ValueError("a value for each row")
    return (
        prediction_id,
        record["request_id"],
        datetime.fromtimestamp(record["served_at"], UTC),
        record["model"],
        record["model_version"],
        record["variant"],
        record["epoch"],
        record["rollout_id"],
        record["protocol"],
        units and units[0],
        cohorts and cohorts[0],
        callers and callers[0],
        predictions[0],
        scores and scores[0],
        record["latency_us"],
        False,
        record.get("status", ANSWERED),
    )


def _protected_rows(record: dict[str, Any], ids: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return rows of `PROTECTED_ATTRIBUTE`."""
    if record["protected"] is None:
        return []
    return [
        (prediction_id, attribute, value)
        for prediction_id, named in zip(ids, record["protected"], strict=True)
        if named
        for attribute, value in named.items()
    ]
