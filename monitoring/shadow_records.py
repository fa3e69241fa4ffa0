"""Shadow records: what a challenger would have answered, beside what the champion did; written after the answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import repeat
from typing import Any, Final

import orjson

SHADOW: Final = "shadow"
"""The kind of such a line."""

DROPPED: Final = "dropped"
"""The status of rows that nobody had time to score."""

SHADOW_COLUMNS: Final = (
    "prediction_id",
    "rollout_id",
    "epoch",
    "model",
    "challenger_version",
    "unit_hash",
    "served_at",
    "status",
    "champion_prediction",
    "champion_score",
    "challenger_prediction",
    "challenger_score",
    "champion_latency_us",
    "challenger_latency_us",
)
"""What a row of `monitoring.rows.Rows.shadows` holds, in this order."""


@dataclass  # without slots, as `PredictionRecord` is
class ShadowRecord:
    """Rows of one request that the champion answered and the challenger was to score beside it.

    `status` is `ok`, or says why the challenger has no answer: `dropped` under load, `refused` where the rows do
    not fit it, `timeout`, `overloaded`, `error`. The lists are in the order of `positions`, the rows' places in the
    request. Latencies are microseconds of the whole request: the champion's from its first byte to its answer, the
    challenger's from decoding its rows to its answer, without the wait until somebody had time for it.
    """

    request_id: str
    served_at: float
    model: str
    challenger_version: str
    epoch: int
    rollout_id: str | None
    status: str
    positions: Sequence[int]
    unit_hashes: Sequence[str | None] | None
    champion_predictions: Sequence[Any]
    champion_scores: Sequence[float] | None
    champion_latency_us: int
    challenger_predictions: Sequence[Any] | None = None
    challenger_scores: Sequence[float] | None = None
    challenger_latency_us: int | None = None
    features: None = None  # they come with the answer
    kind: str = SHADOW


def encode_shadow(record: ShadowRecord) -> bytes:
    """Return a record as one line of JSON, with its newline."""
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


def shadow_rows(record: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Return the rows of a decoded line, with the columns `SHADOW_COLUMNS`.

    Raises:
        LookupError, TypeError, ValueError: It is no such record.
    """
    positions = record["positions"]
    return list(
        zip(
            [f"{record['request_id']}-{position}" for position in positions],
            repeat(record["rollout_id"]),
            repeat(record["epoch"]),
            repeat(record["model"]),
            repeat(record["challenger_version"]),
            _each(record["unit_hashes"], positions),
            repeat(datetime.fromtimestamp(record["served_at"], UTC)),
            repeat(record["status"]),
            _each(record["champion_predictions"], positions),
            _each(record["champion_scores"], positions),
            _each(record["challenger_predictions"], positions),
            _each(record["challenger_scores"], positions),
            repeat(record["champion_latency_us"]),
            repeat(record["challenger_latency_us"]),
            strict=False,  # what repeats has no end
        )
    )


def _each(values: list[Any] | None, positions: Sequence[int]) -> Iterable[Any]:
    if values is None:
        return repeat(None)
    if type(values) is not list or len(values) != len(positions):
        raise ValueError("a value for each row")
    return values
